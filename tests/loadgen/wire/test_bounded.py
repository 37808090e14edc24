"""Files that somebody else wrote, or that are none."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from loadgen.wire.bounded import Unreadable, open_regular, read_bytes


def test_what_a_regular_file_holds_is_read_up_to_the_bound_and_not_beyond(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert read_bytes(path, 5) == b"12345"
    with pytest.raises(Unreadable, match="is larger than 0 KiB"):
        read_bytes(path, 4)


@pytest.mark.parametrize(("kind", "said"), [
    ("/dev/zero", "is a device"), ("/dev/null", "is a device"), ("pipe", "is a pipe"), ("directory", "is a directory"),
    ("socket", "is a socket"), ("nothing", "No such file"), ("loop", "symbolic links"), ("nul\0", "null byte")])
def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path, kind: str, said: str) -> None:
    path = tmp_path / kind
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    elif kind == "socket":
        socket.socket(socket.AF_UNIX).bind(str(path))
    elif kind == "loop":
        path.symlink_to(path)
    with pytest.raises(Unreadable, match=said):
        read_bytes(path, 100)


def test_a_sparse_file_of_terabytes_costs_no_more_than_the_bound(tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as sink:
        sink.truncate(1 << 42)
    with pytest.raises(Unreadable, match="is larger than 1 MiB"):
        read_bytes(path, 1 << 20)


def test_a_device_that_takes_the_place_of_a_file_before_it_is_opened_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x")
    before = len(os.listdir("/proc/self/fd"))
    really = os.open
    monkeypatch.setattr(os, "open", lambda _, flags: really("/dev/zero", flags))
    with pytest.raises(Unreadable, match="is a device"):
        open_regular(path)
    monkeypatch.undo()
    assert len(os.listdir("/proc/self/fd")) == before
