"""Proof that the harness sees what it reports not to have seen."""
