"""The System V segments that killed PostgreSQL servers leave in the kernel.

A server has a small one by which a second server of the same data directory would be noticed. What a living server of
ours has made is known to the kernel (:func:`made_by`). Of one that is dead, ``postmaster.pid`` tells the number; but
that is a file, and numbers are used again. So a segment is taken for its only if the kernel itself says that it is
what the file tells of: the same key, made by that server's process and by one of our users, and attached by nobody.
"""

from __future__ import annotations

import ctypes
from collections.abc import Set
from dataclasses import dataclass, replace
from pathlib import Path

from harness.environments.embedded.private import read_private

SEGMENTS = Path("/proc/sysvipc/shm")
REMOVE = 0  # IPC_RMID


@dataclass(frozen=True)
class Segment:
    """What the kernel says of a segment."""

    key: int
    identifier: int
    creator: int
    """The process that made it."""
    attached: int
    creator_user: int


def segments(table: Path = SEGMENTS) -> dict[int, Segment]:
    """All segments that there are, by their identifiers."""
    try:
        lines = table.read_text().splitlines()
    except OSError:
        return {}
    names, *rows = [line.split() for line in lines] or [[]]
    found = {}
    for row in rows:
        value = dict(zip(names, row, strict=False))
        made = Segment(int(value["key"]), int(value["shmid"]), int(value["cpid"]), int(value["nattch"]),
                       int(value["cuid"]))
        found[made.identifier] = made
    return found


def left_by(data: Path, users: Set[int]) -> Segment | None:
    """The segment that the killed server of a data directory has left, if it is there and certainly is its."""
    try:
        lines = read_private(data / "postmaster.pid", 4096).splitlines()
        server = abs(int(lines[0]))
        key, identifier = (int(word) for word in lines[6].split())
    except (OSError, IndexError, ValueError):
        return None
    segment = segments().get(identifier)
    if (segment is None or segment.attached or segment.creator != server or segment.creator_user not in users
            or segment.key & 0xFFFFFFFF != key & 0xFFFFFFFF):
        return None
    return segment


def made_by(processes: Set[int], users: Set[int]) -> list[Segment]:
    """The segments that living processes of ours have made."""
    return [segment for segment in segments().values()
            if segment.creator in processes and segment.creator_user in users]


def remove(segment: Segment) -> bool:
    """Remove a segment, if it is still the one that was found and nobody is attached to it; whether it was there.

    Raises:
        OSError: when the kernel does not let us.
    """
    if segments().get(segment.identifier) != replace(segment, attached=0):
        return False
    library = ctypes.CDLL(None, use_errno=True)
    if library.shmctl(segment.identifier, REMOVE, None) != 0:
        raise OSError(ctypes.get_errno(), f"shared-memory segment {segment.identifier} cannot be removed")
    return True
