"""How an environment, or one site of it, is ended: its processes, what they left in the kernel, its directory.

Each step is tried, whatever happened to the ones before it, and what could not be done is said at the end.
"""

from __future__ import annotations

import stat
from collections.abc import Callable
from functools import partial
from pathlib import Path

from harness.environments.base import EnvironmentFailed
from harness.environments.embedded import shared_memory
from harness.environments.embedded.ownership import Ownership
from harness.environments.embedded.postgres import data_of
from harness.environments.embedded.private import remove_directory


class _Steps:
    """Steps of which each is tried."""

    def __init__(self) -> None:
        self.failed: list[str] = []

    def attempt(self, act: Callable[[], object]) -> None:
        try:
            act()
        except (OSError, EnvironmentFailed) as error:
            self.failed.append(str(error))

    def end(self, what: str) -> None:
        if self.failed:
            raise EnvironmentFailed(f"{what}: {'; '.join(self.failed)}")


def kill(ownership: Ownership, site: Path | None = None) -> int:
    """Kill an environment's processes, or those of one site, and remove what that leaves in the kernel; how many.

    Raises:
        EnvironmentFailed: saying what is left, and why.
    """
    killed, steps = 0, _Steps()

    def kill_processes() -> None:
        nonlocal killed
        killed = ownership.kill(site)

    steps.attempt(kill_processes)
    # What living servers had made went with them; of dead ones it is known from what they wrote down.
    for place in [site] if site is not None else _sites(ownership.directory):
        if (left := shared_memory.left_by(data_of(place), ownership.users)) is not None:
            steps.attempt(partial(shared_memory.remove, left))
    steps.end("not all could be killed")
    return killed


def remove(ownership: Ownership) -> int:
    """Remove all of an environment but its lock; how many processes it still had.

    Where a link stands in the place of its directory, only the link is removed.

    Raises:
        EnvironmentFailed: saying what is left, and why.
    """
    killed, steps = 0, _Steps()

    def kill_all() -> None:
        nonlocal killed
        killed = kill(ownership)

    steps.attempt(kill_all)
    steps.attempt(partial(remove_directory, ownership.directory))
    steps.end(f"{ownership.directory} could not be removed")
    return killed


def _sites(directory: Path) -> list[Path]:
    """The sites of an environment; none where its directory is not there, or a link."""
    try:
        real = stat.S_ISDIR(directory.lstat().st_mode)
    except OSError:
        return []
    return sorted((directory / "sites").glob("*")) if real else []
