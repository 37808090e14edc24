"""Synthetic Dag load, the ledger writers and the witness."""
