"""What every part of the harness may use, and what knows none of them."""
