"""The embedded pair: two regions as processes of this machine; no Docker, no root, no account."""
