"""How an environment is removed: its processes, what they left in the kernel, its directory.

Each step is tried, whatever happened to the ones before it, and what could not be done is said at the end.
"""

from __future__ import annotations

import stat
from collections.abc import Callable
from functools import partial

from harness.environments.base import EnvironmentFailed
from harness.environments.embedded.ownership import Ownership, our_users
from harness.environments.embedded.postgres import data_of
from harness.environments.embedded.private import remove_directory
from harness.environments.embedded.shared_memory import remove_left_by


def remove(ownership: Ownership) -> int:
    """Remove all of an environment but its lock; how many processes it still had.

    Where a link stands in the place of its directory, only the link is removed.

    Raises:
        EnvironmentFailed: saying what is left, and why.
    """
    failed: list[str] = []
    killed = 0

    def attempt(act: Callable[[], object]) -> None:
        try:
            act()
        except (OSError, EnvironmentFailed) as error:
            failed.append(str(error))

    def kill() -> None:
        nonlocal killed
        killed = ownership.kill()

    attempt(kill)
    directory = ownership.directory
    if _is_directory(ownership):
        for site in sorted((directory / "sites").glob("*")):
            attempt(partial(remove_left_by, data_of(site), our_users()))
    attempt(partial(remove_directory, directory))
    if failed:
        raise EnvironmentFailed(f"{directory} could not be removed: {'; '.join(failed)}")
    return killed


def _is_directory(ownership: Ownership) -> bool:
    try:
        return stat.S_ISDIR(ownership.directory.lstat().st_mode)
    except OSError:
        return False
