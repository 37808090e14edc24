"""What a run had measured when its harness was killed is not lost with its environment."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.common.teardown import Failed
from harness.engine import salvage
from harness.engine.salvage import KILLED, Salvage
from harness.environments.base import EnvironmentFailed
from harness.environments.embedded.state import EnvironmentState
from harness.record import journal
from harness.record.collecting import EvidenceLost
from harness.record.events import Gap, RunEnded, RunStarted
from harness.record.journal import Journal


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """An environment that serves the run in ``run``, and whose harness is gone."""
    made = tmp_path / "envs" / "e1"
    made.mkdir(parents=True)
    EnvironmentState("e1", run=tmp_path / "run").save(made)
    book = Journal(tmp_path / "run")
    book.append(RunStarted(environment="e1"))
    book.close()
    return made


@pytest.fixture
def collected(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many records a collection found in the journal, each time that one was made."""
    found: list[int] = []
    monkeypatch.setattr(salvage.EmbeddedPair, "found", lambda directory: directory)
    monkeypatch.setattr(salvage, "collect", lambda pair, output, book, before: found.append(len(before)))
    return found


def kinds(run: Path) -> list[str]:
    return [event.kind for event in journal.read(run)]


def test_its_record_is_ended_with_what_became_of_it(directory: Path, tmp_path: Path, collected: list[int]) -> None:
    saved = Salvage(directory)
    saved.collect()
    saved.end([], [])
    assert collected == [1]
    broken, cleanup, ended = journal.read(tmp_path / "run")[1:]
    assert (broken["reason"], cleanup["outcome"], cleanup["by"], ended.kind) == (
        KILLED, "done", "drill down", "run.ended")


def test_what_could_not_be_kept_or_removed_is_in_it(directory: Path, tmp_path: Path, collected: list[int]) -> None:
    saved = Salvage(directory)
    saved.collect()
    saved.end([Failed("", EvidenceLost("links: no space"))], [Failed("", EnvironmentFailed("7 did not die"))])
    broken, cleanup, _ = journal.read(tmp_path / "run")[1:]
    assert broken["reason"] == f"{KILLED}; links: no space"
    assert (cleanup["outcome"], cleanup["error"]) == ("failed", "7 did not die")


def test_a_record_that_was_ended_is_left_as_it_is(directory: Path, tmp_path: Path, collected: list[int]) -> None:
    book = Journal(tmp_path / "run")
    book.append(RunEnded())
    book.close()
    before = book.path.read_bytes()
    saved = Salvage(directory)
    saved.collect()
    saved.end([], [])
    saved.report()
    assert (collected, book.path.read_bytes()) == ([], before)


def test_a_record_that_a_living_harness_writes_is_left_to_it(
    directory: Path, tmp_path: Path, collected: list[int]
) -> None:
    book = Journal(tmp_path / "run")
    saved = Salvage(directory)
    saved.collect()
    saved.end([], [])
    book.append(Gap(reason="x"))
    book.close()
    assert kinds(tmp_path / "run") == ["run.started", "gap"]


def test_a_run_in_another_environment_is_not_touched(directory: Path, tmp_path: Path, collected: list[int]) -> None:
    (directory / "environment.json").rename(tmp_path / "environment.json")
    other = directory.with_name("e2")
    other.mkdir()
    (tmp_path / "environment.json").rename(other / "environment.json")
    saved = Salvage(other)
    saved.collect()
    saved.end([], [])
    assert kinds(tmp_path / "run") == ["run.started"]


@pytest.mark.parametrize("state", [None, "", "{}", "[1]", '{"run": 7}', '{"run": "/nowhere"}', '{"run": "\\u0000"}'])
def test_an_environment_that_does_not_say_whom_it_serves_has_nothing_to_be_saved(
    tmp_path: Path, state: str | None
) -> None:
    if state is not None:
        (tmp_path / "environment.json").write_text(state)
    saved = Salvage(tmp_path)
    saved.collect()
    saved.end([], [])
    saved.report()


def test_a_record_is_ended_even_when_the_environment_cannot_be_read_any_more(directory: Path, tmp_path: Path) -> None:
    saved = Salvage(directory)
    with pytest.raises(EnvironmentFailed, match="no readable environment"):
        saved.collect()
    saved.end([], [])
    assert kinds(tmp_path / "run")[-1] == "run.ended"


def test_lines_of_a_look_that_was_cut_off_do_not_stay(directory: Path, tmp_path: Path, collected: list[int]) -> None:
    lines = tmp_path / "run" / "evidence" / "before-1.jsonl"
    lines.parent.mkdir()
    lines.touch()
    Salvage(directory).collect()
    assert not lines.exists()


def test_the_report_is_made_of_it(directory: Path, tmp_path: Path, collected: list[int]) -> None:
    saved = Salvage(directory)
    saved.collect()
    saved.end([], [])
    saved.report()
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert (report["broken"], report["verdict"], report["cleanup"]) == (True, "INCONCLUSIVE", "done")
