"""``drill status``: the environments on this machine."""

from __future__ import annotations

import sys
import time

import click
from rich.table import Table
from rich.text import Text

from harness.cli.terminal import Terminal, say
from harness.common.durations import show_duration
from harness.environments.base import EnvironmentFailed
from harness.environments.embedded.ownership import Ownership, environments, held
from harness.environments.embedded.state import EnvironmentState
from harness.measures import ExitCode


def status() -> int:
    """Print the environments on this machine; the exit code."""
    console = Terminal()
    table = Table("environment", "state", "harness", "processes", "age", box=None)
    try:
        found = environments()
    except (OSError, EnvironmentFailed) as error:
        say(console, str(error), "red")
        return ExitCode.BROKEN
    for directory in found:
        state = EnvironmentState.load(directory)
        age = "unknown" if state.since is None else show_duration(max(0.0, time.time() - state.since))
        table.add_row(*(Text(cell) for cell in (
            directory.name, state.state, "running" if held(directory) else "gone",
            str(len(Ownership.of(directory).processes())), age)))
    if table.row_count:
        console.print(table)
    else:
        say(console, "no environments")
    return ExitCode.PASS


@click.command("status")
def command() -> None:
    """Show the environments on this machine."""
    sys.exit(status())
