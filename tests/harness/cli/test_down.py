"""``drill status`` and ``drill down``, whatever state environments are in."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from harness.cli import down as leftovers
from harness.cli.main import main
from harness.environments.base import EnvironmentFailed
from harness.environments.embedded.layout import ENVIRONMENTS, environments_root
from harness.environments.embedded.ownership import Lock, Ownership
from harness.environments.embedded.state import UP, EnvironmentState

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
HOLD = """\
import sys, time
from pathlib import Path
from harness.environments.embedded.ownership import Lock
Lock(Path(sys.argv[1])).make()
Path(sys.argv[1]).mkdir()
print("held", flush=True)
time.sleep(60)
"""


def drill(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


class Home:
    """Environments of a test's own, and the processes that it started for them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.started: list[subprocess.Popen[str]] = []

    def directory(self, name: str) -> Path:
        return environments_root() / ENVIRONMENTS / name

    def left_behind(self, name: str, *, processes: int = 0) -> Path:
        """An environment that is up, and whose harness is gone."""
        directory = self.directory(name)
        lock = Lock(directory)
        ownership = lock.make()
        (directory / "sites").mkdir(parents=True)
        EnvironmentState(name, UP, since=time.time()).save(directory)
        lock.release()
        for _ in range(processes):
            self.started.append(subprocess.Popen(
                SLEEP, cwd=directory, text=True, env={**os.environ, **ownership.mark}))
        return directory

    def held(self, name: str) -> subprocess.Popen[str]:
        """An environment whose harness lives: the process."""
        harness = subprocess.Popen([sys.executable, "-c", HOLD, str(self.directory(name))], text=True,
                                   stdout=subprocess.PIPE)
        self.started.append(harness)
        assert harness.stdout is not None
        assert harness.stdout.readline() == "held\n"
        return harness


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    monkeypatch.setenv("DR_DRILL_HOME", str(tmp_path))
    made = Home(tmp_path)
    yield made
    for process in made.started:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def test_what_was_left_behind_is_removed_with_its_processes(home: Home) -> None:
    directory = home.left_behind("e1", processes=2)
    done = drill("down")
    assert (done.exit_code, done.output) == (0, "e1: removed (2 processes)\n")
    assert not directory.exists()
    assert [process.wait(5) for process in home.started] == [-9, -9]
    assert drill("status").output == "no environments\n"
    assert drill("down").output == "nothing to remove\n"


def test_a_harness_that_was_just_killed_owns_nothing_though_nobody_has_waited_for_it(home: Home) -> None:
    harness = home.held("e1")
    assert "left alone" in drill("down").output
    harness.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, harness.pid, os.WEXITED | os.WNOWAIT)  # a zombie from here on
    assert "gone" in drill("status").output
    assert drill("down").output == "e1: removed (0 processes)\n"


def test_what_lives_is_removed_when_it_is_named_or_all_is_to_go(home: Home) -> None:
    for arguments in (["e1"], ["--all"]):
        harness = home.held("e1")
        assert "removed" in drill("down", *arguments).output
        assert not home.directory("e1").exists()
        harness.kill()
        harness.wait()
        drill("down")


@pytest.mark.parametrize("text", [
    None, "", "{}", "[]", "7", '{"state": "up", "own', '{"owner": "x", "since": "y", "state": [1], "run": {}}',
    "[" * 100_000, "\x00", '{"since": 1e999}', '{"settings": {"primary": 7}, "block": 3}'])
def test_one_damaged_environment_blocks_no_other(home: Home, text: str | None) -> None:
    damaged, well = home.left_behind("a-damaged", processes=1), home.left_behind("b-well")
    (damaged / "environment.json").unlink()
    if text is not None:
        (damaged / "environment.json").write_text(text)
    shown = drill("status")
    assert shown.exit_code == 0
    assert "unknown" in next(line for line in shown.output.splitlines() if "a-damaged" in line)
    done = drill("down")
    assert (done.exit_code, done.output) == (0, "a-damaged: removed (1 processes)\nb-well: removed (0 processes)\n")
    assert not damaged.exists()
    assert not well.exists()


def test_a_living_one_without_a_readable_state_is_left_alone(home: Home) -> None:
    harness = home.held("e1")  # it has not come to write its state yet
    assert "running" in drill("status").output
    assert drill("down").output == "e1: its drill is running; left alone\n"
    assert harness.poll() is None
    assert home.directory("e1").exists()


def test_processes_whose_directory_was_deleted_under_them_are_found_and_ended(home: Home) -> None:
    directory = home.left_behind("e1", processes=1)
    subprocess.run(["rm", "-r", str(directory)], check=True)
    assert "e1" in drill("status").output
    assert drill("down").output == "e1: removed (1 processes)\n"
    assert home.started[0].wait(5) == -9


def test_what_cannot_be_removed_is_said_with_exit_4_and_the_others_are_removed(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    stays, goes = home.left_behind("a-stays"), home.left_behind("b-goes")
    really = leftovers.remove_parts

    def remove(ownership: Ownership) -> int:
        if ownership.directory.name == "a-stays":
            raise EnvironmentFailed(f"{ownership.directory} could not be removed: Read-only file system")
        return really(ownership)

    monkeypatch.setattr(leftovers, "remove_parts", remove)
    done = drill("down")
    assert done.exit_code == 4
    first, second = done.output.splitlines()
    assert first.startswith("a-stays: what is left of it: ")
    assert first.endswith("Read-only file system")
    assert second == "b-goes: removed (0 processes)"
    assert stays.exists()
    assert not goes.exists()
    monkeypatch.undo()
    monkeypatch.setenv("DR_DRILL_HOME", str(home.path))
    assert drill("down").output == "a-stays: removed (0 processes)\n"  # a later try finds it again


@pytest.mark.parametrize("step", ["collect", "end", "report"])
def test_a_run_that_cannot_be_saved_is_said_and_its_environment_is_removed(
    home: Home, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    directory = home.left_behind("e1", processes=1)
    monkeypatch.setattr(leftovers.Salvage, step, fail)
    done = drill("down")
    assert done.exit_code == 4
    assert "No space left on device" in done.output
    assert "e1: removed (1 processes)" in done.output
    assert not directory.exists()


def test_a_signal_during_a_removal_lets_it_come_to_its_end_and_begins_no_other(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = home.left_behind("a"), home.left_behind("b")
    really = leftovers.remove_parts

    def remove(ownership: Ownership) -> int:
        os.kill(os.getpid(), signal.SIGINT)
        return really(ownership)

    monkeypatch.setattr(leftovers, "remove_parts", remove)
    done = drill("down")
    assert done.exit_code == 130
    assert not first.exists()
    assert second.exists()


@pytest.mark.parametrize("name", ["[/red]", "[bold]x", "a b", "-", "x" * 300, "../../etc", "\udcff"])
def test_a_name_is_printed_as_it_is(home: Home, name: str) -> None:
    done = drill("down", "--", name)
    assert done.exit_code == 2
    assert done.output == f"there is no environment {name} (drill status)\n".replace("\udcff", "�")


def test_an_environment_with_a_strange_name_is_shown_and_removed(home: Home) -> None:
    home.left_behind("[red]x[bold]")
    assert "[red]x[bold]" in drill("status").output
    assert drill("down", "[red]x[bold]").output == "[red]x[bold]: removed (0 processes)\n"


def test_a_place_that_is_not_ours_is_refused_in_a_line(home: Home) -> None:
    environments_root().symlink_to("/etc")
    for command in ("status", "down"):
        done = drill(command)
        assert done.exit_code == 4
        assert "symbolic link" in done.output
        assert len(done.output.splitlines()) == 1


def test_what_is_no_environment_at_all_is_said_and_blocks_none(home: Home) -> None:
    home.left_behind("z")
    (home.directory("z").parent / "file").write_text("x")
    shown = drill("status")
    assert (shown.exit_code, "file" in shown.output) == (0, True)
    done = drill("down")
    assert done.exit_code == 4
    assert "file: what is left of it: " in done.output
    assert "z: removed (0 processes)" in done.output
