"""What runs a drill: phases, checks, observers, and the clean-up at the end."""
