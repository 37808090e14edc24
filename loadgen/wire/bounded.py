"""Reading a file that somebody else wrote: a regular file, and never more of it than a bound.

Whoever names ``/dev/zero``, a pipe that nobody writes to or a file of gigabytes is told so at once.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

_KINDS = ((stat.S_ISDIR, "a directory"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"),
          (stat.S_ISCHR, "a device"), (stat.S_ISBLK, "a device"), (stat.S_ISLNK, "a link"))


class Unreadable(Exception):
    """A file that is not read; the message says why, without the file's name."""


def open_regular(path: Path, *, within: Path | None = None) -> BinaryIO:
    """Open a regular file for reading.

    ``within``: it must be in this directory, and no link. For where another user could have put one in its place, or on
    the way to it, so that we read what that user may not.

    Raises:
        FileNotFoundError: when there is none.
        Unreadable: when it is something else, or the system refuses it.
    """
    try:
        # Looked at before it is opened, because opening a device can have effects; and after, because
        # another may have taken its place. O_NONBLOCK: a pipe without a writer would be waited for.
        _refuse_special(path.stat(follow_symlinks=within is None).st_mode)
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        fd = os.open(path, flags | (0 if within is None else os.O_NOFOLLOW))
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror}") from error
    except ValueError as error:  # a NUL in the name
        raise Unreadable(f"cannot be read: {error}") from error
    try:
        _refuse_special(os.fstat(fd).st_mode)
        # What was opened is asked where it is: nobody can change that any more.
        if within is not None and not Path(os.readlink(f"/proc/self/fd/{fd}")).is_relative_to(within.resolve()):
            raise Unreadable("is somewhere else, behind a link")
    except Unreadable:
        os.close(fd)
        raise
    return os.fdopen(fd, "rb")


def read_bytes(path: Path, most: int) -> bytes:
    """The content of a regular file of at most ``most`` bytes.

    Raises:
        Unreadable: when there is none, it is something else or larger, or the system refuses it.
    """
    try:
        with open_regular(path) as source:
            data = source.read(most + 1)
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror}") from error
    if len(data) > most:
        raise Unreadable(f"is larger than {_size(most)}")
    return data


def _refuse_special(mode: int) -> None:
    if stat.S_ISREG(mode):
        return
    kind = next((name for fits, name in _KINDS if fits(mode)), "not a file")
    raise Unreadable(f"is {kind}, not a regular file")


def _size(count: int) -> str:
    return f"{count >> 20} MiB" if count >= 1 << 20 else f"{count >> 10} KiB"
