"""The drill engine."""
