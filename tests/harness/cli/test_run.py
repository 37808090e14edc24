"""``drill run`` and ``drill up`` with a pair that only remembers: what they leave, print and exit with."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from harness.cli import run, up
from harness.cli.main import main
from harness.engine.runner import Runner
from harness.engine.sizing import Machine
from harness.environments.base import EnvironmentFailed
from harness.record import journal
from harness.record.journal import Journal
from tests.harness.engine.drilling import Act, RememberedEnvironment, drill_file, nothing


class Pair(RememberedEnvironment):
    """Stands for the embedded pair."""

    regions: dict[str, Any] = {}
    service_file = Path("pg_service.conf")


class Place:
    """A directory to drill in, and the pair that the next command makes."""

    def __init__(self, path: Path) -> None:
        self.path, self.pair = path, Pair(path)
        self.on_launch: Act = nothing
        drill_file(path)

    def drill(self, command: str, *arguments: str) -> Result:
        return CliRunner().invoke(main, [command, str(self.path / "drill.yaml"), *arguments])

    def run(self, *arguments: str) -> Result:
        return self.drill("run", "--output", str(self.path / "out"), *arguments)

    def kinds(self) -> list[str]:
        return [event.kind for event in journal.read(self.path / "out")]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    made = Place(tmp_path)
    monkeypatch.chdir(tmp_path)
    for command in (run, up):
        monkeypatch.setattr(command, "make_pair", lambda *_: made.pair)
    monkeypatch.setattr(up, "Fleet", lambda *_: Idle(made))
    monkeypatch.setattr(Runner, "_launch", lambda runner, began: made.on_launch())
    monkeypatch.setattr(Runner, "_run_phase", lambda *_: None)
    return made


class Idle:
    """A fleet that is up at once."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def create(self, _: Any) -> None:
        self._place.on_launch()

    def healthy(self) -> bool:
        return True


def raising(error: BaseException) -> Act:
    def act() -> None:
        raise error

    return act


def sending(*numbers: int) -> Act:
    def act() -> None:
        for number in numbers:
            os.kill(os.getpid(), number)

    return act


SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
FULL = OSError(errno.ENOSPC, "No space left on device")


# -- run ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", SIGNALS)
def test_a_run_that_is_stopped_is_removed_and_exits_with_130(place: Place, number: signal.Signals) -> None:
    place.on_launch = sending(number)
    done = place.run()
    assert done.exit_code == 130
    assert place.pair.done[-1] == "down"
    assert not place.pair.directory.exists()
    assert f"aborted: received {number.name}" in done.output
    assert place.kinds()[-1] == "run.ended"


@pytest.mark.parametrize("error", [EnvironmentFailed("witness ended"), FULL, ZeroDivisionError("a bug"), SystemExit(0),
                                   RuntimeError("[/red] looks like markup")])
def test_whatever_breaks_a_run_it_is_removed_and_exits_with_4(place: Place, error: BaseException) -> None:
    place.on_launch = raising(error)
    done = place.run()
    assert done.exit_code == 4
    assert place.pair.done[-1] == "down"
    assert not place.pair.directory.exists()
    assert str(error) in done.output
    assert "Traceback" not in done.output


def test_a_report_that_cannot_be_written_is_said_in_a_line_with_exit_4(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reports.writer.write", lambda _: raising(FULL)())
    done = place.run()
    assert done.exit_code == 4
    assert done.output.splitlines()[-1] == "the report could not be written: [Errno 28] No space left on device"
    assert not place.pair.directory.exists()


def test_a_renderer_that_crashes_is_no_verdict(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reports.writer.write", lambda _: raising(ZeroDivisionError("a bug"))())
    done = place.run()
    assert done.exit_code == 4
    assert "the harness failed while it made the report: ZeroDivisionError('a bug')" in done.output


def test_a_signal_while_the_report_is_made_ends_the_command_and_says_how_to_make_it(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reports.writer.write", lambda _: sending(signal.SIGTERM)())
    done = place.run()
    assert done.exit_code == 130
    assert "received SIGTERM while the report was made" in done.output
    assert f"'drill report {place.path / 'out'}' makes the report" in done.output
    assert "run.aborted" not in place.kinds()


def test_signals_of_the_clean_up_do_not_keep_the_report_from_being_made(place: Place) -> None:
    place.on_launch = sending(signal.SIGINT)
    place.pair.on_down = sending(signal.SIGINT, signal.SIGTERM)
    assert place.run().exit_code == 130
    assert (place.path / "out" / "report.json").exists()


def test_a_run_into_a_directory_that_holds_one_is_refused_before_anything_is_started(place: Place) -> None:
    place.run()
    place.pair.done.clear()
    done = place.run()
    assert (done.exit_code, place.pair.done) == (2, [])
    assert "holds a run already" in done.output


def test_of_two_runs_into_one_directory_at_once_the_second_is_refused(place: Place) -> None:
    seen: list[Result] = []
    place.on_launch = lambda: seen.append(place.run()) if not seen else None
    first = place.run()
    assert seen[0].exit_code == 2
    assert "holds a run already" in seen[0].output
    assert place.kinds().count("run.started") == 1
    assert first.exit_code != 2


def test_a_disk_that_is_full_before_the_first_record_leaves_nothing_and_exits_with_4(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(fd: int, data: bytes) -> int:
        raise FULL

    monkeypatch.setattr(journal.os, "write", write)
    done = place.run()
    monkeypatch.undo()
    assert done.exit_code == 4
    assert done.output == f"{place.path / 'out'} cannot be written: [Errno 28] No space left on device\n"
    assert place.pair.done == []
    Journal(place.path / "out", new=True).close()  # and the next run may have the directory


def test_a_clean_up_that_fails_is_said(place: Place) -> None:
    place.pair.on_down = raising(EnvironmentFailed("processes [7] did not die on SIGKILL"))
    done = place.run()
    assert "the environment could not be removed: processes [7] did not die on SIGKILL" in done.output
    assert "clean-up failed" in done.output


# -- up -------------------------------------------------------------------------------------------------------------


def test_an_environment_that_is_up_stays(place: Place) -> None:
    done = place.drill("up")
    assert (done.exit_code, place.pair.done) == (0, ["up"])
    assert "drill down env-1" in done.output


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("moment", ["up", "fleet"])
def test_an_up_that_is_stopped_is_removed_and_exits_with_130(
    place: Place, moment: str, number: signal.Signals
) -> None:
    if moment == "up":
        place.pair.on_up = sending(number)
    else:
        place.on_launch = sending(number)
    place.pair.on_down = sending(signal.SIGINT, signal.SIGTERM)  # and somebody insists
    done = place.drill("up")
    assert done.exit_code == 130
    assert place.pair.done == ["up", "down"]
    assert not place.pair.directory.exists()
    assert "everything was removed" in done.output


@pytest.mark.parametrize("error", [EnvironmentFailed("witness ended"), FULL, ZeroDivisionError("a bug")])
def test_an_up_that_fails_keeps_its_logs_and_removes_the_rest(place: Place, error: BaseException) -> None:
    place.on_launch = raising(error)
    done = place.drill("up")
    assert done.exit_code == 4
    assert place.pair.done == ["up", "down"]
    assert str(error) in done.output
    assert (place.path / "runs" / "env-1-logs").is_dir()


def test_an_up_whose_logs_cannot_be_kept_is_removed_all_the_same(place: Place) -> None:
    (place.path / "runs").write_text("a file")
    place.on_launch = raising(EnvironmentFailed("witness ended"))
    done = place.drill("up")
    assert (done.exit_code, place.pair.done) == (4, ["up", "down"])
    assert "its logs: " in done.output


def test_an_up_that_cannot_be_removed_says_so(place: Place) -> None:
    place.on_launch = sending(signal.SIGTERM)
    place.pair.on_down = raising(EnvironmentFailed("processes [7] did not die on SIGKILL"))
    done = place.drill("up")
    assert done.exit_code == 130
    assert "the environment: processes [7] did not die on SIGKILL" in done.output
    assert "everything was removed" not in done.output


# -- a machine that is too small ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["run", "up"])
def test_a_fleet_that_does_not_fit_into_the_memory_is_refused_unless_it_is_forced(
    place: Place, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setattr(Machine, "here", lambda: Machine(1400, 8))
    done = place.drill(command)
    assert (done.exit_code, place.pair.done) == (2, [])
    assert "nothing was started: memory: about 1445 MiB are needed, 1400 MiB are available" in done.output
    assert "--force" in done.output
    place.drill(command, "--force")
    assert place.pair.done[0] == "up"


def test_a_machine_whose_memory_nobody_knows_refuses_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Machine, "here", lambda: Machine(0, 8))
    assert place.drill("up").exit_code == 0


# -- every command --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("command", "function"), [
    (["run", "drill.yaml"], "harness.cli.run.run"), (["up", "drill.yaml"], "harness.cli.up.up"),
    (["down"], "harness.cli.down.down"), (["status"], "harness.cli.status.status")])
@pytest.mark.parametrize(("error", "code"), [(ZeroDivisionError("a bug"), 4), (FULL, 4), (KeyboardInterrupt(), 130)])
def test_no_command_ends_in_a_traceback_or_in_the_exit_code_of_a_verdict(
    place: Place, monkeypatch: pytest.MonkeyPatch, command: list[str], function: str, error: BaseException, code: int
) -> None:
    def fail(*_: Any) -> int:
        raise error

    monkeypatch.setattr(function, fail)
    done = CliRunner().invoke(main, command)
    assert done.exit_code == code
    assert len(done.output.splitlines()) == 1
