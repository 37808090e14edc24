"""What is ours: which processes an environment is made of, and which process it belongs to.

**The mark.** Every process that is started for an environment has in its environment block, which only its own user
can read, the environment's directory and a random number: ``DR_DRILL_ENVIRONMENT=/tmp/dr-drill-1000/envs/ID:NUMBER``.
Whatever it starts inherits that, wherever it goes and even once its parent is dead, and even if the directory is
deleted under it. A process is ours when it has the mark *and* runs as our user (or as the one that we have it run as,
see ``user``). A shell that stands in the directory has no mark, and a stranger's process that imitates one has another user.
PostgreSQL overwrites the environment block of its server processes with their title. They are known by their
program and their working directory, which nobody else can enter.

**The lock.** A process that makes, runs or removes an environment holds a lock on ``locks/ID``. The kernel lets go of
it when that process ends, however it ends, so that a dead harness, be it a zombie that nobody has waited for, holds
nothing. The file has the random number of the mark in it, and the user of the environment's own if it has one.

Nothing is ever stopped by name.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import signal
import time
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from pathlib import Path

from harness.environments.base import EnvironmentFailed
from harness.environments.embedded.layout import ENVIRONMENTS, LOCKS, environments_root, make_root
from harness.environments.embedded.private import UntrustedPlace, distrust, open_private, read_private
from harness.environments.embedded.shared_memory import made_by, remove
from harness.environments.embedded.state import EnvironmentState
from harness.environments.embedded.user import FIRST, LAST, users_of, users_of_any

MARK = "DR_DRILL_ENVIRONMENT"
"""The variable that every process of an environment has."""
SERVER = "postgres"
"""The program whose processes have no environment block to be read."""
EXHAUSTED = (errno.EMFILE, errno.ENFILE)
"""Who has no file descriptors left has not seen that a process is gone."""
LOCK_PATIENCE_S = 0.5
"""Somebody who only looks whether a lock is held, holds it for a moment."""


def process_start(pid: int) -> int | None:
    """When a living process began (kernel ticks), to tell it from a later one with its id; None: it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError as error:
        if error.errno in EXHAUSTED:
            raise
        return None
    return None if fields[0] in "ZX" else int(fields[19])


@dataclass(frozen=True)
class Ownership:
    """What proves that a process belongs to the environment in ``directory``.

    ``number``: the random one of its mark. Where it is lost, the directory in the mark has to do. ``user``: the one of
    the environment's own that its processes run as; None: they run as we do, or it is lost as well.
    """

    directory: Path
    number: str | None
    user: int | None = None

    @classmethod
    def new(cls, directory: Path, user: int | None = None) -> Ownership:
        """That of an environment which is about to be made."""
        return cls(resolved(directory), secrets.token_hex(16), user)

    @classmethod
    def of(cls, directory: Path) -> Ownership:
        """That of an environment which somebody has made."""
        try:
            said = read_private(_lock_of(directory), 1024).split()
        except OSError:
            said = []
        number, user = (*said, "", "")[:2]
        own = int(user) if user.isascii() and user.isdigit() and FIRST <= int(user) <= LAST else None
        return cls(resolved(directory), number or None, own)

    @property
    def mark(self) -> Mapping[str, str]:
        """The variable that every process of the environment has to be started with."""
        return {MARK: f"{self.directory}:{self.number}"}

    @property
    def users(self) -> frozenset[int]:
        """The users that its processes may have."""
        return users_of_any() if self.number is None else users_of(self.user)

    def processes(self, below: Path | None = None) -> set[int]:
        """Ids of its living processes; of those alone whose working directory is in ``below`` (a site's)."""
        return set(self._find(below))

    def kill(self, below: Path | None = None, timeout: float = 20.0) -> int:
        """SIGKILL all its processes, or all in ``below``, as one act; how many there were.

        All are frozen first (SIGSTOP), looked for again until no new one appears, and only then
        killed, so that none can react to the death of another: that is what losing a region is.
        What they have made in the kernel goes with them.

        Raises:
            EnvironmentFailed: when one is still alive after ``timeout`` seconds.
            OSError: when the kernel keeps what one has made.
        """
        deadline = time.monotonic() + timeout
        frozen: dict[int, int] = {}
        while fresh := _without(self._find(below), frozen):
            _signal(fresh, signal.SIGSTOP)
            frozen |= fresh
            if time.monotonic() > deadline:
                break
        segments = made_by(set(frozen), self.users)
        _signal(frozen, signal.SIGKILL)
        while left := _alive(frozen) | self._find(below):
            _signal(left, signal.SIGKILL)
            if time.monotonic() > deadline:
                raise EnvironmentFailed(f"processes {sorted(left)} did not die on SIGKILL")
            time.sleep(0.02)
        for segment in segments:
            remove(segment)
        return len(frozen)

    def _find(self, below: Path | None) -> dict[int, int]:
        """Ids and beginnings of the processes."""
        place = None if below is None else str(resolved(below))
        wanted = f"{self.directory}:{self.number or ''}"
        found = {}
        for pid in _of(self.users):
            start = process_start(pid)
            cwd, mark = _directory_of(pid), mark_of(pid)
            ours = (mark == wanted or (self.number is None and mark.startswith(wanted)) if mark is not None
                    else is_server(pid) and _is_in(cwd, str(self.directory)))
            if start is not None and ours and (place is None or _is_in(cwd, place)):
                found[pid] = start
        found.pop(os.getpid(), None)
        return found


class Lock:
    """The lock that whoever makes, runs or removes an environment holds meanwhile."""

    def __init__(self, directory: Path) -> None:
        """``directory``: the environment's."""
        self._directory, self._path = directory, _lock_of(directory)
        self._fd: int | None = None

    def make(self, user: int | None = None) -> Ownership:
        """Take the lock of an environment that does not exist yet; the proof of what will be its own.

        ``user``: the one that its processes will run as; None: as we do.

        Raises:
            UntrustedPlace: when the place for environments is not ours alone.
            OSError: when there is one already, or it cannot be made.
        """
        make_root()
        ownership = Ownership.new(self._directory, user)
        self._fd = open_private(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        os.write(self._fd, f"{ownership.number} {'' if user is None else user}\n".encode())
        return ownership

    def take(self) -> bool:
        """Take the lock of an environment that somebody has made; False: a living process has it.

        Raises:
            UntrustedPlace: when the place for environments is not ours alone.
            OSError: when the lock cannot be opened.
        """
        make_root()
        deadline = time.monotonic() + LOCK_PATIENCE_S
        while self._fd is None:
            fd = open_private(self._path, os.O_RDWR | os.O_CREAT)
            if not _try_lock(fd, fcntl.LOCK_EX):
                os.close(fd)
                if time.monotonic() > deadline:
                    return False
                time.sleep(0.02)
            elif _is_still(fd, self._path):
                self._fd = fd
            else:  # whoever had it has just removed it with the environment
                os.close(fd)
        return True

    def remove(self) -> None:
        """Remove the lock, as the last of an environment. Only its holder may."""
        if self._fd is not None:
            self._path.unlink(missing_ok=True)
            self.release()

    def release(self) -> None:
        """Let go of it; the environment stays, and is nobody's."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def held(directory: Path) -> bool:
    """Whether a living process makes, runs or removes an environment."""
    try:
        fd = open_private(_lock_of(directory), os.O_RDWR)
    except OSError:
        # The lock was deleted; what the environment says of its owner is left.
        state = EnvironmentState.load(directory)
        return state.owner is not None and process_start(state.owner) == state.owner_started is not None
    try:
        return not _try_lock(fd, fcntl.LOCK_SH)
    finally:
        os.close(fd)


def environments(root: Path | None = None) -> list[Path]:
    """Directories of all environments of this user, also of one that has nothing left but its processes.

    Raises:
        UntrustedPlace: when the place for environments is not ours alone.
    """
    root = environments_root() if root is None else root
    if why := distrust(root):
        raise UntrustedPlace(why)
    names = set()
    for place in (root / ENVIRONMENTS, root / LOCKS):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            names |= set(os.listdir(place))
    home = f"{resolved(root / ENVIRONMENTS)}/"
    for pid in _of(users_of_any()):
        mark = mark_of(pid) or ""
        if mark.startswith(home) and pid != os.getpid():
            names.add(mark.removeprefix(home).rpartition(":")[0])
    # A mark is what its process says: a path in it ("../..") must not lead to what is to be removed.
    return [root / ENVIRONMENTS / name for name in sorted(names) if name not in ("", ".", "..") and "/" not in name]


def mark_of(pid: int) -> str | None:
    """The mark in a process's environment block; None where there is none, or it is not ours to read."""
    try:
        block = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError as error:
        if error.errno in EXHAUSTED:
            raise
        return None
    prefix = f"{MARK}=".encode()
    for entry in block.split(b"\0"):
        if entry.startswith(prefix):
            return os.fsdecode(entry.removeprefix(prefix))
    return None


def is_server(pid: int) -> bool:
    """Whether a process is a PostgreSQL server's."""
    try:
        return os.readlink(f"/proc/{pid}/exe").removesuffix(" (deleted)").rpartition("/")[2] == SERVER
    except OSError:
        return False


def resolved(directory: Path) -> Path:
    """A directory's path without links on the way to it; should it be one itself, it is not followed."""
    return directory.parent.resolve() / directory.name


def _lock_of(directory: Path) -> Path:
    return directory.parent.parent / LOCKS / directory.name


def _of(users: Set[int]) -> Iterator[int]:
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                if Path(f"/proc/{entry}").stat().st_uid in users:
                    yield int(entry)


def _directory_of(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/cwd").removesuffix(" (deleted)")
    except OSError:
        return ""


def _is_in(path: str, directory: str) -> bool:
    return path == directory or path.startswith(directory + "/")


def _without(found: Mapping[int, int], known: Mapping[int, int]) -> dict[int, int]:
    return {pid: start for pid, start in found.items() if known.get(pid) != start}


def _alive(processes: Mapping[int, int]) -> dict[int, int]:
    return {pid: start for pid, start in processes.items() if process_start(pid) == start}


def _signal(processes: Mapping[int, int], number: signal.Signals) -> None:
    """Signal processes, and none that has taken over the id of one."""
    for pid, start in processes.items():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            try:
                fd = os.pidfd_open(pid)
            except OSError as error:
                if error.errno in (errno.ENOSYS, errno.EPERM, *EXHAUSTED) and process_start(pid) == start:
                    os.kill(pid, number)  # a sandbox without process descriptors, or there are no more of any
                continue
            try:
                if process_start(pid) == start:
                    signal.pidfd_send_signal(fd, number)
            finally:
                os.close(fd)


def _try_lock(fd: int, kind: int) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
            raise
        return False
    return True


def _is_still(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.lstat())
    except FileNotFoundError:
        return False
