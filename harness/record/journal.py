"""The journal: the run's only truth. Append-only, one record an event, hash-chained.

Each line is a JSON object ``{"n", "m", "t", "k", ..., "p", "h"}``: number, monotonic seconds,
wall-clock seconds, kind, the event's own fields, the hash before and the hash of this line. The first
one, of kind ``journal``, holds the format's number. A line that was changed, removed or reordered breaks the
chain, and :func:`read` says where; that nothing was cut off at the end is known from ``run.ended``, the
last record of a run that came to its end. The chain has no secret: it finds accidents, and whoever does not
make it anew, not a forger.

Announcements (an act that is about to happen, and how to undo it) are on disk before the act:
``append(..., durable=True)`` returns only after fsync. Observations are flushed to the kernel, which
survives the death of the harness.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import stat
import threading
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from harness.record.events import WORDS, Recorded
from loadgen.wire.bounded import Unreadable, open_regular

FILE = "journal.jsonl"
FORMAT = 2
"""Raised whenever an older version could misread what is written. Format 1 is that of 0.1.0."""
HEAD = "journal"
"""The kind of the first record."""
GENESIS = "0" * 64
LONGEST = 16 << 20
"""Bytes of a record: what DuckDB reads of a line at most. The longest holds the drill file."""
FARTHEST_S = 1e11
"""No clock of ours is farther from zero."""
_TAIL = len(',"h":"') + 64 + len('"}\n')


class CorruptJournal(Exception):
    """A journal that was changed after it was written, or that is not one."""


class OtherFormat(CorruptJournal):
    """A journal that another version of dr-drill wrote, and that this one cannot read."""


@dataclass(frozen=True)
class Event:
    """One record: number, monotonic and wall-clock time (seconds), kind and fields."""

    number: int
    monotonic: float
    wall: float
    kind: str
    data: dict[str, Any]

    def __getitem__(self, key: str) -> Any:
        return self.data[key]

    def get(self, key: str, default: Any = None) -> Any:
        """A field, or the default."""
        return self.data.get(key, default)


class Clock(Protocol):
    """Where the two stamps of a record come from; the module ``time`` is one."""

    def monotonic(self) -> float:
        """Seconds that go on evenly, from any zero."""

    def time(self) -> float:
        """Seconds since the epoch on the wall clock."""


class JournalInUse(Exception):
    """A journal that another process is writing."""


class RunExists(Exception):
    """A directory that holds a run already: another one must not be written over it."""


class NotOurs(Exception):
    """A directory in which others could change a run while it is written, or have it written elsewhere."""


@dataclass(frozen=True)
class _End:
    """Where the chain ends: the last record's hash and number, and the size of the file that far."""

    digest: str = GENESIS
    number: int = 0
    size: int = 0


class Journal:
    """A journal that is being written. Thread-safe; one writer a run, which holds a lock on the file."""

    def __init__(self, directory: Path, clock: Clock = time, *, new: bool = False,
                 mask: Callable[[str], str] = str) -> None:
        """Begin a run's journal, or go on with it; ``new``: only begin it.

        ``mask``: takes secrets out of messages, which may repeat what others were sent.

        Raises:
            RunExists: when there is one, and it was to be ``new``.
            NotOurs: when it was to be ``new``, and others can write into the directory.
            JournalInUse: when another process is writing it.
            CorruptJournal: when it was altered.
            OSError: when it cannot be written; of one that was to be begun nothing is left.
        """
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if new:
            _refuse_others(directory)
        self.path = directory / FILE
        self._clock, self._mask = clock, mask
        self._lock = threading.Lock()
        self._fd = _open_for_writing(self.path, new)
        try:
            self._end = _end_of(self.path, self._fd)
            self._torn = False
            if not self._end.number:
                self._write(HEAD, {"format": FORMAT}, durable=True)
        except BaseException:
            if not os.fstat(self._fd).st_size:
                self.path.unlink(missing_ok=True)
            os.close(self._fd)
            raise

    def append(self, event: Recorded, *, durable: bool = False) -> None:
        """Write one event; with ``durable`` it is on disk when this returns.

        Raises:
            OSError: when the disk is full or gone. The run cannot go on without its journal. Of this event nothing is
                in the file then, and later ones may be written again once there is room.
        """
        fields = {name: self._mask(value) if name in WORDS and isinstance(value, str) else value
                  for name, value in event.fields().items()}
        self._write(event.KIND, fields, durable=durable)

    def _write(self, kind: str, fields: dict[str, Any], *, durable: bool) -> None:
        with self._lock:
            self._mend()
            event = Event(self._end.number + 1, self._clock.monotonic(), self._clock.time(), kind, fields)
            line, digest = _line(event, self._end.digest)
            self._torn = True
            try:
                _write_all(self._fd, line)
                if durable:
                    os.fsync(self._fd)
                # One assignment: an interrupt strikes before it or after it.
                self._end = _End(digest, event.number, self._end.size + len(line))
                self._torn = False
            finally:
                with contextlib.suppress(OSError):
                    self._mend()

    def _mend(self) -> None:
        """Take back what a write that failed left of its line."""
        if self._torn:
            os.ftruncate(self._fd, self._end.size)
            self._torn = False

    def close(self) -> None:
        """Sync and close; a second call does nothing."""
        with self._lock:
            fd, self._fd = self._fd, -1
            if fd < 0:
                return
            try:
                os.fsync(fd)
            finally:
                os.close(fd)


def read(directory: Path, without: Collection[str] = ()) -> list[Event]:
    """All events of a run, checked, but for those of the kinds in ``without`` (checked all the same).

    A last line that was cut off in the middle (the harness was killed while it wrote) is left out; see
    :func:`torn`.

    Raises:
        CorruptJournal: naming the first line whose hash does not follow from the one before.
        OtherFormat: when another version wrote it.
        FileNotFoundError: when the directory holds no journal.
    """
    path = directory / FILE
    found = [event for event, _ in _chain(path, without)]
    if not found:
        raise CorruptJournal(f"{path} holds no record")
    if found[0].kind != HEAD:
        raise OtherFormat(f"{path} has the format of dr-drill 0.1.0; that version can read it")
    written = found[0].data.get("format")
    if written != FORMAT:
        raise OtherFormat(f"{path} has format {written}, this version of dr-drill reads format {FORMAT}; "
                          "use the version that wrote it, or a later one")
    return found[1:]


def torn(directory: Path) -> bool:
    """Whether the last line of a run's journal was cut off while it was written."""
    with (directory / FILE).open("rb") as source:
        source.seek(0, os.SEEK_END)
        size = source.tell()
        if not size:
            return False
        source.seek(size - 1)
        return source.read(1) != b"\n"


def _refuse_others(directory: Path) -> None:
    for found in (directory.lstat(), directory.stat()):
        if found.st_uid != os.geteuid():
            raise NotOurs(f"{directory} belongs to another user (id {found.st_uid})")
    if found.st_mode & stat.S_IWOTH:
        raise NotOurs(f"{directory} can be written by everybody")


def _open_for_writing(path: Path, new: bool) -> int:
    try:
        fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | (os.O_EXCL if new else 0), 0o600)
    except FileExistsError:
        raise RunExists(f"{path.parent} holds a run already") from None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise JournalInUse(f"{path} is being written by another process") from None
    return fd


def _end_of(path: Path, fd: int) -> _End:
    """Where a journal ends, after a line that a killed harness did not finish has been cut off."""
    size = os.fstat(fd).st_size
    whole = _whole(path, size)
    end = _End()
    for event, digest in _chain(path):
        end = _End(digest, event.number, whole)
    if whole != size:
        os.ftruncate(fd, whole)
    return end


def _whole(path: Path, size: int) -> int:
    """The size of a file up to the end of its last whole line."""
    with path.open("rb") as source:
        while size:
            begin = max(0, size - (1 << 20))
            source.seek(begin)
            if (found := source.read(size - begin).rfind(b"\n")) >= 0:
                return begin + found + 1
            size = begin
    return 0


def _write_all(fd: int, data: bytes) -> None:
    """Write all of it: a disk that is filling up takes a part first."""
    while data:
        data = data[os.write(fd, data):]


def _line(event: Event, previous: str) -> tuple[bytes, str]:
    body = {"n": event.number, "m": round(event.monotonic, 6), "t": round(event.wall, 6),
            "k": event.kind, **{k: v for k, v in event.data.items() if v is not None}, "p": previous}
    # Half of a surrogate pair, as an orchestrator's JSON may hold it, is no character and in no UTF-8 file.
    text = json.dumps(body, separators=(",", ":"), default=str, ensure_ascii=False).encode(errors="replace")
    digest = hashlib.sha256(text).hexdigest()
    return text[:-1] + f',"h":"{digest}"}}\n'.encode(), digest


def _chain(path: Path, without: Collection[str] = ()) -> Iterator[tuple[Event, str]]:
    """Events with their hashes. Every line is checked; those of kinds in ``without`` are not parsed."""
    skipped = {kind.encode() for kind in without}
    previous = GENESIS
    try:
        source = open_regular(path)
    except Unreadable as error:
        raise CorruptJournal(f"{path} {error}") from error
    with source:
        for number, raw in enumerate(iter(partial(source.readline, LONGEST + 1), b""), 1):
            if len(raw) > LONGEST:
                raise CorruptJournal(f"{path}:{number}: this line is longer than {LONGEST >> 20} MiB, and no record is")
            if not raw.endswith(b"\n"):
                return
            body, digest = raw[:-_TAIL] + b"}", raw[-_TAIL + 6:-3].decode(errors="replace")
            framed = raw[-_TAIL:-_TAIL + 6] == b',"h":"' and raw.endswith(b'"}\n')
            if not framed or not body.startswith(b'{"n":'):
                raise CorruptJournal(f"{path}:{number}: this line is not a journal record")
            chained = body.endswith(f',"p":"{previous}"}}'.encode())
            numbered = body.startswith(f'{{"n":{number},'.encode())
            if digest != hashlib.sha256(body).hexdigest() or not chained or not numbered:
                raise CorruptJournal(
                    f"{path}:{number}: the record was changed, removed or reordered after it was "
                    "written; figures from this journal cannot be trusted")
            previous = digest
            if skipped and _kind(body) in skipped:
                continue
            try:
                event = _event(body)
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                raise CorruptJournal(f"{path}:{number}: this line is not a journal record") from error
            yield event, digest


def _event(body: bytes) -> Event:
    """The event of a line whose hash is right, which says nothing of who wrote it.

    Raises:
        ValueError, KeyError, TypeError, RecursionError: when it is none.
    """
    line = json.loads(body.decode())
    del line["p"]
    event = Event(line.pop("n"), line.pop("m"), line.pop("t"), line.pop("k"), line)
    stamps = (event.monotonic, event.wall)
    if not isinstance(event.number, int) or not isinstance(event.kind, str):
        raise TypeError("a record has a number and a kind")
    if not all(isinstance(stamp, (int, float)) and -FARTHEST_S < stamp < FARTHEST_S for stamp in stamps):
        raise TypeError("a record has two times")
    if b"\\u" in body:
        json.dumps(line, ensure_ascii=False).encode()  # half of a surrogate pair can be escaped, and is no text
    return event


def _kind(body: bytes) -> bytes:
    """The kind of a record, from its head: ``{"n":..,"m":..,"t":..,"k":"probe",``."""
    return body.split(b'"k":"', 1)[1].split(b'"', 1)[0]
