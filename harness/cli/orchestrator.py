"""``drill orchestrator``: the reference orchestrator by itself."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from harness.cli.terminal import Terminal, say
from harness.environments.base import EnvironmentFailed
from harness.environments.embedded.environment import EmbeddedPair
from harness.environments.embedded.ownership import environments
from harness.measures import ExitCode


@click.group("orchestrator")
def command() -> None:
    """The reference orchestrator by itself: serve it, or watch one."""


@command.command()
@click.argument("config", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def serve(config: Path) -> None:
    """Serve the orchestrator described in CONFIG (JSON; see orchestrator/config.py) until interrupted.

    It listens where CONFIG says, which is loopback unless it says otherwise, and resumes what was
    unfinished.
    """
    # Modules are the installed ones, never what lies where somebody happens to stand.
    os.execv(sys.executable, [sys.executable, "-P", "-m", "orchestrator.server", str(config)])


@command.command("watch")
@click.argument("identifier", required=False)
@click.option("--once", is_flag=True, help="Print the state once and end.")
def watch_command(identifier: str | None, once: bool) -> None:
    """Show the state, steps and lags of an environment's orchestrator, live.

    IDENTIFIER is an environment's (see 'drill status'); not needed where there is just one.
    """
    try:
        sys.exit(watch(identifier, once=once))
    except KeyboardInterrupt:
        sys.exit(0)


def watch(identifier: str | None, *, once: bool) -> int:
    """Show an environment's orchestrator; the exit code."""
    import httpx

    from harness.systems.astro.view import watch as show

    console = Terminal()
    try:
        found = [directory for directory in environments() if identifier in (None, directory.name)]
    except (OSError, EnvironmentFailed) as error:
        say(console, str(error), "red")
        return ExitCode.BROKEN
    if len(found) != 1:
        say(console, "name one of the environments (drill status): "
            + (", ".join(directory.name for directory in found) or "there is none"), "red")
        return ExitCode.BAD_INPUT
    try:
        pair = EmbeddedPair.found(found[0])
        return show(console, pair.orchestrator_url, pair.organization_id, pair.cluster_id,
                    pair.secret("read_token"), once=once)
    except (EnvironmentFailed, httpx.HTTPError) as error:
        say(console, f"{found[0].name}: its orchestrator does not answer: {error}", "red")
        return ExitCode.BROKEN
