"""The columnar side of a run's evidence: what is recorded by the million, as DuckDB tables.

Recording and reckoning want different shapes. While a drill runs, the witness, the links and the
servers append JSON lines, which survive the death of whoever writes them. When the run ends each file
is stored once as **Parquet** (a tenth of the size; dictionary-encoded, so still compact at tens of
millions of records), and figures are queries over these columns. DuckDB streams them and spills to
disk beyond ``MEMORY_LIMIT``, so a report's memory does not grow with the length of the run.

Tables: ``witness``, ``links``, ``access``, ``held`` (the snapshots), ``usage``, and, straight from the
journal, ``probes`` and ``samples``.
"""

from __future__ import annotations

import glob
import json
import os
import secrets
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

MEMORY_LIMIT = "640MB"
PLAIN = "hive_partitioning = false"
"""A file is read as it is: a directory on the way to it that is called ``t=1`` is no column."""
FORMAT = 2
"""Of the evidence files; in each one's metadata."""
Row = Mapping[str, Any]

SCHEMAS: dict[str, dict[str, str]] = {
    # See loadgen.witness for the meaning of the short names; c is the content of what was written
    # (loadgen.content), cl and q who told it and as how manieth.
    "witness": {"e": "VARCHAR", "s": "VARCHAR", "k": "VARCHAR", "d": "VARCHAR", "r": "VARCHAR",
                "t": "DOUBLE", "w": "DOUBLE", "wr": "VARCHAR", "n": "BIGINT", "dag": "VARCHAR",
                "run": "VARCHAR", "task": "VARCHAR", "map": "INTEGER", "ti": "VARCHAR",
                "key": "VARCHAR", "c": "BIGINT", "cl": "VARCHAR", "q": "BIGINT", "late": "BOOLEAN"},
    "links": {"t": "DOUBLE", "event": "VARCHAR", "caller": "VARCHAR", "site": "VARCHAR",
              "service": "VARCHAR", "direction": "VARCHAR", "error": "VARCHAR"},
    # caller is an address, who the principal whose credential was offered.
    "access": {"role": "VARCHAR", "t": "DOUBLE", "caller": "VARCHAR", "who": "VARCHAR",
               "service": "VARCHAR", "action": "VARCHAR", "status": "VARCHAR"},
    # A part's CPU seconds so far and, now and then, its memory (environments.embedded.usage).
    "usage": {"t": "DOUBLE", "group": "VARCHAR", "part": "VARCHAR", "processes": "INTEGER",
              "cpu_s": "DOUBLE", "pss_mib": "DOUBLE"},
    # Facts (f): a ledger row, a task instance (ti), a Dag run, an XCom, a log, an image, and what else a
    # Deployment is made of (variable, connection, pool, environment). d is the Deployment in whose database it
    # was found, o the one that it names itself; c its content, of a task instance when its last try started.
    "held": {"snapshot": "VARCHAR", "f": "VARCHAR", "d": "VARCHAR", "o": "VARCHAR", "wr": "VARCHAR",
             "n": "BIGINT", "dag": "VARCHAR", "run": "VARCHAR", "task": "VARCHAR", "map": "INTEGER",
             "state": "VARCHAR", "try": "INTEGER", "retries": "INTEGER", "key": "VARCHAR", "c": "BIGINT"},
}
FROM_FILE_NAME = {"access": "role", "held": "snapshot"}
"""Columns that are not in the file but in its name (``access-primary-aws``, ``settled-1``)."""

NEEDED = {"witness": ("e", "t"), "links": ("event", "t"), "access": ("t",), "usage": ("t",), "held": ("f",)}
"""What every line must say: one that does not was torn, or is not a record at all."""

BULK = {"probe", "sample"}
"""Kinds of journal events that are only ever read as tables."""
JOURNAL_TABLES = {
    "probes": """
        select (j->>'$.n')::bigint as n, (j->>'$.t')::double as wall, (j->>'$.m')::double as monotonic,
               j->>'$.d' as d, (j->>'$.sent')::double as sent,
               (j->>'$.ms')::double as ms, (j->>'$.late_ms')::double as late_ms,
               j->>'$.outcome' as outcome, j->>'$.address' as address, j->>'$.canary.run' as run,
               (j->>'$.canary.scheduled')::double as scheduled,
               (j->>'$.canary.ended')::double as ended
        from {lines} where j->>'$.k' = 'probe'""",
    "samples": """
        select (j->>'$.n')::bigint as n, (j->>'$.t')::double as t,
               (j->>'$.answered')::integer as answered,
               coalesce((j->>'$.states.running')::integer, 0) as running,
               j->>'$.lag.state' as lag_state, (j->>'$.lag.lag_s')::double as lag_s,
               (j->>'$.lag.lag_bytes')::bigint as lag_bytes
        from {lines} where j->>'$.k' = 'sample'""",
}


class Tables:
    """A connection to an in-memory DuckDB that holds the views of one run."""

    def __init__(self) -> None:
        self.db = duckdb.connect(":memory:")
        # DuckDB makes it when it has to, so that a process which is killed leaves none behind, but for one that spills.
        spill = Path(tempfile.gettempdir()) / f"dr-drill-spill-{secrets.token_hex(8)}"
        weakref.finalize(self, shutil.rmtree, spill, ignore_errors=True)
        self.db.execute(f"set memory_limit = '{MEMORY_LIMIT}'")
        self.db.execute(f"set threads = {min(4, os.cpu_count() or 1)}")
        self.db.execute("set preserve_insertion_order = false")
        self.db.execute("set temp_directory = ?", [str(spill)])
        # What a file is said to need is not fetched from anywhere.
        self.db.execute("set autoinstall_known_extensions = false")

    def rows(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
        """The rows of a query, as dicts; values that are null are left out."""
        done = self.db.execute(sql, parameters)
        names = [column[0] for column in done.description or []]
        return [{k: v for k, v in zip(names, row, strict=True) if v is not None}
                for row in done.fetchall()]

    def one(self, sql: str, **parameters: Any) -> tuple[Any, ...]:
        """The only row of a query (an aggregate, say)."""
        row = self.db.execute(sql, parameters).fetchone()
        assert row is not None
        return tuple(row)

    def value(self, sql: str, **parameters: Any) -> Any:
        """The only value of a query."""
        return self.one(sql, **parameters)[0]

    def view(self, table: str, files: Mapping[str, Sequence[Path]]) -> None:
        """Show Parquet files as a table; ``files``: what their names say, to where they are."""
        parts = []
        for named, paths in files.items():
            extra = FROM_FILE_NAME.get(table)
            constant = f"{_text(named)} as {extra}, " if extra else ""
            listed = ", ".join(map(_file, paths))
            parts.append(f"select {constant}* from read_parquet([{listed}], {PLAIN})")
        query = " union all by name ".join(parts) or _none(table)
        self.db.execute(f"create view {table} as {query}")

    def lines(self, table: str, path: Path) -> None:
        """Show a file of JSON lines that is still being written as a table."""
        self.db.execute(f"create view {table} as {_from_lines(table, path)}")

    def journal(self, path: Path) -> None:
        """Show a journal's bulk events as tables. The journal's chain is checked elsewhere."""
        lines = f"(select json as j from read_ndjson_objects({_file(path)}, {PLAIN}, ignore_errors = true))"
        for name, query in JOURNAL_TABLES.items():
            # Read once: a view would parse the whole journal again for every figure.
            self.db.execute(f"create table {name} as {query.format(lines=lines)}")

    def make(self, table: str, columns: Mapping[str, str], rows: Sequence[Sequence[Any]]) -> None:
        """Make a table of rows that are at hand; ``columns``: names to types. One that was there is replaced."""
        self.db.execute(f"create or replace table {table} ({_columns(columns)})")
        if rows:
            # A column at a time: a statement for each row takes most of a millisecond.
            lists = ", ".join(f"unnest(?::{kind}[])" for kind in columns.values())
            self.db.execute(f"insert into {table} select {lists}", list(map(list, zip(*rows, strict=True))))

    def fill(self, table: str, rows: Iterable[Row]) -> None:
        """Make one of the evidence's tables of rows that are at hand (tests; small evidence)."""
        columns = SCHEMAS[table]
        self.make(table, columns, [[row.get(name) for name in columns] for row in rows])

    def fill_journal(self, events: Iterable[Row]) -> None:
        """The same for bulk events, given as journal lines."""
        with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as sink:
            sink.writelines(json.dumps(event) + "\n" for event in events)
            sink.flush()
            self.journal(Path(sink.name))


def to_parquet(table: str, lines: Path, target: Path) -> tuple[int, int]:
    """Store a file of JSON lines as Parquet; how many rows it has, and how many lines could not be read.

    Raises:
        OSError: when the disk is full or the file cannot be read.
    """
    try:
        tables = Tables()
        tables.db.execute(f"copy ({_from_lines(table, lines)}) to {_text(str(target.absolute()))} (format parquet,"
                   f" compression zstd, kv_metadata {{format: '{FORMAT}', \"table\": {_text(table)}}})")
        counted = int(tables.value(f"select count(*) from {parquet(target)}"))
    except duckdb.Error as error:
        raise OSError(f"{target} could not be written: {error}") from error
    return counted, max(0, _lines_in(lines) - counted)


def parquet(path: Path) -> str:
    """A Parquet file as a table, in a query."""
    return f"read_parquet({_file(path)}, {PLAIN})"


@dataclass(frozen=True)
class Written:
    """What an evidence file says of itself."""

    format: int | None
    """None: it says none."""
    rows: int
    columns: dict[str, str]

    def fits(self, table: str) -> bool:
        """Whether it has a table's columns."""
        named = FROM_FILE_NAME.get(table)
        return self.columns == {name: kind for name, kind in SCHEMAS[table].items() if name != named}


def written(path: Path, db: duckdb.DuckDBPyConnection) -> Written:
    """Look into an evidence file.

    Raises:
        duckdb.Error: when it is none.
    """
    found = db.execute(
        f"select decode(value) from parquet_kv_metadata({_file(path)}) where decode(key) = 'format'").fetchone()
    counted = db.execute(f"select count(*) from {parquet(path)}").fetchone()
    assert counted is not None
    columns = {row[0]: row[1] for row in db.execute(f"describe select * from {parquet(path)}").fetchall()}
    return Written(int(found[0]) if found and str(found[0]).isdigit() else None, int(counted[0]), columns)


def _lines_in(path: Path) -> int:
    """How many lines a file has; one that was cut off counts."""
    if not path.exists():
        return 0
    count, last = 0, b"\n"
    with path.open("rb") as source:
        while chunk := source.read(1 << 20):
            count += chunk.count(b"\n")
            last = chunk[-1:]
    return count + (last != b"\n")


def _from_lines(table: str, lines: Path) -> str:
    if not lines.exists() or not lines.stat().st_size:
        return _none(table, without=FROM_FILE_NAME.get(table))
    given = ", ".join(f"{_text(name)}: {_text(kind)}" for name, kind in SCHEMAS[table].items()
                      if name != FROM_FILE_NAME.get(table))
    # A line that is no JSON is read as a row of nulls.
    needed = " and ".join(f'"{name}" is not null' for name in NEEDED[table])
    return (f"select * from read_json({_file(lines)}, {PLAIN}, columns = {{{given}}},"
            f" format = 'newline_delimited', ignore_errors = true) where {needed}")


def _columns(columns: Mapping[str, str]) -> str:
    return ", ".join(f'"{name}" {kind}' for name, kind in columns.items())


def _none(table: str, without: str | None = None) -> str:
    shown = ", ".join(f'null::{kind} as "{name}"' for name, kind in SCHEMAS[table].items()
                      if name != without)
    return f"select {shown} where false"


def _file(path: Path) -> str:
    """The one file of this name: a star in the name of a directory stands for a star."""
    return _text(glob.escape(str(path.absolute())))


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
