"""What commands share that take a drill file: how it is loaded, and how its mistakes are told."""

from __future__ import annotations

import sys
from pathlib import Path

from harness.cli.exit_codes import BAD_INPUT
from harness.cli.printing import echo
from harness.drill.loader import InvalidDrill, LoadedDrill, load


def load_or_exit(file: Path) -> LoadedDrill:
    """Load a drill file; where it is not valid, say why and end with the exit code of bad input."""
    try:
        loaded = load(file)
    except InvalidDrill as error:
        echo(str(error), err=True)
        echo(f"{len(error.problems)} problem(s); nothing was started", err=True)
        sys.exit(BAD_INPUT)
    warn(loaded)
    return loaded


def warn(loaded: LoadedDrill) -> None:
    """Say what can be run and is probably not meant."""
    for warning in loaded.warnings:
        echo(f"{warning.file}:{warning.line}:{warning.column}: warning: {warning.message}", err=True)
