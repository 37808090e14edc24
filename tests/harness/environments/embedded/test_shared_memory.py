"""Of shared-memory segments, only the one that a killed server of ours has certainly left is removed."""

import ctypes
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness.environments.embedded.shared_memory import REMOVE, left_by, made_by, remove, segments

LIBC = ctypes.CDLL(None, use_errno=True)
US = {os.geteuid()}
MAKE = "import ctypes, os, sys; print(os.getpid(), ctypes.CDLL(None).shmget(int(sys.argv[1]), 64, 0o1600))"
KEY = 0x44520000 | os.getpid() & 0xFFFF


class Left:
    """A segment that a process has made before it ended."""

    def __init__(self, data: Path) -> None:
        made = subprocess.run([sys.executable, "-c", MAKE, str(KEY)], capture_output=True, text=True, check=True)
        self.data = data
        self.maker, self.identifier = (int(word) for word in made.stdout.split())
        assert self.identifier >= 0

    def says(self, *, server: int | None = None, key: int = KEY, identifier: int | None = None) -> None:
        """What ``postmaster.pid`` says of it."""
        lines = [server or self.maker, self.data, 1, 5432, "", "127.0.0.1",
                 f"{key:9d} {self.identifier if identifier is None else identifier:9d}", "ready"]
        (self.data / "postmaster.pid").write_text("\n".join(map(str, lines)) + "\n")

    @property
    def there(self) -> bool:
        return self.identifier in segments()


@pytest.fixture
def left(tmp_path: Path) -> Iterator[Left]:
    made = Left(tmp_path)
    yield made
    LIBC.shmctl(made.identifier, REMOVE, None)


def test_what_a_server_has_left_is_removed(left: Left) -> None:
    left.says()
    found = left_by(left.data, US)
    assert found is not None
    assert remove(found)
    assert not left.there
    assert not remove(found)
    assert left_by(left.data, US) is None


def test_what_another_process_has_made_is_left_alone(left: Left) -> None:
    left.says(server=left.maker + 1)
    assert left_by(left.data, US) is None


def test_what_has_another_key_is_left_alone(left: Left) -> None:
    left.says(key=KEY + 1)
    assert left_by(left.data, US) is None


def test_what_another_user_has_made_is_left_alone(left: Left) -> None:
    left.says()
    assert left_by(left.data, {os.geteuid() + 1}) is None


def test_what_somebody_is_attached_to_is_left_alone(left: Left) -> None:
    left.says()
    LIBC.shmat.restype = ctypes.c_void_p
    place = LIBC.shmat(left.identifier, None, 0)
    (found,) = made_by({left.maker}, US)
    assert found.attached == 1
    assert left_by(left.data, US) is None
    assert not remove(found)
    assert left.there
    LIBC.shmdt(ctypes.c_void_p(place))
    assert remove(found)
    assert not left.there


def test_what_processes_of_ours_have_made_is_known_without_a_file(left: Left) -> None:
    assert [found.identifier for found in made_by({left.maker}, US)] == [left.identifier]
    assert made_by({left.maker + 1}, US) == []
    assert made_by({left.maker}, {os.geteuid() + 1}) == []


def test_a_segment_that_has_taken_over_a_number_is_left_alone(left: Left) -> None:
    (found,) = made_by({left.maker}, US)
    assert not remove(replace(found, creator=found.creator + 1))
    assert left.there


@pytest.mark.parametrize("text", ["", "x", "1\n2\n3\n4\n5\n6\nseven eight\n", "1\n2\n3\n4\n5\n6\n7\n", "-\n" * 8])
def test_a_file_that_says_nothing_of_a_segment_removes_none(left: Left, text: str) -> None:
    (left.data / "postmaster.pid").write_text(text)
    assert left_by(left.data, US) is None


def test_a_file_that_is_a_link_is_not_believed(left: Left, tmp_path: Path) -> None:
    left.says()
    (left.data / "postmaster.pid").rename(tmp_path / "elsewhere")
    (left.data / "postmaster.pid").symlink_to(tmp_path / "elsewhere")
    assert left_by(left.data, US) is None
