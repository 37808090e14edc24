"""What happened in a run: the journal, its typed events, the evidence files and their tables."""
