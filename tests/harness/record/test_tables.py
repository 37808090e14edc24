"""Lines to columns: what was recorded by the million."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest

from harness.record.tables import FORMAT, NEEDED, SCHEMAS, Tables, to_parquet, written

GOOD = '{"e":"ack","t":1.0,"s":"ledger","n":7}\n'


def stored(directory: Path, text: str, table: str = "witness") -> tuple[tuple[int, int], list[dict[str, Any]]]:
    lines, target = directory / "x.jsonl", directory / "x.parquet"
    lines.write_text(text)
    counts = to_parquet(table, lines, target)
    return counts, Tables().rows(f"select * from read_parquet('{target}')")


@pytest.mark.parametrize("place", ["t=1", "e=begin", "role=x/y", "run*", "r?n", "[ab]", "it's", "{a,b}", "a\nb", "~"])
def test_where_a_run_lies_changes_nothing_of_what_is_read(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    for name in (place, "run1", "a"):  # what a pattern in the place could stand for
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "x.jsonl").write_text(GOOD)
    monkeypatch.chdir(tmp_path)
    target = Path(place) / "x.parquet"
    assert to_parquet("witness", Path(place) / "x.jsonl", target) == (1, 0)
    tables = Tables()
    assert written(target, tables.db).fits("witness")
    tables.view("witness", {"witness": [target]})
    assert tables.rows("select * from witness") == [{"e": "ack", "t": 1.0, "s": "ledger", "n": 7}]
    (tmp_path / place / "journal.jsonl").write_text('{"n":1,"k":"probe","t":2.0}\n')
    (tmp_path / "run1" / "journal.jsonl").write_text('{"n":5,"k":"probe","t":2.0}\n')
    tables.journal(Path(place) / "journal.jsonl")
    assert tables.rows("select n, wall from probes") == [{"n": 1, "wall": 2.0}]


def test_nothing_is_left_of_tables_in_the_temporary_directory_and_nothing_made_before_it_is_needed(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    tables = Tables()
    assert list(tmp_path.iterdir()) == []
    tables.db.execute("set memory_limit = '40MB'")
    tables.db.execute("create table big as select i, repeat(md5(i::varchar), 3) as s from range(1000000) t(i)")
    assert len(list(tmp_path.iterdir())) == 1
    del tables
    assert list(tmp_path.iterdir()) == []


def test_lines_are_kept_with_their_types(tmp_path: Path) -> None:
    counts, rows = stored(tmp_path, GOOD * 3)
    assert counts == (3, 0)
    assert rows == [{"e": "ack", "t": 1.0, "s": "ledger", "n": 7}] * 3


@pytest.mark.parametrize("bad", [
    '{"e":"ack","t":1', "garbage\n", '{"e": garb}\n', "[1]\n", "null\n", "\x00\x01\n", "5\n", "\n", '{"x":1}\n',
    '{"e":"ack"}\n', '{"e":"ack","t":"then"}\n'])
@pytest.mark.parametrize("where", ["first", "last"])
def test_a_line_that_cannot_be_read_is_counted_and_left_out(tmp_path: Path, bad: str, where: str) -> None:
    if where == "first" and not bad.endswith("\n"):
        bad += "\n"
    counts, rows = stored(tmp_path, bad + GOOD * 2 if where == "first" else GOOD * 2 + bad)
    assert counts == (2, 1)
    assert [row["n"] for row in rows] == [7, 7]


@pytest.mark.parametrize("table", sorted(SCHEMAS))
def test_an_empty_file_or_none_is_an_empty_table(tmp_path: Path, table: str) -> None:
    assert stored(tmp_path, "", table) == ((0, 0), [])
    (tmp_path / "x.jsonl").unlink()
    assert to_parquet(table, tmp_path / "x.jsonl", tmp_path / "y.parquet") == (0, 0)


@pytest.mark.parametrize("table", sorted(SCHEMAS))
def test_every_table_needs_something_that_it_has(table: str) -> None:
    assert set(NEEDED[table]) <= set(SCHEMAS[table])
    assert NEEDED[table]


@pytest.mark.parametrize("table", sorted(SCHEMAS))
def test_a_file_says_its_format_its_table_and_its_columns(tmp_path: Path, table: str) -> None:
    stored(tmp_path, GOOD, "witness")
    stored(tmp_path, "", table)
    tables, path = Tables(), tmp_path / "x.parquet"
    found = written(path, tables.db)
    assert (found.format, found.rows) == (FORMAT, 0)
    assert [other for other in SCHEMAS if found.fits(other)] == [table]
    assert {"k": "table", "v": table} in tables.rows(
        f"select decode(key) as k, decode(value) as v from parquet_kv_metadata('{path}')")


@pytest.mark.parametrize("said", [None, "many", "9"])
def test_a_file_may_say_another_format_or_none(tmp_path: Path, said: str | None) -> None:
    path, tables = tmp_path / "x.parquet", Tables()
    tables.db.execute(f"copy (select 1 as x) to '{path}' (format parquet"
                      + (f", kv_metadata {{format: '{said}'}})" if said else ")"))
    found = written(path, tables.db)
    assert (found.format, found.rows, found.fits("witness")) == (9 if said == "9" else None, 1, False)


def test_what_is_no_evidence_file_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_text("hello")
    for name in ("x.parquet", "none.parquet"):
        with pytest.raises(duckdb.Error):
            written(tmp_path / name, Tables().db)


def test_a_file_that_cannot_be_written_is_an_error_of_the_disk(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text(GOOD)
    with pytest.raises(OSError, match=r"could not be written"):
        to_parquet("witness", tmp_path / "x.jsonl", tmp_path / "none" / "x.parquet")


def test_names_with_quotes_are_names(tmp_path: Path) -> None:
    directory = tmp_path / "it's"
    directory.mkdir()
    (directory / "x.jsonl").write_text(GOOD)
    assert to_parquet("witness", directory / "x.jsonl", directory / "x.parquet") == (1, 0)
    tables = Tables()
    assert written(directory / "x.parquet", tables.db).rows == 1
    (directory / "y.jsonl").write_text('{"f":"row","n":7}\n')
    to_parquet("held", directory / "y.jsonl", directory / "y.parquet")
    tables.view("held", {"o'clock": [directory / "y.parquet"]})
    assert tables.rows("select snapshot, n from held") == [{"snapshot": "o'clock", "n": 7}]


def test_a_column_may_come_from_the_files_name(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"f":"row","n":1}\n')
    for name in ("one", "two"):
        to_parquet("held", tmp_path / "x.jsonl", tmp_path / f"{name}.parquet")
    tables = Tables()
    tables.view("held", {"one": [tmp_path / "one.parquet"], "two": [tmp_path / "two.parquet"] * 2})
    assert tables.rows("select snapshot, count(*) as n from held group by 1 order by 1") == [
        {"snapshot": "one", "n": 1}, {"snapshot": "two", "n": 2}]


def test_a_table_without_files_has_its_columns_and_no_rows() -> None:
    tables = Tables()
    for table, columns in SCHEMAS.items():
        tables.view(table, {})
        described = [row["column_name"] for row in tables.rows(f"describe {table}")]
        assert sorted(described) == sorted(columns)
        assert tables.value(f"select count(*) from {table}") == 0


def test_lines_that_are_still_written_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text(GOOD + '{"e":"ack","t":1')
    tables = Tables()
    tables.lines("witness", tmp_path / "x.jsonl")
    assert tables.value("select count(*) from witness") == 1


@pytest.mark.parametrize("rows", [[], [{"e": "ack", "t": 1}], [{"e": "ack", "t": 1}, {"e": "try", "t": 2.5, "n": 3, "late": True}]])
def test_rows_at_hand_make_a_table(rows: list[dict[str, Any]]) -> None:
    tables = Tables()
    tables.fill("witness", rows)
    assert tables.rows("select * from witness order by t") == rows


def test_a_table_that_was_made_is_replaced() -> None:
    tables = Tables()
    for rows in ([[1, "x"], [None, "y"]], [], [[2, None]]):
        tables.make("made", {"n": "integer", "s": "varchar"}, rows)
        assert tables.value("select count(*) from made") == len(rows)
    assert tables.rows("select * from made") == [{"n": 2}]


def test_bulk_events_are_tables(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in [
        {"n": 1, "m": 1.5, "t": 5.0, "k": "probe", "d": "a", "sent": 5.0, "ms": 7.0, "late_ms": 1.0, "outcome": "ok", "address": "x",
         "canary": {"run": "c", "scheduled": 3.0, "ended": 4.0}},
        {"n": 2, "t": 6.0, "k": "probe", "d": "b", "sent": 6.0, "ms": 7.0, "late_ms": 1.0, "outcome": "failed"},
        {"n": 3, "t": 7.0, "k": "sample", "answered": 2, "states": {"running": 4},
         "lag": {"state": "streaming", "lag_s": 0.5, "lag_bytes": 9}},
        {"n": 4, "t": 8.0, "k": "sample", "answered": 0, "states": {}}, {"n": 5, "k": "other"}]) + "torn")
    tables = Tables()
    tables.journal(path)
    assert tables.rows("select * from probes order by n") == [
        {"n": 1, "wall": 5.0, "monotonic": 1.5, "d": "a", "sent": 5.0, "ms": 7.0, "late_ms": 1.0, "outcome": "ok", "address": "x", "run": "c",
         "scheduled": 3.0, "ended": 4.0},
        {"n": 2, "wall": 6.0, "d": "b", "sent": 6.0, "ms": 7.0, "late_ms": 1.0, "outcome": "failed"}]
    assert tables.rows("select * from samples order by n") == [
        {"n": 3, "t": 7.0, "answered": 2, "running": 4, "lag_state": "streaming", "lag_s": 0.5, "lag_bytes": 9},
        {"n": 4, "t": 8.0, "answered": 0, "running": 0}]


def test_values_that_are_null_are_left_out_of_rows() -> None:
    tables = Tables()
    assert tables.rows("select 1 as a, null as b, $x as c", x="y") == [{"a": 1, "c": "y"}]
    assert (tables.one("select 1, null"), tables.value("select 7")) == ((1, None), 7)
