"""When the reigns of a PostgreSQL server began, read from the server's own log.

A promotion begins a new timeline, and the server writes down both ends of it: first that recovery is complete, when
it does not accept a write yet, and then that its first checkpoint starts and that it is ready, which two of its
processes say when it accepts them. The begin lies between, so the middle is taken, and half the distance is its
error: a few milliseconds, and less than a tenth of a second on a machine with thirty processes for two cores. The
first writer of a database has no promotion: its timeline 1 begins when it is ready for the first time.

It is **not** a begin when a server starts again (the timeline stays), when a standby starts, or when a standby
follows a timeline that another server began.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from loadgen.wire.bounded import Unreadable, open_regular

LINE_PREFIX = "%n "
"""PostgreSQL's ``log_line_prefix``: seconds since the epoch, with milliseconds."""
RESOLUTION_S = 0.001
"""The time stamp of a line has so many seconds cut off at most."""

_LINE = re.compile(r"(\d+\.\d{3}) LOG:  (.*)")
_STARTED = re.compile(r"starting PostgreSQL \d.*|database system was (shut down|interrupted).*")
_SELECTED = re.compile(r"selected new timeline ID: (\d+)")
_STANDBY = "entering standby mode"
_RECOVERED = "archive recovery complete"
_CHECKPOINT = re.compile(r"checkpoint starting: (?!end-of-recovery).*")
_READY = "database system is ready to accept connections"


@dataclass(frozen=True)
class Timeline:
    """A timeline that a server began as its writer.

    Attributes:
        number: its id; 0 when the line that names it cannot be read.
        began: wall time, seconds.
        error: how far ``began`` may be off, seconds; None when the log does not say it (a promotion that has not
            ended, or whose end is missing).
    """

    number: int
    began: float
    error: float | None


def timelines(log: Path | Iterable[str]) -> list[Timeline]:
    """The timelines that one server began, in the order of its log.

    Lines that are torn, or not PostgreSQL's own, are skipped.

    Raises:
        OSError: when the log cannot be read.
    """
    found: list[Timeline] = []
    promoting: Timeline | None = None
    """What is known of a promotion before it has ended; it began no earlier than this."""
    standby = ever_standby = False
    for at, message in _entries(_whole_lines(log) if isinstance(log, Path) else log):
        selected = _SELECTED.fullmatch(message)
        if promoting is not None and (selected or _STARTED.fullmatch(message)):
            found.append(promoting)
            promoting = None
        if selected:
            promoting = Timeline(int(selected[1]), at, None)
        elif _STARTED.fullmatch(message):
            standby = False
        elif message == _STANDBY:
            standby = ever_standby = True
        elif message == _RECOVERED and promoting is not None:
            promoting = Timeline(promoting.number, at, None)
        elif promoting is not None and (message == _READY or _CHECKPOINT.fullmatch(message)):
            found.append(_between(promoting, at))
            promoting, standby = None, False
        elif message == _READY:
            if standby:
                found.append(Timeline(0, at, None))
            elif not found and not ever_standby:
                found.append(Timeline(1, at, RESOLUTION_S))
            standby = False
    return found if promoting is None else [*found, promoting]


def _between(promoting: Timeline, ready: float) -> Timeline:
    """A promotion that has ended. Lines that are out of order say that the clock was set back meanwhile."""
    half = (ready - promoting.began) / 2
    return Timeline(promoting.number, promoting.began + half, half + RESOLUTION_S if half >= 0 else None)


def _entries(lines: Iterable[str]) -> Iterator[tuple[float, str]]:
    """Time and message of each line that the server wrote of its own accord."""
    for line in lines:
        if entry := _LINE.fullmatch(line.rstrip("\n")):
            yield float(entry[1]), entry[2]


def _whole_lines(log: Path) -> Iterator[str]:
    try:
        opened = open_regular(log, within=log.parent.parent)  # the site's
    except Unreadable as error:
        raise OSError(f"{log} {error}") from error
    with io.TextIOWrapper(opened, "utf-8", errors="replace", newline="\n") as source:
        yield from (line for line in source if line.endswith("\n"))
