"""``drill up``: bring up a pair with its idle fleet, and leave it running."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path

import click

from harness.cli.interrupts import Interrupts
from harness.cli.loading import load_or_exit
from harness.cli.pair import make_pair, new_identifier, refused, show_access
from harness.cli.terminal import Terminal, say
from harness.common.teardown import Teardown, in_words
from harness.drill.loader import LoadedDrill
from harness.engine.fleet import Fleet
from harness.engine.runner import FLEET_TIMEOUT_S
from harness.environments.base import EnvironmentFailed
from harness.environments.embedded.environment import EmbeddedPair
from harness.measures import ExitCode


def up(loaded: LoadedDrill, force: bool, interrupts: Interrupts) -> int:
    """Bring up an environment with its idle fleet and leave it; the exit code."""
    console = Terminal()
    if not force and refused(console, loaded):
        return ExitCode.BAD_INPUT
    environment = make_pair(loaded, new_identifier(loaded.drill.metadata.name), None)
    began = time.monotonic()
    with interrupts.held():
        teardown = Teardown(lambda step: say(console, f"{step.what}: {step.error}", "red"))
        teardown.push("the environment", environment.down)
        try:
            with interrupts.raised():
                _bring_up(loaded, environment, console)
        except BaseException as error:
            stopped = isinstance(error, KeyboardInterrupt) or interrupts.received
            return _take_down(console, environment, teardown, None if stopped else error)
    say(console, f"up after {time.monotonic() - began:.0f} s: {environment.identifier}")
    show_access(console, environment)
    return ExitCode.PASS


def _bring_up(loaded: LoadedDrill, environment: EmbeddedPair, console: Terminal) -> None:
    environment.up(lambda text: say(console, text))
    fleet = Fleet(environment, loaded.drill.fleet.deployments)
    fleet.create(loaded.drill.fleet.variables)
    deadline = time.monotonic() + FLEET_TIMEOUT_S
    while not fleet.healthy():
        environment.check()
        if time.monotonic() > deadline:
            raise EnvironmentFailed(f"not up: {', '.join(fleet.missing())}")
        time.sleep(0.2)


def _take_down(console: Terminal, environment: EmbeddedPair, teardown: Teardown, error: BaseException | None) -> int:
    """Remove what ``drill up`` has made before it failed, or was interrupted (no error); the exit code."""
    logs = Path("runs") / f"{environment.identifier}-logs"
    if error is not None and environment.logs.exists():
        teardown.push("its logs", lambda: shutil.copytree(environment.logs, logs, dirs_exist_ok=True))
    failed = teardown.run()
    if error is None:
        say(console, "interrupted" + ("" if failed else "; everything was removed"))
        return ExitCode.ABORTED
    explained = error.explain() if isinstance(error, EnvironmentFailed) else in_words(error)
    say(console, explained, "red")
    if logs.exists():
        say(console, f"logs: {logs}")
    return ExitCode.BROKEN


@click.command("up")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Start it even where the fleet does not fit into the memory.")
@click.pass_obj
def command(interrupts: Interrupts, file: Path, force: bool) -> None:
    """Bring up the pair and the idle fleet of the drill in FILE, and leave them running."""
    loaded = load_or_exit(file)
    sys.exit(up(loaded, force, interrupts))
