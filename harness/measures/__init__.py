"""Evidence in, figures out: pure functions, no I/O."""
