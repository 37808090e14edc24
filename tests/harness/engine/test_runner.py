"""However a drill ends, everything that was started is ended, in order, and the record says how."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from harness.cli.interrupts import Interrupts
from harness.engine.context import Aborted, PhaseFailed
from harness.environments.base import EnvironmentFailed
from harness.record import journal as journals
from harness.record.journal import Journal
from tests.harness.engine.drilling import Act, Drilled

WHOLE = ["up", "samples", "probes", "evidence", "down"]
FULL = OSError(errno.ENOSPC, "No space left on device")


def raising(error: BaseException) -> Act:
    def act() -> None:
        raise error

    return act


def sending(*numbers: int) -> Act:
    def act() -> None:
        for number in numbers:
            os.kill(os.getpid(), number)

    return act


@pytest.fixture
def drill(tmp_path: Path) -> Drilled:
    return Drilled(tmp_path)


def reason(drill: Drilled, kind: str) -> str:
    return str(next(event for event in drill.events() if event.kind == kind)["reason"])


def fill_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on nothing can be written into a journal."""

    def write(fd: int, data: bytes) -> int:
        raise FULL

    monkeypatch.setattr(journals.os, "write", write)


def test_a_drill_that_ends_well_is_taken_down_in_reverse(drill: Drilled) -> None:
    drill.run()
    assert drill.remembered.done == WHOLE
    assert drill.kinds()[-3:] == ["cleanup.intent", "cleanup", "run.ended"]
    assert drill.events()[-2]["outcome"] == "done"
    assert not drill.aborted


@pytest.mark.parametrize(("error", "kind", "says"), [
    (PhaseFailed("the failover was refused"), "failure", "the failover was refused"),
    (Aborted("the load fell"), "gap", "aborted: the load fell"),
    (EnvironmentFailed("witness ended with status -9"), "run.broken", "witness ended with status -9"),
    (ZeroDivisionError("a bug"), "run.broken", "the harness failed: ZeroDivisionError('a bug')"),
    (SystemExit(1), "run.broken", "the harness failed: SystemExit(1)"),
    (MemoryError(), "run.broken", "the harness failed: MemoryError()"),
    (KeyboardInterrupt(), "run.aborted", "interrupted"),
])
def test_whatever_a_phase_meets_everything_is_taken_down_and_the_record_says_why(
    drill: Drilled, error: BaseException, kind: str, says: str
) -> None:
    drill.on_phase = raising(error)
    drill.run()
    assert drill.remembered.done == WHOLE
    assert reason(drill, kind) == says
    assert drill.kinds()[-1] == "run.ended"
    assert any(says.removeprefix("aborted: ") in line for line in drill.said.lines)


def test_an_environment_that_does_not_come_up_is_removed(drill: Drilled) -> None:
    drill.remembered.on_up = raising(EnvironmentFailed("node primary was not ready"))
    drill.run()
    assert drill.remembered.done == ["up", "evidence", "down"]
    assert reason(drill, "run.broken") == "node primary was not ready"


# -- signals ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("moment", ["before", "up", "phase"])
def test_a_signal_at_any_moment_ends_in_an_empty_place(tmp_path: Path, moment: str, number: signal.Signals) -> None:
    with Interrupts() as interrupts, interrupts.held():
        drill = Drilled(tmp_path, interruption=interrupts)
        if moment == "before":
            sending(number)()
        if moment == "up":
            drill.remembered.on_up = sending(number)
        if moment == "phase":
            drill.on_phase = sending(number)
        drill.run()
        interrupts.heeded()
    assert drill.aborted
    assert reason(drill, "run.aborted") == f"received {number.name}"
    assert drill.kinds()[0] == "run.started"
    assert drill.kinds()[-1] == "run.ended"
    assert not drill.remembered.directory.exists()
    assert drill.remembered.done == {"before": [], "up": ["up", "evidence", "down"], "phase": WHOLE}[moment]


def test_a_second_signal_interrupts_no_step_of_the_teardown(tmp_path: Path) -> None:
    with Interrupts() as interrupts, interrupts.held():
        drill = Drilled(tmp_path, interruption=interrupts)
        drill.on_phase = sending(signal.SIGINT)
        drill.remembered.on_down = sending(signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        drill.run()
        interrupts.heeded()
    assert drill.remembered.done == WHOLE
    assert drill.events()[-2]["outcome"] == "done"


def test_a_signal_during_the_teardown_of_a_whole_drill_takes_nothing_from_it(tmp_path: Path) -> None:
    with Interrupts() as interrupts, interrupts.held():
        drill = Drilled(tmp_path, interruption=interrupts)
        drill.remembered.on_down = sending(signal.SIGTERM)
        drill.run()
        interrupts.heeded()
    assert not drill.aborted
    assert "run.aborted" not in drill.kinds()
    assert drill.events()[-2]["outcome"] == "done"


def test_an_error_that_a_signal_has_caused_is_an_abort_and_no_failure(tmp_path: Path) -> None:
    """A database library, say, makes an error of its own of the interrupt."""

    def interrupted_query() -> None:
        try:
            sending(signal.SIGINT)()
        except KeyboardInterrupt:
            raise RuntimeError("Query interrupted") from None

    with Interrupts() as interrupts, interrupts.held():
        drill = Drilled(tmp_path, interruption=interrupts)
        drill.on_phase = interrupted_query
        drill.run()
    assert drill.aborted
    assert "run.broken" not in drill.kinds()


def test_a_wait_notices_a_signal_whose_exception_got_lost(tmp_path: Path) -> None:
    def wait() -> None:
        try:
            sending(signal.SIGTERM)()
        except KeyboardInterrupt:
            drill.context.wait(lambda: False, 60, lambda: None, poll=0.001)

    with Interrupts() as interrupts, interrupts.held():
        drill = Drilled(tmp_path, interruption=interrupts)
        drill.on_phase = wait
        drill.run()
    assert drill.aborted


# -- a full disk -------------------------------------------------------------------------------------------------


def test_a_disk_that_fills_up_in_a_phase_keeps_nothing_from_being_taken_down(
    drill: Drilled, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill() -> None:
        fill_disk(monkeypatch)
        drill.context.look("x", True, "")

    drill.on_phase = fill
    drill.run()
    assert drill.remembered.done == WHOLE
    assert "run.ended" not in drill.kinds()
    assert sum("No space left on device" in line and "journal" in line for line in drill.said.lines) <= 2


def test_once_there_is_room_again_the_record_says_that_there_was_none(
    drill: Drilled, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill() -> None:
        fill_disk(monkeypatch)
        drill.context.look("x", True, "")

    drill.on_phase, drill.remembered.on_down = fill, monkeypatch.undo
    drill.run()
    kinds = drill.kinds()
    assert kinds[-4:] == ["run.broken", "cleanup.intent", "cleanup", "run.ended"]
    assert "No space left on device" in reason(drill, "run.broken")


def test_a_disk_that_is_full_before_the_first_record_starts_nothing(
    drill: Drilled, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_disk(monkeypatch)
    drill.run()
    assert drill.remembered.done == []
    assert any("No space left on device" in line for line in drill.said.lines)


def test_a_disk_that_is_full_when_evidence_is_kept_breaks_the_run(drill: Drilled, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drill.remembered, "epochs", raising(FULL))
    drill.run()
    assert drill.remembered.done == ["up", "samples", "probes", "down"]
    assert "epochs: [Errno 28] No space left on device" in reason(drill, "run.broken")
    assert drill.events()[-2]["outcome"] == "done"


# -- steps that fail ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [RuntimeError("a bug"), SystemExit(1), FULL])
def test_an_observer_that_cannot_be_stopped_is_a_gap_and_the_rest_is_done(drill: Drilled, error: BaseException) -> None:
    drill.on_phase = lambda: drill.teardown.push("the load", raising(error))
    drill.run()
    assert drill.remembered.done == WHOLE
    failed = next(event for event in drill.events() if event.kind == "teardown.error")
    assert (failed["what"], failed["error"]) == ("the load", repr(error))


@pytest.mark.parametrize("error", [EnvironmentFailed("processes [7] did not die on SIGKILL"), PermissionError("no"),
                                   KeyboardInterrupt("no")])
def test_an_environment_that_cannot_be_removed_is_said_and_has_its_own_verdict(
    drill: Drilled, error: BaseException
) -> None:
    drill.remembered.on_down, drill.remembered.left = raising(error), {8, 7}
    drill.run()
    cleanup = drill.events()[-2]
    assert (cleanup["outcome"], cleanup["processes_left"], cleanup["error"]) == ("failed", [7, 8], str(error))
    assert "teardown.error" not in drill.kinds()  # it is no gap in what was observed
    assert drill.kinds()[-1] == "run.ended"
    said = drill.said.lines[-1]
    assert "could not be removed" in said
    assert "processes left: [7, 8]" in said
    assert "drill down env-1" in said


def test_what_is_left_without_an_error_is_a_failed_clean_up(drill: Drilled) -> None:
    drill.remembered.on_down = lambda: (drill.remembered.logs / "kept").touch()
    drill.remembered.down = lambda: None  # type: ignore[method-assign]
    drill.run()
    assert drill.events()[-2]["outcome"] == "failed"


def test_an_environment_that_is_kept_is_said_to_be(tmp_path: Path) -> None:
    drill = Drilled(tmp_path, keep=True)
    drill.run()
    assert drill.remembered.done == WHOLE[:-1]
    assert drill.events()[-2]["outcome"] == "kept"
    assert drill.remembered.directory.exists()


def test_a_progress_that_cannot_be_shown_keeps_nothing_from_being_removed(
    drill: Drilled, monkeypatch: pytest.MonkeyPatch
) -> None:
    def say(_: str) -> Any:
        raise OSError(errno.EIO, "the terminal is gone")

    monkeypatch.setattr(drill.said, "say", say)
    drill.run()
    assert drill.remembered.done[-1] == "down"
    assert "the terminal is gone" in reason(drill, "run.broken")


def test_the_journal_is_free_again_afterwards(drill: Drilled) -> None:
    drill.run()
    Journal(drill.output).close()
