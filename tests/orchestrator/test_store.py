"""The file that the orchestrator's records are in."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orchestrator.store import Store


def test_a_store_is_its_owners_alone_from_its_first_byte_and_stays_so(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    before = os.umask(0)
    try:
        Store(path)
        assert path.stat().st_mode & 0o777 == 0o600
        path.chmod(0o644)
        Store(path)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_is_no_regular_file_is_refused_and_keeps_its_mode(tmp_path: Path) -> None:
    """Started by root with ``/dev/null`` for its store, an orchestrator took that from everybody on the machine."""
    device, link, pipe = Path("/dev/null"), tmp_path / "link", tmp_path / "pipe"
    (tmp_path / "somebodys").write_text("x")
    (tmp_path / "somebodys").chmod(0o644)
    link.symlink_to(tmp_path / "somebodys")
    os.mkfifo(pipe, 0o644)
    for path in (device, link, pipe, tmp_path):
        before = path.stat().st_mode
        with pytest.raises(OSError, match=r"not a regular file|symbolic link|directory"):
            Store(path)
        assert path.stat().st_mode == before
