"""``drill down``: remove environments that are on this machine.

Whoever made them may be dead, killed in the middle of anything, and what they wrote may be half written or gone. So
nothing here depends on what an environment says of itself, and one that is damaged keeps no other from being removed.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from harness.cli.interrupts import Interrupts
from harness.cli.terminal import Terminal, say
from harness.common.teardown import Failed, Teardown
from harness.engine.salvage import Salvage
from harness.environments.base import EnvironmentFailed
from harness.environments.embedded.ownership import Lock, Ownership, environments
from harness.environments.embedded.removal import remove as remove_parts
from harness.measures import ExitCode

PROCESSES, EVIDENCE, PARTS = "its processes", "its run's evidence", "what is left of it"
RECORD, REPORT, LOCK = "its run's record", "its run's report", "its lock"
"""The steps of a removal, as they are called when they fail."""


def down(identifier: str | None, everything: bool, interrupts: Interrupts) -> int:
    """Remove environments; the exit code."""
    console = Terminal()
    try:
        found = environments()
    except (OSError, EnvironmentFailed) as error:
        say(console, str(error), "red")
        return ExitCode.BROKEN
    chosen = [directory for directory in found if identifier in (None, directory.name)]
    if identifier is not None and not chosen:
        say(console, f"there is no environment {identifier} (drill status)", "red")
        return ExitCode.BAD_INPUT
    failed = False
    for directory in chosen:
        # What was begun is done, and then a signal is heeded.
        with interrupts.held():
            failed |= not _down(console, directory, also_living=everything or identifier is not None)
    if not chosen:
        say(console, "nothing to remove")
    return ExitCode.BROKEN if failed else ExitCode.PASS


def _down(console: Terminal, directory: Path, *, also_living: bool) -> bool:
    """Remove one environment, and say what became of it; False: something of it is left that should not be."""
    try:
        lock = Lock(directory)
        if not lock.take() and not also_living:
            say(console, f"{directory.name}: its drill is running; left alone")
            return True
        count, failed = remove(directory, lock)
    except Exception as error:
        say(console, f"{directory.name}: could not be removed: {error}", "red")
        return False
    for step in failed:
        say(console, f"{directory.name}: {step.what}: {step.error}", "red")
    if not _of(failed, PARTS, LOCK):
        say(console, f"{directory.name}: removed ({count} processes)")
    return not failed


def remove(directory: Path, lock: Lock) -> tuple[int, list[Failed]]:
    """Remove an environment whoever made it: how many processes it still had, and what could not be done.

    What its run measured so far is first brought to safety in the run's directory. ``lock`` is the environment's,
    taken unless a living harness has it.
    """
    ownership = Ownership.of(directory)
    salvage = Salvage(directory)
    killed = 0
    failed: list[Failed] = []

    def kill() -> None:
        nonlocal killed
        killed = ownership.kill()

    def let_go() -> None:
        if _of(failed, PARTS):
            lock.release()
        else:
            lock.remove()

    teardown = Teardown(failed.append)
    teardown.push(LOCK, let_go)
    teardown.push(REPORT, salvage.report)
    teardown.push(RECORD, lambda: salvage.end(_of(failed, EVIDENCE), _of(failed, PARTS)))
    teardown.push(PARTS, lambda: remove_parts(ownership))
    teardown.push(EVIDENCE, salvage.collect)
    teardown.push(PROCESSES, kill)
    teardown.run()
    return killed, failed


def _of(failed: Sequence[Failed], *steps: str) -> list[Failed]:
    return [step for step in failed if step.what in steps]


@click.command("down")
@click.argument("identifier", required=False)
@click.option("--all", "everything", is_flag=True,
              help="Also environments whose harness is still running.")
@click.pass_obj
def command(interrupts: Interrupts, identifier: str | None, everything: bool) -> None:
    """Remove environments that were left behind (or the one named)."""
    sys.exit(down(identifier, everything, interrupts))
