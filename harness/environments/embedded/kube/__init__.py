"""A region's Kubernetes API."""
