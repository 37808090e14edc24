"""A region's AWS endpoint."""
