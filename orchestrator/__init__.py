"""The DR system under drill: the reference implementation."""
