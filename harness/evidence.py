"""A run directory's evidence, read once and handed to the measures, which do no I/O themselves.

The journal names every evidence file with its SHA-256; a file that was changed since is refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import journal
from harness.journal import CorruptJournal, Event, Journal

DIRECTORY = "evidence"
Record = dict[str, Any]


@dataclass(frozen=True)
class Snapshot:
    """What the metadata databases and log buckets of the active region held at one moment."""

    rows: frozenset[tuple[str, str, int]]
    """Ledger rows: Deployment, writer, number."""
    tasks: dict[tuple[str, str, str, str, int], tuple[str | None, int]]
    """Task instance (Deployment, Dag, run, task, map index) to its state and try number."""
    runs: frozenset[tuple[str, str, str]]
    """Dag runs: Deployment, Dag, run."""
    xcoms: frozenset[tuple[str, str, str, str, int]]
    logs: frozenset[str]
    """Keys of the task-log objects in the active region's bucket."""


@dataclass(frozen=True)
class Evidence:
    """All that a run left: its events, and the files that they name."""

    events: list[Event]
    witness: list[Record] = field(default_factory=list)
    links: list[Record] = field(default_factory=list)
    access: dict[str, list[Record]] = field(default_factory=dict)
    snapshots: dict[str, Snapshot] = field(default_factory=dict)

    def of(self, kind: str) -> list[Event]:
        """All events of a kind."""
        return [event for event in self.events if event.kind == kind]

    def first(self, kind: str) -> Event | None:
        """The first event of a kind, or None."""
        return next((event for event in self.events if event.kind == kind), None)


def store(run: Path, book: Journal, name: str, write: Callable[[Path], Any]) -> Path:
    """Have an evidence file written, then put its hash into the journal."""
    path = run / DIRECTORY / name
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path)
    book.append("evidence", durable=True, file=name, sha256=_sha256(path), bytes=path.stat().st_size)
    return path


def load(run: Path) -> Evidence:
    """Read a run directory.

    Raises:
        FileNotFoundError: when it holds no journal.
        CorruptJournal: when the journal or an evidence file is not what it was.
    """
    events = journal.read(run)
    files: dict[str, Path] = {}
    for event in events:
        if event.kind == "evidence":
            path = run / DIRECTORY / event["file"]
            if not path.exists() or _sha256(path) != event["sha256"]:
                raise CorruptJournal(f"{path} is missing or was changed after the run")
            files[event["file"]] = path
    access: dict[str, list[Record]] = {}
    for name, path in files.items():
        if name.startswith("access-"):
            access.setdefault(name.split("-")[1], []).extend(_lines(path))
    return Evidence(
        events=events,
        witness=_lines(files.get("witness.jsonl")),
        links=_lines(files.get("links.jsonl")),
        access=access,
        snapshots={
            name.removesuffix(".jsonl"): _snapshot(path)
            for name, path in files.items() if name.startswith("settled-")
        },
    )


def _lines(path: Path | None) -> list[Record]:
    if path is None:
        return []
    found = []
    with path.open() as source:
        for line in source:
            if line.endswith("\n"):
                found.append(json.loads(line))
    return found


def _snapshot(path: Path) -> Snapshot:
    rows, runs, xcoms, logs, tasks = set(), set(), set(), set(), {}
    with path.open() as source:
        for line in source:
            kind, *fact = json.loads(line)
            if kind == "row":
                rows.add((fact[0], fact[1], fact[2]))
            elif kind == "ti":
                tasks[fact[0], fact[1], fact[2], fact[3], fact[4]] = (fact[5], fact[6])
            elif kind == "run":
                runs.add((fact[0], fact[1], fact[2]))
            elif kind == "xcom":
                xcoms.add((fact[0], fact[1], fact[2], fact[3], fact[4]))
            elif kind == "log":
                logs.add(fact[0])
    return Snapshot(frozenset(rows), tasks, frozenset(runs), frozenset(xcoms), frozenset(logs))


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as source:
        while chunk := source.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
