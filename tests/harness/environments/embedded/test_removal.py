"""An environment is removed as far as it can be, and nothing beside it is."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.environments.base import EnvironmentFailed
from harness.environments.embedded import removal, shared_memory
from harness.environments.embedded.ownership import Ownership


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    place = tmp_path / "envs" / "outage-1"
    (place / "sites" / "primary").mkdir(parents=True)
    return place


@pytest.fixture
def process(directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process of the environment."""
    made = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], cwd=directory,
                            env={**os.environ, **Ownership.of(directory).mark})
    yield made
    made.kill()
    made.wait()


def test_processes_and_directory_are_removed(directory: Path, process: subprocess.Popen[bytes]) -> None:
    assert removal.remove(Ownership.of(directory)) == 1
    assert process.wait(5) < 0
    assert not directory.exists()


def test_a_step_that_fails_keeps_none_from_being_done_and_is_said(
        directory: Path, process: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("the kernel does not let us")

    monkeypatch.setattr(shared_memory, "left_by", lambda *_: "a segment")
    monkeypatch.setattr(shared_memory, "remove", refuse)
    with pytest.raises(EnvironmentFailed, match=r"outage-1 could not be removed: .*the kernel does not let us"):
        removal.remove(Ownership.of(directory))
    assert process.wait(5) < 0
    assert not directory.exists()


def test_processes_that_cannot_be_killed_do_not_keep_the_directory(
        directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stuck(_: Ownership, __: Path | None) -> int:
        raise EnvironmentFailed("processes [7] did not die on SIGKILL")

    monkeypatch.setattr(Ownership, "kill", stuck)
    with pytest.raises(EnvironmentFailed, match="did not die"):
        removal.remove(Ownership.of(directory))
    assert not directory.exists()


def test_what_cannot_be_removed_is_an_error(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(f"Operation not permitted: {path}")

    monkeypatch.setattr(removal, "remove_directory", refuse)
    with pytest.raises(EnvironmentFailed, match="Operation not permitted"):
        removal.remove(Ownership.of(directory))


def test_where_a_link_stands_for_an_environment_only_the_link_is_removed(directory: Path, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    (theirs / "sites" / "primary" / "postgres" / "data").mkdir(parents=True)
    shell = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], cwd=theirs)
    link = directory.with_name("x")
    link.symlink_to(theirs)
    assert removal.remove(Ownership.of(link)) == 0
    assert not link.is_symlink()
    assert (theirs / "sites" / "primary" / "postgres" / "data").is_dir()
    assert shell.poll() is None
    assert directory.exists()
    shell.kill()
    shell.wait()


def test_what_is_gone_already_is_removed(tmp_path: Path) -> None:
    assert removal.remove(Ownership.of(tmp_path / "envs" / "gone")) == 0
