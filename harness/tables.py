"""The columnar side of a run's evidence: what is recorded by the million, as DuckDB tables.

Recording and reckoning want different shapes. While a drill runs, the witness, the links and the
servers append JSON lines, which survive the death of whoever writes them. When the run ends each file
is stored once as **Parquet** (a tenth of the size; dictionary-encoded, so still compact at tens of
millions of records), and figures are queries over these columns. DuckDB streams them and spills to
disk beyond ``MEMORY_LIMIT``, so a report's memory does not grow with the length of the run.

Tables: ``witness``, ``links``, ``access``, ``held`` (the snapshots),
``usage``, and, straight from
the journal, ``probes`` and ``samples``.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb

MEMORY_LIMIT = "640MB"
Row = Mapping[str, Any]

SCHEMAS: dict[str, dict[str, str]] = {
    # See loadgen.witness for the meaning of the short names.
    "witness": {"e": "VARCHAR", "s": "VARCHAR", "k": "VARCHAR", "d": "VARCHAR", "r": "VARCHAR",
                "t": "DOUBLE", "w": "DOUBLE", "wr": "VARCHAR", "n": "BIGINT", "dag": "VARCHAR",
                "run": "VARCHAR", "task": "VARCHAR", "map": "INTEGER", "ti": "VARCHAR",
                "key": "VARCHAR", "v": "VARCHAR"},
    "links": {"t": "DOUBLE", "event": "VARCHAR", "caller": "VARCHAR", "site": "VARCHAR",
              "service": "VARCHAR", "direction": "VARCHAR", "error": "VARCHAR"},
    "access": {"role": "VARCHAR", "t": "DOUBLE", "caller": "VARCHAR", "service": "VARCHAR",
               "action": "VARCHAR", "status": "VARCHAR"},
    # A part's CPU seconds so far and, now and then, its memory (environments.embedded.usage).
    "usage": {"t": "DOUBLE", "group": "VARCHAR", "part": "VARCHAR", "processes": "INTEGER",
              "cpu_s": "DOUBLE", "pss_mib": "DOUBLE"},
    # Facts (f): a ledger row, a task instance (ti), a Dag run, an XCom, a task log's key.
    "held": {"snapshot": "VARCHAR", "f": "VARCHAR", "d": "VARCHAR", "wr": "VARCHAR", "n": "BIGINT",
             "dag": "VARCHAR", "run": "VARCHAR", "task": "VARCHAR", "map": "INTEGER",
             "state": "VARCHAR", "try": "INTEGER", "key": "VARCHAR"},
}
FROM_FILE_NAME = {"access": "role", "held": "snapshot"}
"""Columns that are not in the file but in its name (``access-primary-aws``, ``settled-1``)."""

BULK = {"probe", "sample"}
"""Kinds of journal events that are only ever read as tables."""
JOURNAL_TABLES = {
    "probes": """
        select (j->>'$.n')::bigint as n, j->>'$.d' as d, (j->>'$.sent')::double as sent,
               (j->>'$.ms')::double as ms, (j->>'$.late_ms')::double as late_ms,
               j->>'$.outcome' as outcome, j->>'$.canary.run' as run,
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
        self._spill = tempfile.TemporaryDirectory(prefix="dr-drill-spill-")
        self.db.execute(f"set memory_limit = '{MEMORY_LIMIT}'")
        self.db.execute(f"set threads = {min(4, os.cpu_count() or 1)}")
        self.db.execute("set preserve_insertion_order = false")
        self.db.execute("set temp_directory = ?", [self._spill.name])

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
            listed = ", ".join(_text(str(path)) for path in paths)
            parts.append(f"select {constant}* from read_parquet([{listed}])")
        query = " union all by name ".join(parts) or _none(table)
        self.db.execute(f"create view {table} as {query}")

    def lines(self, table: str, path: Path) -> None:
        """Show a file of JSON lines that is still being written as a table."""
        self.db.execute(f"create view {table} as {_from_lines(table, path)}")

    def journal(self, path: Path) -> None:
        """Show a journal's bulk events as tables. The journal's chain is checked elsewhere."""
        lines = (f"(select json as j from read_ndjson_objects({_text(str(path))},"
                 " ignore_errors = true))")
        for name, query in JOURNAL_TABLES.items():
            # Read once: a view would parse the whole journal again for every figure.
            self.db.execute(f"create table {name} as {query.format(lines=lines)}")

    def fill(self, table: str, rows: Iterable[Row]) -> None:
        """Make a table of rows that are at hand (tests; small evidence)."""
        columns = SCHEMAS[table]
        self.db.execute(f"create table {table} ({_columns(columns)})")
        values = [[row.get(name) for name in columns] for row in rows]
        if values:
            marks = ", ".join("?" * len(columns))
            self.db.executemany(f"insert into {table} values ({marks})", values)

    def fill_journal(self, events: Iterable[Row]) -> None:
        """The same for bulk events, given as journal lines."""
        with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as sink:
            sink.writelines(json.dumps(event) + "\n" for event in events)
            sink.flush()
            self.journal(Path(sink.name))


def to_parquet(table: str, lines: Path, target: Path) -> None:
    """Store a file of JSON lines as Parquet; a last line that was cut off is left out.

    Raises:
        OSError: when the disk is full or the file cannot be read.
    """
    try:
        Tables().db.execute(f"copy ({_from_lines(table, lines)}) to {_text(str(target))}"
                            " (format parquet, compression zstd)")
    except duckdb.Error as error:
        raise OSError(f"{target} could not be written: {error}") from error


def _from_lines(table: str, lines: Path) -> str:
    if not lines.exists() or not lines.stat().st_size:
        return _none(table, without=FROM_FILE_NAME.get(table))
    given = ", ".join(f"{_text(name)}: {_text(kind)}" for name, kind in SCHEMAS[table].items()
                      if name != FROM_FILE_NAME.get(table))
    return (f"select * from read_json({_text(str(lines))}, columns = {{{given}}},"
            " format = 'newline_delimited', ignore_errors = true)")


def _columns(columns: Mapping[str, str]) -> str:
    return ", ".join(f'"{name}" {kind}' for name, kind in columns.items())


def _none(table: str, without: str | None = None) -> str:
    shown = ", ".join(f'null::{kind} as "{name}"' for name, kind in SCHEMAS[table].items()
                      if name != without)
    return f"select {shown} where false"


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
