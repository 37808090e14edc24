"""What an environment's parts wrote goes into the run directory before the environment goes.

Whoever wrote it may be writing still. So each file is copied up to its last whole line at one moment; and what
clients kept because they could not send it is copied before the witness's own record, so that nothing falls between
the two: what is in both is left out of the former.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO

from harness.environments.base import Environment
from harness.record import evidence as evidences
from harness.record.events import EpochBegan, EvidenceStored, Gap, Recorded
from harness.record.journal import Journal
from harness.record.tables import Tables, parquet
from loadgen.wire.bounded import open_regular

PROMISED = ("witness", "links", "usage", "access", "held")
"""The tables that an environment's parts and looks leave; one that is missing at the end is a gap."""
CHUNK = 1 << 20


class EvidenceLost(Exception):
    """Something that an environment's parts had written could not be kept."""


def collect(environment: Environment, output: Path, book: Journal, before: Sequence[Recorded] = ()) -> None:
    """Keep what an environment's parts wrote in the run directory, rows and hashes in the journal.

    ``before``: what is in the journal already, when an earlier collection was cut off.

    Raises:
        EvidenceLost: when some of it could not be kept, and why. All the rest is kept.
    """
    stored = {event.file for event in before if isinstance(event, EvidenceStored)}
    known = {(event.deployment, event.number, event.site) for event in before if isinstance(event, EpochBegan)}
    failed: dict[str, list[str]] = {}

    def attempt(what: str, act: Callable[[], object]) -> None:
        try:
            act()
        except Exception as error:
            failed.setdefault(_shown(error), []).append(what)

    def keep(table: str, name: str, write: Callable[[Path], object]) -> None:
        if f"{name}.parquet" not in stored:
            attempt(name, lambda: evidences.store(output, book, table, name, write))

    def keep_epochs() -> None:
        for epoch in environment.epochs():
            if (epoch.deployment, epoch.number, epoch.site) not in known:
                book.append(EpochBegan(deployment=epoch.deployment, number=epoch.number, site=epoch.site,
                                       began=epoch.began, error=epoch.error, source=epoch.source))
        for left_out in environment.epoch_gaps():
            book.append(Gap(reason=left_out))

    attempt("logs", lambda: shutil.copytree(environment.logs, output / "logs", dirs_exist_ok=True))
    attempt("epochs", keep_epochs)
    unsent: list[str] = []
    attempt("what was not sent", lambda: unsent.extend(
        line for path in environment.spools() for line in _lines_of(path, environment.directory)))
    sources = [("witness", "witness", environment.witness_log),
               ("links", "links", environment.link_log),
               ("usage", "usage", environment.usage_log)]
    sources += [("access", f"access-{role}-{path.parent.name}", path)
                for role, paths in environment.access_logs().items() for path in paths]
    for table, name, source in sources:
        if not source.exists():
            reason = f"there is no evidence {name}: {source.name} was never written"
            attempt(name, partial(book.append, Gap(reason=reason)))
        else:
            keep(table, name, partial(copy_lines, source, within=environment.directory))
    if unsent:
        clients = {str(record.get("cl")) for line in unsent if (record := _record(line)) is not None}
        keep("witness", "witness-unsent", lambda path: _write_late(unsent, _sent(output, clients), path))
    if failed:
        raise EvidenceLost("; ".join(f"{', '.join(names)}: {error}" for error, names in failed.items()))


def _shown(error: Exception) -> str:
    """An error in a line; of a copied directory's the first."""
    if isinstance(error, shutil.Error) and error.args and isinstance(error.args[0], list):
        return f"{len(error.args[0])} files could not be copied: {error.args[0][0][2]}"
    return str(error) or repr(error)


def _lines_of(path: Path, within: Path) -> list[str]:
    """The lines of a client's spool; none of one that the client has just sent and removed."""
    try:
        with open_regular(path, within=within) as source:
            return source.read().decode(errors="replace").splitlines()
    except FileNotFoundError:
        return []


def copy_lines(source: Path, target: Path, within: Path | None = None) -> None:
    """Copy a file of lines that may be growing, up to its last whole line at this moment.

    A last line without an end is copied when nobody is writing it any more: then it was cut off. ``within``: it must be
    in this directory, and nowhere else behind a link.
    """
    with open_regular(source, within=within) as reader, target.open("wb") as writer:
        left = size = os.fstat(reader.fileno()).st_size
        while left and (chunk := reader.read(min(CHUNK, left))):
            writer.write(chunk)
            left -= len(chunk)
        ended = writer.tell()
    with target.open("rb+") as copy:
        tail = _tail_after_last_line(copy, ended)
        if tail and source.lstat().st_size > size:
            copy.truncate(ended - tail)


def _tail_after_last_line(reader: BinaryIO, size: int) -> int:
    """How many bytes follow the last end of a line."""
    reader.seek(max(0, size - CHUNK))
    data = reader.read()
    return len(data) - (data.rfind(b"\n") + 1)


def _record(line: str) -> dict[str, object] | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


def _sent(output: Path, clients: set[str]) -> set[tuple[str, int]]:
    """The records of some clients that the witness has."""
    path = output / evidences.DIRECTORY / "witness.parquet"
    if not path.exists():
        return set()
    found = Tables().rows(f"select cl, q from {parquet(path)} where list_contains($clients, cl)",
                          clients=sorted(clients))
    return {(str(row["cl"]), int(row["q"])) for row in found}


def _write_late(lines: list[str], sent: set[tuple[str, int]], target: Path) -> None:
    """Records that their clients could not send, marked as such; a line that cannot be read is kept as it is."""
    with target.open("w") as sink:
        for line in lines:
            record = _record(line)
            if record is None:
                sink.write(line + "\n")
            elif (str(record.get("cl")), record.get("q")) not in sent:
                sink.write(json.dumps({**record, "late": True}) + "\n")
