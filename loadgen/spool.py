"""What waits to be sent, kept where the end of its process cannot reach it: one file a client.

A line is in the file before anything tries to send it, and leaves it once it was received. So it does not
matter how a process ends (told to, killed, with its region's power): what it had not sent is there, and the
next client of the directory takes it over. A file belongs to whoever holds its lock (``flock``), which ends
with the process that holds it.

Nothing is forced to the disk's surface: the file outlives every process, not the machine. Where there is no
directory, or its disk takes no more, the same is kept in memory, and then it ends with the process.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

SUFFIX = ".jsonl"
TAKEN_BYTES = 1024 * 1024
"""So much is given out at a time (more where one line is longer)."""
COMPACT_BYTES = 4 * 1024 * 1024
"""So much that was sent already may lie before what waits; then the file is made anew without it."""


@dataclass(frozen=True)
class Room:
    """How much may wait."""

    lines: int
    size: int
    """In bytes."""


ON_DISK = Room(1_000_000, 256 * 1024 * 1024)
"""What the ledger writers of 80 Deployments have to say in a quarter of an hour."""
IN_MEMORY = Room(200_000, 64 * 1024 * 1024)


class Spool:
    """Lines in the order in which they came, of which the first are taken away. One thread at a time."""

    def __init__(self, descriptor: int, path: Path | None, room: Room | None) -> None:
        """Use :meth:`create` or :meth:`adopt`."""
        self.path = path
        """None: it is in memory."""
        self._descriptor = descriptor
        self._room = room
        self._begin, self._end = 0, os.fstat(descriptor).st_size
        self._waiting = 0
        self._note_at: int | None = None

    @classmethod
    def create(cls, directory: Path | None, name: str, room: Room | None = None) -> Spool:
        """An empty one, in ``directory`` if it can be there, otherwise in memory.

        ``room``: more than that is not kept (notes apart); None: as much as there is room for on disk, or in
        memory.
        """
        path = None if directory is None else directory / f"{name}{SUFFIX}"
        try:
            if path is not None:
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = _make(path, b"")
        except OSError:
            path, descriptor = None, _make(None, b"")
        return cls(descriptor, path, room)

    @classmethod
    def adopt(cls, path: Path) -> Spool | None:
        """What a dead client left in a file; None when its client lives, or somebody else has taken it."""
        try:
            descriptor = os.open(path, os.O_RDWR)
        except OSError:
            return None
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Between opening and locking, another file may have come under this name.
            if path.stat().st_ino == os.fstat(descriptor).st_ino:
                return cls(descriptor, path, None)
        os.close(descriptor)
        return None

    @property
    def empty(self) -> bool:
        """Whether nothing waits."""
        return self._begin == self._end

    @property
    def note_open(self) -> bool:
        """Whether the last thing that waits is a note that can still be written over."""
        return self._note_at is not None

    def append(self, line: bytes) -> bool:
        """Add a line (without its end); False when there is no room for it."""
        room = self._room or (IN_MEMORY if self.path is None else ON_DISK)
        if self._waiting >= room.lines or self._end - self._begin + len(line) >= room.size:
            return False
        self._note_at = None
        self._write(line)
        return True

    def note(self, line: bytes) -> None:
        """Add a line whatever room there is, or put it in the place of the last one if that is a note too.

        The new one must not be shorter.
        """
        if self._note_at is not None:
            self._end = self._note_at
            self._waiting -= 1
        self._write(line)
        self._note_at = self._end - len(line) - 1

    def take(self, lines_most: int) -> tuple[list[bytes], int]:
        """The first lines that wait, and how many bytes they are in the file, where they stay.

        What follows the last end of a line, in a file that nobody writes to any more, was cut off. It is
        given out as it is.
        """
        there = self._end - self._begin
        size = min(TAKEN_BYTES, there)
        while b"\n" not in (data := os.pread(self._descriptor, size, self._begin)) and size < there:
            size = min(2 * size, there)
        *lines, rest = data.split(b"\n", lines_most)
        size = len(data) - len(rest) if lines else len(data)
        if self._note_at is not None and self._note_at < self._begin + size:
            self._note_at = None  # it is given out, and stays as it is
        return lines or [rest], size

    def taken(self, lines: int, size: int) -> None:
        """Remove what :meth:`take` gave out."""
        self._begin += size
        self._waiting -= lines
        if self.empty:
            os.ftruncate(self._descriptor, 0)
            self._begin = self._end = 0
        elif self._begin > max(COMPACT_BYTES, self._end - self._begin):
            with contextlib.suppress(OSError):  # a full disk: then the file stays as it is
                self._move(self.path)

    def close(self, *, remove: bool = False) -> None:
        """Let go of the file, so that somebody else may take it over, or ``remove`` it."""
        if remove and self.path is not None:
            self.path.unlink(missing_ok=True)
        os.close(self._descriptor)

    def _write(self, line: bytes) -> None:
        data = line + b"\n"
        try:
            _write_at(self._descriptor, data, self._end)
        except OSError:
            if self.path is None:
                raise
            old = self.path
            self._move(None)
            old.unlink(missing_ok=True)
            _write_at(self._descriptor, data, self._end)
        self._end += len(data)
        self._waiting += 1

    def _move(self, path: Path | None) -> None:
        """Go on with a file that holds nothing but what waits."""
        waiting = os.pread(self._descriptor, self._end - self._begin, self._begin)
        new = _make(path, waiting)
        os.close(self._descriptor)
        self._descriptor, self.path, self._note_at = new, path, None
        self._begin, self._end = 0, len(waiting)


def _make(path: Path | None, data: bytes) -> int:
    """A locked file that holds ``data``, under ``path`` from the moment on that all of that is so."""
    if path is None:
        descriptor = os.memfd_create("spool")
        _write_at(descriptor, data, 0)
        return descriptor
    new = path.with_suffix(".new")
    descriptor = os.open(new, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        _write_at(descriptor, data, 0)
        new.rename(path)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _write_at(descriptor: int, data: bytes, place: int) -> None:
    """Write all of it, or raise: a disk that is nearly full takes a part."""
    left = memoryview(data)
    while left:
        written = os.pwrite(descriptor, left, place)
        left, place = left[written:], place + written
