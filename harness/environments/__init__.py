"""Where a drill runs."""
