"""A run directory's evidence, read once and handed to the measures, which do no I/O themselves.

The journal names every evidence file with its SHA-256; a file that was changed since is refused. Events
by which a drill is told (phases, faults, transitions) are a list; what comes by the million is in
columnar tables (see ``harness.tables``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from harness import journal
from harness.journal import CorruptJournal, Event, Journal
from harness.tables import BULK, SCHEMAS, Tables, to_parquet

DIRECTORY = "evidence"


@dataclass(frozen=True)
class Evidence:
    """All that a run left: its events in order, and the tables of the rest."""

    events: list[Event]
    tables: Tables = field(repr=False)
    snapshots: tuple[str, ...] = ()
    """Names of the snapshots of the active region's databases and log buckets, oldest first."""
    has_links: bool = False
    """Whether the network's own record is there."""

    def of(self, kind: str) -> list[Event]:
        """All events of a kind."""
        return [event for event in self.events if event.kind == kind]

    def first(self, kind: str) -> Event | None:
        """The first event of a kind, or None."""
        return next((event for event in self.events if event.kind == kind), None)


def store(run: Path, book: Journal, table: str, name: str, write: Callable[[Path], Any]) -> Path:
    """Have an evidence file written as JSON lines, keep it as Parquet, put its hash into the journal.

    ``write`` is given a path to write to; ``name``: the file's name without suffix.
    """
    lines = run / DIRECTORY / f"{name}.jsonl"
    lines.parent.mkdir(parents=True, exist_ok=True)
    try:
        write(lines)
        return store_lines(run, book, table, name, lines)
    finally:
        lines.unlink(missing_ok=True)


def store_lines(run: Path, book: Journal, table: str, name: str, lines: Path) -> Path:
    """Keep a file of JSON lines that exists as Parquet, and put its hash into the journal."""
    path = run / DIRECTORY / f"{name}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    to_parquet(table, lines, path)
    book.append("evidence", durable=True, file=path.name, table=table, sha256=sha256(path),
                bytes=path.stat().st_size)
    return path


def load(run: Path) -> Evidence:
    """Read a run directory.

    Raises:
        FileNotFoundError: when it holds no journal.
        CorruptJournal: when the journal or an evidence file is not what it was.
    """
    events = journal.read(run, without=BULK)
    files: dict[str, dict[str, list[Path]]] = {table: {} for table in SCHEMAS}
    for event in events:
        if event.kind == "evidence":
            path = run / DIRECTORY / event["file"]
            if not path.exists() or sha256(path) != event["sha256"]:
                raise CorruptJournal(f"{path} is missing or was changed after the run")
            named = path.stem.split("-")[1] if event["table"] == "access" else path.stem
            files[event["table"]].setdefault(named, []).append(path)
    tables = Tables()
    for table, found in files.items():
        tables.view(table, found)
    tables.journal(run / journal.FILE)
    return Evidence(events, tables, tuple(files["held"]), bool(files["links"]))


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as source:
        for chunk in iter(partial(source.read, 1 << 20), b""):
            digest.update(chunk)
    return digest.hexdigest()
