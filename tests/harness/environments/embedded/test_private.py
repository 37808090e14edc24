"""Directories and files that are ours alone, in places that are not."""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.environments.embedded.private import (
    UntrustedPlace,
    distrust,
    make_directory,
    open_private,
    read_private,
    remove_directory,
    write_atomically,
    write_private,
)
from tests.harness.environments.embedded.conftest import STRANGER

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make what belongs to somebody else")


@pytest.fixture(autouse=True)
def open_hearted() -> Iterator[None]:
    """A caller whose own files everybody may change."""
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_a_directory_is_private_whatever_the_callers_umask_is(tmp_path: Path) -> None:
    assert mode(make_directory(tmp_path / "made")) == 0o700
    (tmp_path / "older").mkdir(0o755)
    assert mode(make_directory(tmp_path / "older")) == 0o700
    assert mode(make_directory(tmp_path / "through", 0o711)) == 0o711


def test_what_is_made_below_keeps_the_group_of_what_is_above(tmp_path: Path) -> None:
    above = make_directory(tmp_path / "above")
    above.chmod(0o2700)
    assert mode(make_directory(above / "below")) == 0o2700


@as_root
def test_a_directory_is_given_to_its_processes_user_and_found_again(tmp_path: Path) -> None:
    made = make_directory(tmp_path / "site", owner=STRANGER)
    assert (made.stat().st_uid, made.stat().st_gid, mode(made)) == (STRANGER, STRANGER, 0o700)
    assert make_directory(made, owner=STRANGER) == made
    with pytest.raises(UntrustedPlace, match="belongs to another user"):
        make_directory(made)
    with pytest.raises(UntrustedPlace, match="belongs to another user"):
        make_directory(made, owner=STRANGER + 1)


@as_root
@pytest.mark.parametrize("write", [write_private, write_atomically])
def test_a_file_is_given_to_its_processes_user(tmp_path: Path, write: Callable[[Path, str, int], None]) -> None:
    write(tmp_path / "config.json", "text", STRANGER)
    found = (tmp_path / "config.json").stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (STRANGER, STRANGER, 0o600)


@as_root
def test_what_another_user_puts_in_the_place_of_a_file_is_neither_written_nor_given_away(tmp_path: Path) -> None:
    place = make_directory(tmp_path / "site", owner=STRANGER)
    precious = tmp_path / "precious"
    precious.write_text("precious")
    for kind in ("symlink_to", "hardlink_to"):
        getattr(place / "crash-point", kind)(precious)
        write_atomically(place / "crash-point", "point", STRANGER)
        assert (precious.read_text(), precious.stat().st_uid) == ("precious", 0)
        assert (place / "crash-point").read_text() == "point"
        (place / "crash-point").unlink()


@as_root
def test_a_directory_of_somebody_else_is_refused_with_what_to_do(tmp_path: Path) -> None:
    place = tmp_path / "dr-drill-0"
    place.mkdir(0o700)
    os.chown(place, STRANGER, STRANGER)
    with pytest.raises(UntrustedPlace, match=f"belongs to another user \\(id {STRANGER}\\): .* DR_DRILL_HOME"):
        make_directory(place)


def test_a_link_in_the_place_of_a_directory_is_refused_and_its_target_left_alone(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir(0o755)
    (tmp_path / "dr-drill-0").symlink_to("theirs")
    with pytest.raises(UntrustedPlace, match="is a symbolic link"):
        make_directory(tmp_path / "dr-drill-0")
    assert mode(tmp_path / "theirs") == 0o755


def test_a_link_to_nowhere_is_refused_too(tmp_path: Path) -> None:
    (tmp_path / "dr-drill-0").symlink_to("nowhere")
    with pytest.raises(UntrustedPlace, match="is a symbolic link"):
        make_directory(tmp_path / "dr-drill-0")
    assert not (tmp_path / "nowhere").exists()


def test_a_directory_that_others_could_write_to_is_refused(tmp_path: Path) -> None:
    (tmp_path / "dr-drill-0").mkdir(0o777)
    with pytest.raises(UntrustedPlace, match="can be written by other users"):
        make_directory(tmp_path / "dr-drill-0")


def test_a_file_in_the_place_of_a_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "dr-drill-0").touch()
    with pytest.raises(UntrustedPlace, match="is not a directory"):
        make_directory(tmp_path / "dr-drill-0")


def test_a_shared_directory_has_to_be_sticky(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    assert "is not sticky" in (distrust(tmp_path / "dr-drill-0") or "")
    tmp_path.chmod(0o1777)
    assert distrust(tmp_path / "dr-drill-0") is None


def test_a_file_is_private_from_its_first_byte(tmp_path: Path) -> None:
    write_private(tmp_path / "secret", "s")
    write_atomically(tmp_path / "state", "{}")
    fd = open_private(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    os.close(fd)
    assert {mode(path) for path in tmp_path.iterdir()} == {0o600}


def test_no_file_is_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "secret").symlink_to("precious")
    with pytest.raises(OSError, match="symbolic links"):
        write_private(tmp_path / "secret", "s")
    write_atomically(tmp_path / "secret", "s")  # the link itself is replaced
    assert (tmp_path / "precious").read_text() == "precious"
    assert (tmp_path / "secret").read_text() == "s"


def test_what_was_there_stays_when_a_file_cannot_be_written_whole(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_atomically(tmp_path / "state", "before")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(tmp_path / "state", "after")
    assert (tmp_path / "state").read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def test_only_an_ordinary_file_of_bounded_size_is_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(b"x" * 101)
    (tmp_path / "there").write_text("t")
    (tmp_path / "link").symlink_to("there")
    assert read_private(tmp_path / "there") == "t"
    for name in ("pipe", "link", "missing", "."):
        with pytest.raises(OSError):
            read_private(tmp_path / name)
    with pytest.raises(OSError, match="not an ordinary file"):
        read_private(Path("/dev/zero"))
    with pytest.raises(OSError, match="more than the 100"):
        read_private(tmp_path / "large", most=100)


def test_of_a_link_only_the_link_is_removed(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "precious").touch()
    (tmp_path / "x").symlink_to(theirs)
    ours = tmp_path / "ours"
    ours.mkdir()
    (ours / "link").symlink_to(theirs)
    remove_directory(tmp_path / "x")
    remove_directory(ours)
    remove_directory(tmp_path / "never-was")
    assert [path.name for path in tmp_path.iterdir()] == ["theirs"]
    assert (theirs / "precious").exists()


def test_what_can_be_removed_is_and_what_cannot_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = tmp_path / "ours"
    ours.mkdir()
    for name in ("a", "stubborn", "z"):
        (ours / name).touch()
    unlink = os.unlink

    def stubborn(path: str, **place: int) -> None:
        if path == "stubborn":
            raise PermissionError(errno.EPERM, "Operation not permitted", path)
        unlink(path, **place)

    monkeypatch.setattr(os, "unlink", stubborn)
    with pytest.raises(PermissionError, match="stubborn"):
        remove_directory(ours)
    assert [path.name for path in ours.iterdir()] == ["stubborn"]
