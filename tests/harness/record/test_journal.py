"""The journal: append-only, chained, and whole after a kill."""

from __future__ import annotations

import errno
import json
import os
import threading
from pathlib import Path

import pytest

from harness.record import journal
from harness.record.events import Check, Gap, Probe, RunEnded
from harness.record.journal import FORMAT, CorruptJournal, Journal, JournalInUse, NotOurs, OtherFormat, RunExists


class Clock:
    """A clock that goes on by a second at each look."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 1
        return self.now

    def time(self) -> float:
        return 1000.0 + self.now


def write(directory: Path) -> Path:
    book = Journal(directory, Clock())
    book.append(Check(name="up", ok=True))
    book.append(Gap(reason="ü"), durable=True)
    book.append(RunEnded())
    book.close()
    return book.path


def kinds(directory: Path) -> list[tuple[int, str]]:
    return [(event.number, event.kind) for event in journal.read(directory)]


def test_no_run_is_begun_where_others_could_change_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o1777)
    with pytest.raises(NotOurs, match="open can be written by everybody"):
        Journal(tmp_path / "open", new=True)
    monkeypatch.setattr("os.geteuid", lambda: 4242)
    with pytest.raises(NotOurs, match="belongs to another user"):
        Journal(tmp_path / "made", new=True)
    assert list((tmp_path / "open").iterdir()) == list((tmp_path / "made").iterdir()) == []


def test_what_was_written_is_read_back_in_order(tmp_path: Path) -> None:
    write(tmp_path)
    events = journal.read(tmp_path)
    assert [(e.number, e.kind) for e in events] == [(2, "check"), (3, "gap"), (4, "run.ended")]
    assert events[1]["reason"] == "ü"
    assert (events[0].get("name"), events[0].get("nothing", 7)) == ("up", 7)


def test_every_record_carries_both_clocks(tmp_path: Path) -> None:
    write(tmp_path)
    assert [(e.monotonic, e.wall) for e in journal.read(tmp_path)] == [(2, 1002), (3, 1003), (4, 1004)]


def test_the_clock_is_that_of_the_machine_unless_another_is_given(tmp_path: Path) -> None:
    book = Journal(tmp_path)
    book.append(RunEnded())
    book.close()
    event, = journal.read(tmp_path)
    assert event.wall > 1e9
    assert event.monotonic > 0


def test_the_first_record_is_the_format(tmp_path: Path) -> None:
    first = json.loads(write(tmp_path).read_text().splitlines()[0])
    assert (first["k"], first["format"], first["n"], first["p"]) == ("journal", FORMAT, 1, "0" * 64)


def test_what_is_none_is_left_out(tmp_path: Path) -> None:
    book = Journal(tmp_path)
    book.append(Probe(d="a", sent=1.0, error=None))
    book.close()
    assert "error" not in json.loads(book.path.read_text().splitlines()[1])


def test_what_announces_an_act_is_on_disk_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(journal.os, "fsync", synced.append)
    book = Journal(tmp_path)
    assert len(synced) == 1  # the head
    book.append(Gap(reason="x"))
    assert len(synced) == 1
    book.append(Gap(reason="x"), durable=True)
    assert len(synced) == 2
    book.close()
    assert len(synced) == 3


def test_a_record_can_be_read_as_soon_as_it_is_appended(tmp_path: Path) -> None:
    book = Journal(tmp_path)
    book.append(Gap(reason="x"))
    assert kinds(tmp_path) == [(2, "gap")]
    book.close()


def test_records_of_many_threads_are_one_chain(tmp_path: Path) -> None:
    book = Journal(tmp_path)
    threads = [threading.Thread(target=lambda: [book.append(Gap(reason="x")) for _ in range(50)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    book.close()
    assert [number for number, _ in kinds(tmp_path)] == list(range(2, 402))


# -- what was altered ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", ["edit", "remove", "remove the first", "swap", "insert", "renumber", "double"])
def test_a_changed_removed_or_reordered_line_is_found(tmp_path: Path, change: str) -> None:
    path = write(tmp_path)
    lines = path.read_text().splitlines(keepends=True)
    if change == "edit":
        lines[1] = lines[1].replace('"ok":true', '"ok":false')
    if change == "remove":
        del lines[2]
    if change == "remove the first":
        del lines[0]
    if change == "swap":
        lines[1], lines[2] = lines[2], lines[1]
    if change == "insert":
        lines.insert(2, lines[1])
    if change == "renumber":
        lines[1] = lines[1].replace('{"n":2,', '{"n":7,')
    if change == "double":
        lines.append(lines[-1])
    path.write_text("".join(lines))
    with pytest.raises(CorruptJournal, match=r"journal\.jsonl:\d"):
        journal.read(tmp_path)


def test_a_change_is_found_at_its_line(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.write_text(path.read_text().replace('"reason":"ü"', '"reason":"u"'))
    with pytest.raises(CorruptJournal, match=r":3: the record was changed, removed or reordered"):
        journal.read(tmp_path)


def test_what_is_no_record_at_all_is_said_to_be_none(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.write_text(path.read_text() + "hello\n")
    with pytest.raises(CorruptJournal, match=r":5: this line is not a journal record"):
        journal.read(tmp_path)


@pytest.mark.parametrize("text", ["", "\n", "hello\n", "{}\n", "[1]\n", "\x00\n", '{"n":1}\n'])
def test_what_is_no_journal_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / journal.FILE).write_text(text)
    with pytest.raises(CorruptJournal):
        journal.read(tmp_path)


def test_a_directory_without_a_journal_holds_no_run(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        journal.read(tmp_path)


def test_kinds_that_are_left_out_are_checked_all_the_same(tmp_path: Path) -> None:
    book = Journal(tmp_path)
    for event in (Gap(reason="x"), Probe(d="a", sent=1.0), RunEnded()):
        book.append(event)
    book.close()
    assert [e.kind for e in journal.read(tmp_path, without={"probe"})] == ["gap", "run.ended"]
    book.path.write_text(book.path.read_text().replace('"sent":1.0', '"sent":2.0'))
    with pytest.raises(CorruptJournal, match=r":3: the record was changed"):
        journal.read(tmp_path, without={"probe"})


# -- other formats ---------------------------------------------------------------------------------------------------


def other(directory: Path, monkeypatch: pytest.MonkeyPatch, **changes: object) -> None:
    """A journal whose chain is intact and whose head says something else."""
    for name, value in changes.items():
        monkeypatch.setattr(journal, name, value)
    write(directory)
    monkeypatch.undo()


def test_a_journal_of_a_newer_format_is_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other(tmp_path, monkeypatch, FORMAT=FORMAT + 1)
    with pytest.raises(OtherFormat, match=rf"has format {FORMAT + 1}, .*reads format {FORMAT}; use the version") as refused:
        journal.read(tmp_path)
    assert "\n" not in str(refused.value)


def test_a_journal_of_the_first_version_is_refused_with_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other(tmp_path, monkeypatch, HEAD="run.started")
    with pytest.raises(OtherFormat, match=r"has the format of dr-drill 0\.1\.0; that version can read it"):
        journal.read(tmp_path)


# -- after a kill ------------------------------------------------------------------------------------------------------


def test_a_line_cut_off_by_a_kill_is_left_out_and_told(tmp_path: Path) -> None:
    path = write(tmp_path)
    assert not journal.torn(tmp_path)
    path.write_bytes(path.read_bytes()[:-20])
    assert kinds(tmp_path) == [(2, "check"), (3, "gap")]
    assert journal.torn(tmp_path)


def test_an_empty_journal_is_not_torn(tmp_path: Path) -> None:
    (tmp_path / journal.FILE).touch()
    assert not journal.torn(tmp_path)


def test_a_journal_is_continued_where_it_ended_even_after_a_torn_line(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.write_bytes(path.read_bytes()[:-20])
    book = Journal(tmp_path)
    book.append(RunEnded())
    book.close()
    assert kinds(tmp_path) == [(2, "check"), (3, "gap"), (4, "run.ended")]
    assert not journal.torn(tmp_path)


def test_a_journal_whose_only_line_was_torn_begins_anew(tmp_path: Path) -> None:
    (tmp_path / journal.FILE).write_text('{"n":1,"m":')
    book = Journal(tmp_path)
    book.append(RunEnded())
    book.close()
    assert kinds(tmp_path) == [(2, "run.ended")]


def test_a_journal_that_was_altered_is_not_continued(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.write_text(path.read_text().replace('"ok":true', '"ok":false'))
    with pytest.raises(CorruptJournal):
        Journal(tmp_path)


def test_a_run_directory_is_its_owners_alone_and_one_that_was_there_keeps_its_mode(tmp_path: Path) -> None:
    Journal(tmp_path / "runs" / "new").close()
    assert (tmp_path / "runs" / "new").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "runs" / "new" / "journal.jsonl").stat().st_mode & 0o777 == 0o600
    there = tmp_path / "shared"
    there.mkdir(mode=0o755)
    there.chmod(0o755)
    Journal(there).close()
    assert there.stat().st_mode & 0o777 == 0o755


def test_what_is_half_a_character_does_not_stop_the_journal(tmp_path: Path) -> None:
    book = Journal(tmp_path)
    book.append(Check(name="n", ok=True, detail="an answer with \ud83d in it"))
    book.close()
    assert journal.read(tmp_path)[0]["detail"] == "an answer with ? in it"


# -- one writer ---------------------------------------------------------------------------------------------------------


def test_a_new_journal_is_not_written_over_another_one(tmp_path: Path) -> None:
    before = write(tmp_path).read_bytes()
    with pytest.raises(RunExists, match="holds a run already"):
        Journal(tmp_path, new=True)
    assert (tmp_path / journal.FILE).read_bytes() == before


def test_a_journal_that_somebody_writes_is_nobody_elses(tmp_path: Path) -> None:
    book = Journal(tmp_path)
    with pytest.raises(JournalInUse, match="is being written by another process"):
        Journal(tmp_path)
    book.append(RunEnded())
    book.close()
    Journal(tmp_path).close()
    assert kinds(tmp_path) == [(2, "run.ended")]


def test_only_its_owner_reads_a_journal(tmp_path: Path) -> None:
    book = Journal(tmp_path)
    assert book.path.stat().st_mode & 0o777 == 0o600
    book.close()


def test_a_link_in_the_place_of_a_journal_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / journal.FILE).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        Journal(tmp_path / "run")
    assert (tmp_path / "elsewhere").read_text() == ""


def test_a_second_close_does_nothing_and_what_is_written_afterwards_is_refused(tmp_path: Path) -> None:
    book = Journal(tmp_path)
    book.close()
    book.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        book.append(RunEnded())


# -- a full disk ----------------------------------------------------------------------------------------------------------


class Disk:
    """Takes so many bytes more."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
        self.room, self._write = room, os.write
        monkeypatch.setattr(journal.os, "write", self.write)

    def write(self, fd: int, data: bytes) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        part = data[:self.room]
        self.room -= len(part)
        return self._write(fd, part)


@pytest.mark.parametrize("room", [0, 1, 30])
def test_a_record_for_which_there_is_no_room_is_not_there_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    book = Journal(tmp_path)
    book.append(Gap(reason="before"))
    disk = Disk(monkeypatch, room)
    with pytest.raises(OSError, match="No space left"):
        book.append(Gap(reason="lost"))
    assert not journal.torn(tmp_path)
    disk.room = 1000
    book.append(Gap(reason="after"))
    book.close()
    assert [(e.number, e["reason"]) for e in journal.read(tmp_path)] == [(2, "before"), (3, "after")]


def test_of_a_journal_that_could_not_be_begun_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Disk(monkeypatch, 20)
    with pytest.raises(OSError, match="No space left"):
        Journal(tmp_path, new=True)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    Journal(tmp_path, new=True).close()


def test_a_record_that_an_interrupt_strikes_is_not_there_and_the_chain_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(fd: int) -> None:
        raise KeyboardInterrupt

    book = Journal(tmp_path)
    monkeypatch.setattr(journal.os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        book.append(Gap(reason="lost"), durable=True)
    monkeypatch.undo()
    book.append(RunEnded())
    book.close()
    assert kinds(tmp_path) == [(2, "run.ended")]
