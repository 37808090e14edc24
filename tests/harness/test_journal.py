"""The journal: append-only, chained, and whole after a kill."""

import json
from pathlib import Path

import pytest

from harness import evidence, journal
from harness.journal import CorruptJournal, Journal


def write(directory: Path) -> Path:
    book = Journal(directory)
    book.append("a", value=1)
    book.append("b", durable=True, text="ü")
    book.append("c", value=None)
    book.close()
    return book.path


def test_what_was_written_is_read_back_in_order(tmp_path: Path) -> None:
    write(tmp_path)
    events = journal.read(tmp_path)
    assert [(e.number, e.kind) for e in events] == [(1, "a"), (2, "b"), (3, "c")]
    assert events[1]["text"] == "ü"
    assert events[0].wall > 0 < events[0].monotonic


@pytest.mark.parametrize("change", ["edit", "remove", "swap"])
def test_a_changed_removed_or_reordered_line_is_found(tmp_path: Path, change: str) -> None:
    path = write(tmp_path)
    lines = path.read_text().splitlines(keepends=True)
    if change == "edit":
        lines[0] = lines[0].replace('"value":1', '"value":2')
    if change == "remove":
        del lines[1]
    if change == "swap":
        lines[0], lines[1] = lines[1], lines[0]
    path.write_text("".join(lines))
    with pytest.raises(CorruptJournal, match=r"journal\.jsonl:\d"):
        journal.read(tmp_path)


def test_a_line_cut_off_by_a_kill_is_left_out(tmp_path: Path) -> None:
    path = write(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    assert [e.kind for e in journal.read(tmp_path)] == ["a", "b"]


def test_a_journal_is_continued_where_it_ended_even_after_a_torn_line(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.write_bytes(path.read_bytes()[:-20])
    book = Journal(tmp_path)
    book.append("d")
    book.close()
    assert [(e.number, e.kind) for e in journal.read(tmp_path)] == [(1, "a"), (2, "b"), (3, "d")]


def test_a_field_that_would_hide_the_records_own_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be named"):
        Journal(tmp_path).append("a", t=1)


def test_evidence_that_was_changed_after_the_run_is_refused(tmp_path: Path) -> None:
    book = Journal(tmp_path)
    path = evidence.store(tmp_path, book, "witness", "witness",
                          lambda p: p.write_text(json.dumps({"e": "ack"}) + "\n"))
    book.close()
    assert evidence.load(tmp_path).tables.rows("select * from witness") == [{"e": "ack"}]
    path.write_text(json.dumps({"e": "try"}) + "\n")
    with pytest.raises(CorruptJournal, match="was changed after the run"):
        evidence.load(tmp_path)


def test_kinds_that_are_left_out_are_checked_all_the_same(tmp_path: Path) -> None:
    book = Journal(tmp_path)
    for kind in ("a", "probe", "b"):
        book.append(kind, value=1)
    book.close()
    assert [e.kind for e in journal.read(tmp_path, without={"probe"})] == ["a", "b"]
    text = book.path.read_text().replace('"k":"probe","value":1', '"k":"probe","value":2')
    book.path.write_text(text)
    with pytest.raises(CorruptJournal, match=":2: the record was changed"):
        journal.read(tmp_path, without={"probe"})
