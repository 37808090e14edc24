"""Reports: pure functions of a run's journal and evidence; they can be made again years later."""
