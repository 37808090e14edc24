"""A run directory's evidence, read once and handed to the measures, which do no I/O themselves.

The journal names every evidence file with its rows and its SHA-256. What was altered, cut or taken away is
damage, and the run is refused with a list of it; what was never there, or could not be read when it was
stored, is a gap, which the verdict shows. Events by which a drill is told (phases, faults, transitions)
are a list; what comes by the million is in columnar tables (see :mod:`harness.record.tables`).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import duckdb

from harness.record import journal
from harness.record.events import EvidenceStored, R, Recorded, UnreadableEvent, parse
from harness.record.journal import CorruptJournal, Journal
from harness.record.tables import BULK, FORMAT, SCHEMAS, Tables, to_parquet, written

DIRECTORY = "evidence"


class DamagedRecord(Exception):
    """A run directory that is not what the harness left.

    Attributes:
        problems: what is wrong, a line each.
    """

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class Evidence:
    """All that a run left: its events in order, and the tables of the rest."""

    events: list[Recorded]
    tables: Tables = field(repr=False)
    snapshots: tuple[str, ...] = ()
    """Names of the looks into the active region's databases and buckets, oldest first."""
    has_links: bool = False
    """Whether the network's own record is there."""
    stored: dict[str, int] = field(default_factory=dict)
    """Table to the rows that were stored of it."""
    gaps: tuple[str, ...] = ()
    """What was found to be missing when the evidence was read."""

    def of(self, kind: type[R]) -> list[R]:
        """All events of a kind."""
        return [event for event in self.events if isinstance(event, kind)]

    def first(self, kind: type[R]) -> R | None:
        """The first event of a kind, or None."""
        return next(iter(self.of(kind)), None)


def store(run: Path, book: Journal, table: str, name: str, write: Callable[[Path], Any]) -> Path:
    """Have an evidence file written as JSON lines, keep it as Parquet, put its hash into the journal.

    ``write`` is given a path to write to; ``name``: the file's name without suffix.
    """
    lines = run / DIRECTORY / f"{name}.jsonl"
    lines.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        write(lines)
        return store_lines(run, book, table, name, lines)
    finally:
        lines.unlink(missing_ok=True)


def store_lines(run: Path, book: Journal, table: str, name: str, lines: Path) -> Path:
    """Keep a file of JSON lines that exists as Parquet, and put its rows and its hash into the journal."""
    path = run / DIRECTORY / f"{name}.parquet"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    rows, unreadable = to_parquet(table, lines, path)
    book.append(EvidenceStored(file=path.name, table=table, sha256=sha256(path), rows=rows,
                               bytes=path.stat().st_size, unreadable=unreadable), durable=True)
    return path


def load(run: Path) -> Evidence:
    """Read a run directory.

    Raises:
        FileNotFoundError: when it holds no journal.
        OtherFormat: when another version of dr-drill wrote it.
        DamagedRecord: when the journal or an evidence file is not what it was, with all that is wrong.
    """
    try:
        raw = journal.read(run, without=BULK)
    except journal.OtherFormat:
        raise
    except CorruptJournal as error:
        raise DamagedRecord([str(error)]) from error
    except FileNotFoundError:
        raise
    except OSError as error:
        raise DamagedRecord([f"{run / journal.FILE} cannot be read: {error}"]) from error
    problems: list[str] = []
    events: list[Recorded] = []
    for event in raw:
        try:
            events.append(parse(event.kind, event.data, event.number, event.monotonic, event.wall))
        except UnreadableEvent as error:
            problems.append(f"{run / journal.FILE}: {error}")
    listed = [event for event in events if isinstance(event, EvidenceStored)]
    tables = Tables()
    for file in listed:
        problems += _wrong_with(run / DIRECTORY, file, tables)
    times = Counter(file.file for file in listed)
    problems += [f"{run / DIRECTORY / name} was stored more than once" for name in sorted(times) if times[name] > 1]
    if problems:
        raise DamagedRecord(problems)
    gaps = [f"{file.unreadable} lines of {file.file} could not be read when it was stored"
            for file in listed if file.unreadable]
    if journal.torn(run):
        gaps.append("the journal's last line was cut off while it was written")
    return _open(run, events, listed, gaps, tables)


def _open(run: Path, events: list[Recorded], listed: list[EvidenceStored], gaps: list[str],
          tables: Tables) -> Evidence:
    files: dict[str, dict[str, list[Path]]] = {table: {} for table in SCHEMAS}
    stored: dict[str, int] = {}
    for event in listed:
        path = run / DIRECTORY / event.file
        named = path.stem.split("-")[1] if event.table == "access" else path.stem
        files[event.table].setdefault(named, []).append(path)
        stored[event.table] = stored.get(event.table, 0) + event.rows
    try:
        for table, found in files.items():
            tables.view(table, found)
        tables.journal(run / journal.FILE)
    except duckdb.Error as error:
        raise DamagedRecord([f"the evidence of {run} cannot be read: {_line(error)}"]) from error
    return Evidence(events, tables, tuple(files["held"]), stored.get("links", 0) > 0, stored, tuple(gaps))


def _wrong_with(directory: Path, event: EvidenceStored, tables: Tables) -> list[str]:
    path = directory / event.file
    if Path(event.file).name != event.file or (event.table == "access" and "-" not in event.file):
        return [f"{path} is not the name of an evidence file"]
    if event.table not in SCHEMAS:
        return [f"{path} holds a table that this version does not know: {event.table}"]
    try:
        if not path.is_file():
            return [f"{path} is missing"]
        if sha256(path) != event.sha256:
            return [f"{path} was changed after the run"]
        found = written(path, tables.db)
    except (OSError, duckdb.Error) as error:
        return [f"{path} cannot be read: {_line(error)}"]
    if found.format != FORMAT:
        return [f"{path} has format {found.format}, this version of dr-drill reads format {FORMAT}"]
    if not found.fits(event.table):
        return [f"{path} has not the columns of the table {event.table}"]
    if found.rows != event.rows:
        return [f"{path} has {found.rows} rows, and had {event.rows} when it was stored"]
    return []


def _line(error: Exception) -> str:
    """What a library says, on one line."""
    return " ".join(str(error).split())[:500]


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as source:
        for chunk in iter(partial(source.read, 1 << 20), b""):
            digest.update(chunk)
    return digest.hexdigest()
