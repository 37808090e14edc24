"""Directories and files that are ours alone, in places that are not.

A temporary directory is shared with everybody on the machine: whoever comes first may have made the directory that
we want, or put a link in its place. So a directory is used only once it has been seen to be a real one that belongs to
us and that nobody else may write to; files are opened without following links, and begin with the mode that they are
to keep.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from harness.environments.base import EnvironmentFailed

PRIVATE_FILE, PRIVATE_DIRECTORY = 0o600, 0o700
PASSABLE_DIRECTORY = 0o711
"""One that others may pass through to what they have been given, and neither list nor write to."""
OTHERS_WRITE = 0o022
LARGEST_READ = 16 * 1024 * 1024
"""More than any file has that is read whole."""


class UntrustedPlace(EnvironmentFailed):
    """A path in a shared directory is not what we would have made."""


def make_directory(path: Path, mode: int = PRIVATE_DIRECTORY, owner: int | None = None) -> Path:
    """A directory of ours with exactly this mode, made if it is not there; its parent must exist.

    ``owner``: the user (and group) that it is to belong to, or does; None: us.

    Raises:
        UntrustedPlace: when something else has its name, or somebody else owns it or may write to it.
        OSError: when it cannot be made.
    """
    with contextlib.suppress(FileExistsError):
        path.mkdir(PRIVATE_DIRECTORY)
    with open_directory(path, owner) as fd:
        _give(fd, owner)
        # The bit by which what is made below takes on the group is kept.
        inherits = os.fstat(fd).st_mode & stat.S_ISGID
        if stat.S_IMODE(os.fstat(fd).st_mode) != mode | inherits:
            os.fchmod(fd, mode | inherits)
    return path


@contextlib.contextmanager
def open_directory(path: Path, owner: int | None = None) -> Iterator[int]:
    """A descriptor of a directory that is ours (or ``owner``'s), whatever happens to its name.

    Raises:
        UntrustedPlace: when it is a link, or no directory, or somebody else owns it or may write to it.
        OSError: when it cannot be opened.
    """
    if why := distrust(path, owner):
        raise UntrustedPlace(why)
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if why := _distrust_owner(path, os.fstat(fd), owner):
            raise UntrustedPlace(why)
        yield fd
    finally:
        os.close(fd)


def distrust(path: Path, owner: int | None = None) -> str | None:
    """Why a directory must not be used, and what to do about it; None when it is ours (``owner``'s), or not there yet."""
    with contextlib.suppress(FileNotFoundError):
        around = path.parent.stat()
        if around.st_mode & stat.S_IWOTH and not around.st_mode & stat.S_ISVTX:
            return (f"{path.parent} can be written by everybody and is not sticky, so nothing in it is safe: "
                    f"'chmod +t {path.parent}', or set DR_DRILL_HOME to a directory of your own")
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    if stat.S_ISLNK(found.st_mode):
        return f"{path} is a symbolic link, which dr-drill never makes there: remove it, or set DR_DRILL_HOME"
    if not stat.S_ISDIR(found.st_mode):
        return f"{path} is not a directory: remove it, or set DR_DRILL_HOME to another place"
    return _distrust_owner(path, found, owner)


def _distrust_owner(path: Path, found: os.stat_result, owner: int | None) -> str | None:
    if found.st_uid not in (os.geteuid(), owner):
        return (f"{path} belongs to another user (id {found.st_uid}): have them remove it, "
                "or set DR_DRILL_HOME to a directory of your own")
    if found.st_mode & OTHERS_WRITE:
        return f"{path} can be written by other users, who may have changed what is in it: remove it and try again"
    return None


def open_private(path: Path, flags: int) -> int:
    """Open a file that only its owner can read, made with that mode; never through a link.

    Raises:
        OSError: when its last part is a link, or it cannot be opened.
    """
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, PRIVATE_FILE)


def write_private(path: Path, text: str, owner: int | None = None) -> None:
    """Write a file that only its owner (None: we) can read, from its first byte on."""
    with os.fdopen(open_private(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "w") as sink:
        _give(sink.fileno(), owner)
        sink.write(text)


def write_atomically(path: Path, text: str, owner: int | None = None) -> None:
    """Write a private file so that whoever reads it finds all of it, or all of what was there before.

    Nothing that stands there already is opened: so it may be done in a directory that is another user's.
    """
    new = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(open_private(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "w") as sink:
            _give(sink.fileno(), owner)
            sink.write(text)
            sink.flush()
            os.fsync(sink.fileno())
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _give(fd: int, owner: int | None) -> None:
    if owner is not None:
        os.fchown(fd, owner, owner)


def read_private(path: Path, most: int = LARGEST_READ) -> str:
    """The text of an ordinary file, and of nothing else: no link is followed, no pipe or device waited for.

    Raises:
        OSError: when it is no ordinary file, or larger than ``most`` bytes, or cannot be read.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as source:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(f"{path} is not an ordinary file")
        if found.st_size > most:
            raise OSError(f"{path} has {found.st_size} bytes, which is more than the {most} that it may have")
        return source.read(most).decode(errors="replace")


def remove_directory(path: Path) -> None:
    """Remove a directory with all that is in it; of links, below it and in its place, only the links.

    Raises:
        OSError: when something of it cannot be removed. What can be is removed all the same.
    """
    try:
        linked = stat.S_ISLNK(path.lstat().st_mode)
    except FileNotFoundError:
        return
    if linked:
        path.unlink()
        return
    failed: list[OSError] = []

    def note(_: object, __: object, info: tuple[type[BaseException], BaseException, object]) -> None:
        if isinstance(info[1], OSError) and not isinstance(info[1], FileNotFoundError):
            failed.append(info[1])

    shutil.rmtree(path, onerror=note)
    if failed:
        raise failed[0]
