"""Evidence files and the run directory that they are read back from."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from harness.record.events import Check, EvidenceStored, Gap, RunEnded
from harness.record.evidence import DIRECTORY, load, sha256, store, store_lines
from harness.record.journal import Journal
from harness.testing import Story, held
from tests.harness.measures.runs import outage


def writing(*records: dict[str, Any], torn: str = "") -> Any:
    return lambda path: path.write_text("".join(json.dumps(record) + "\n" for record in records) + torn)


def test_a_file_is_stored_with_its_rows_and_its_hash(tmp_path: Path) -> None:
    book = Journal(tmp_path)
    path = store(tmp_path, book, "witness", "witness", writing({"e": "ack", "t": 1.0}, {"e": "try", "t": 2.0}, torn="{"))
    book.close()
    stored, = load(tmp_path).of(EvidenceStored)
    assert (stored.file, stored.table, stored.rows, stored.unreadable) == ("witness.parquet", "witness", 2, 1)
    assert (stored.sha256, stored.bytes) == (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_size)
    assert path == tmp_path / DIRECTORY / "witness.parquet"
    assert [each.name for each in path.parent.iterdir()] == ["witness.parquet"]  # the lines are gone


def test_lines_that_exist_are_stored_and_stay(tmp_path: Path) -> None:
    book, lines = Journal(tmp_path), tmp_path / "w.jsonl"
    lines.write_text('{"e":"ack","t":1.0}\n')
    store_lines(tmp_path, book, "witness", "witness", lines)
    book.close()
    assert load(tmp_path).tables.rows("select * from witness") == [{"e": "ack", "t": 1.0}]
    assert lines.exists()


def test_lines_whose_writing_fails_leave_nothing(tmp_path: Path) -> None:
    def fail(path: Path) -> None:
        path.write_text("half")
        raise OSError("full")

    book = Journal(tmp_path)
    with pytest.raises(OSError, match="full"):
        store(tmp_path, book, "witness", "witness", fail)
    book.close()
    assert list((tmp_path / DIRECTORY).iterdir()) == []
    assert load(tmp_path).stored == {}


def test_a_run_directory_is_read_back_whole(tmp_path: Path) -> None:
    story = outage()
    story.access["primary"] = [{"t": 1.0, "caller": "x", "service": "rds", "action": "GET"}]
    evidence = load(story.save(tmp_path))
    told = story.evidence()
    assert [type(e) for e in evidence.events if not isinstance(e, EvidenceStored)] == [type(e) for e in told.events]
    assert (evidence.snapshots, evidence.has_links, evidence.gaps) == (("settled-1",), True, ())
    assert evidence.stored == {"witness": evidence.tables.value("select count(*) from witness"), "links": 1, "usage": 0,
                               "access": 1, "held": len(story.snapshots["settled-1"])}
    for table in ("witness", "links", "access", "held", "probes"):
        count = f"select count(*) from {table}"
        assert evidence.tables.value(count) == told.tables.value(count)
    assert evidence.tables.rows("select role, service from access") == [{"role": "primary", "service": "rds"}]
    assert evidence.tables.rows("select distinct snapshot from held") == [{"snapshot": "settled-1"}]


def test_events_are_found_by_their_class(tmp_path: Path) -> None:
    evidence = load(outage().save(tmp_path))
    assert evidence.first(Check) is None
    assert evidence.of(Gap) == []
    assert evidence.first(RunEnded) is evidence.events[-1]
    assert evidence.events[0].record == 2  # the head is the journal's own
    assert (evidence.events[0].monotonic, evidence.events[0].wall) == (0, 0)


def test_looks_are_in_the_order_in_which_they_were_stored(tmp_path: Path) -> None:
    story = Story()
    story.start("a")
    for at in (10, 20, 30):
        story.settle(at, held({("a", "w", at)}))
    assert load(story.save(tmp_path)).snapshots == ("settled-1", "settled-2", "settled-3")


def test_a_look_that_shows_nothing_is_a_look(tmp_path: Path) -> None:
    story = Story()
    story.start("a")
    story.settle(10, [])
    evidence = load(story.save(tmp_path))
    assert (evidence.snapshots, evidence.stored["held"]) == (("settled-1",), 0)


def test_several_files_of_a_table_are_one_table(tmp_path: Path) -> None:
    book = Journal(tmp_path)
    for name in ("witness", "witness-unsent"):
        store(tmp_path, book, "witness", name, writing({"e": "ack", "t": 1.0}))
    for role, server in (("primary", "aws"), ("primary", "kubernetes"), ("global", "aws")):
        store(tmp_path, book, "access", f"access-{role}-{server}", writing({"t": 1.0, "service": server}))
    book.close()
    evidence = load(tmp_path)
    assert evidence.stored == {"witness": 2, "access": 3}
    assert evidence.tables.rows("select role, count(*) as n from access group by 1 order by 1") == [
        {"role": "global", "n": 1}, {"role": "primary", "n": 2}]


@pytest.mark.parametrize("rows", [0, 1])
def test_links_without_a_line_are_no_record_of_the_network(tmp_path: Path, rows: int) -> None:
    book = Journal(tmp_path)
    store(tmp_path, book, "links", "links", writing(*[{"event": "connect", "t": 1.0}] * rows))
    book.close()
    assert load(tmp_path).has_links is bool(rows)


def test_what_could_not_be_read_is_a_gap(tmp_path: Path) -> None:
    book = Journal(tmp_path)
    store(tmp_path, book, "witness", "witness", writing({"e": "ack", "t": 1.0}, torn="{"))
    book.append(RunEnded())
    book.close()
    book.path.write_bytes(book.path.read_bytes()[:-5])
    assert load(tmp_path).gaps == ("1 lines of witness.parquet could not be read when it was stored",
                                   "the journal's last line was cut off while it was written")


def test_the_hash_of_a_file_is_that_of_all_of_it(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"x" * (3 << 20))
    assert sha256(path) == hashlib.sha256(b"x" * (3 << 20)).hexdigest()
