"""Orchestrators that are broken on purpose, to see that a drill says so."""
