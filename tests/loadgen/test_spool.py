"""What waits to be sent."""

import errno
import os
from pathlib import Path

import pytest

from loadgen import spool
from loadgen.spool import Room, Spool


def drain(waiting: Spool, most: int = 100) -> list[bytes]:
    """Everything that waits, taken away."""
    found: list[bytes] = []
    while not waiting.empty:
        lines, size = waiting.take(most)
        waiting.taken(len(lines), size)
        found += lines
    return found


@pytest.fixture(params=["disk", "memory"])
def waiting(request: pytest.FixtureRequest, tmp_path: Path) -> Spool:
    return Spool.create(tmp_path if request.param == "disk" else None, "mine")


def test_lines_come_out_as_they_went_in_and_stay_until_they_are_taken_away(waiting: Spool) -> None:
    for number in range(10):
        assert waiting.append(b"%d" % number)
    assert waiting.take(3)[0] == waiting.take(3)[0] == [b"0", b"1", b"2"]
    waiting.taken(3, 6)
    assert drain(waiting) == [b"%d" % number for number in range(3, 10)]
    assert waiting.empty


def test_a_file_does_not_grow_with_what_was_sent(waiting: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "COMPACT_BYTES", 1000)
    waiting.append(b"%09d" % 0)
    sent: list[bytes] = []
    for number in range(1, 1000):  # one always waits, so that the file is never empty
        waiting.append(b"%09d" % number)
        lines, size = waiting.take(1)
        waiting.taken(1, size)
        sent += lines
        assert os.fstat(waiting._descriptor).st_size <= 1030
    assert sent + drain(waiting) == [b"%09d" % number for number in range(1000)]


def test_a_line_may_be_longer_than_what_is_given_out_at_a_time(
    waiting: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "TAKEN_BYTES", 8)
    lines = [b"x" * 100, b"y", b"z" * 33]
    for line in lines:
        waiting.append(line)
    assert drain(waiting) == lines


def test_a_note_is_written_over_until_something_follows_it(waiting: Spool) -> None:
    waiting.append(b"a")
    waiting.note(b"1")
    waiting.note(b"2")
    waiting.append(b"b")
    assert not waiting.note_open
    waiting.note(b"3")
    assert drain(waiting) == [b"a", b"2", b"b", b"3"]


def test_a_note_that_was_given_out_is_not_written_over(waiting: Spool) -> None:
    waiting.note(b"1")
    assert waiting.take(10)[0] == [b"1"]
    assert not waiting.note_open
    waiting.note(b"2")
    assert drain(waiting) == [b"1", b"2"]


def test_a_note_that_was_not_given_out_yet_still_is(waiting: Spool) -> None:
    waiting.append(b"a")
    waiting.note(b"1")
    lines, size = waiting.take(1)
    waiting.note(b"2")
    waiting.taken(len(lines), size)
    assert drain(waiting) == [b"2"]


def test_there_is_room_again_when_something_was_taken_away(tmp_path: Path) -> None:
    waiting = Spool.create(tmp_path, "mine", Room(lines=2, size=1000))
    assert [waiting.append(b"a") for _ in range(3)] == [True, True, False]
    waiting.taken(1, 2)
    assert [waiting.append(b"a") for _ in range(2)] == [True, False]


def test_on_a_disk_that_takes_no_more_it_goes_on_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = Spool.create(tmp_path, "mine")
    waiting.append(b"a")
    full, write = waiting._descriptor, spool._write_at

    def only_elsewhere(descriptor: int, data: bytes, place: int) -> None:
        if descriptor == full and waiting.path is not None:
            write(descriptor, data[:1], place)
            raise OSError(errno.ENOSPC, "No space left on device")
        write(descriptor, data, place)

    monkeypatch.setattr(spool, "_write_at", only_elsewhere)
    assert waiting.append(b"bcd")
    assert waiting.path is None
    assert list(tmp_path.iterdir()) == []
    assert drain(waiting) == [b"a", b"bcd"]


def test_only_the_file_of_a_dead_client_can_be_adopted(tmp_path: Path) -> None:
    waiting = Spool.create(tmp_path, "mine")
    waiting.append(b"a")
    path = tmp_path / "mine.jsonl"
    assert Spool.adopt(path) is None
    waiting.close()
    adopted = Spool.adopt(path)
    assert adopted is not None
    assert Spool.adopt(path) is None
    assert drain(adopted) == [b"a"]
    adopted.close(remove=True)
    assert not path.exists()
    assert Spool.adopt(path) is None


def test_a_file_that_was_replaced_between_opening_and_locking_is_not_adopted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Spool.create(tmp_path, "mine").close()
    path, lock = tmp_path / "mine.jsonl", spool.fcntl.flock

    def replaced_meanwhile(descriptor: int, operation: int) -> None:
        lock(descriptor, operation)
        monkeypatch.setattr(spool.fcntl, "flock", lock)
        Spool.create(tmp_path, "mine").append(b"of the one that lives")

    monkeypatch.setattr(spool.fcntl, "flock", replaced_meanwhile)
    assert Spool.adopt(path) is None
    assert path.read_bytes() == b"of the one that lives\n"
