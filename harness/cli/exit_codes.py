"""Exit codes of commands that make no verdict; those of a verdict are :class:`harness.measures.result.ExitCode`."""

from __future__ import annotations

BAD_INPUT, BROKEN, INTERRUPTED = 2, 4, 130
