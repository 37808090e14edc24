"""The commands of ``drill``: one a file. Signals, exit codes and printing live here and nowhere else."""
