"""A measure that does not come to its end is named, and nothing else is said."""

from __future__ import annotations

from typing import Any

import pytest

from harness.measures import (
    ExitCode,
    audit,
    conservation,
    evaluate,
    exposure,
    fingerprint,
    gaps,
    history,
    proofs,
    resources,
    rpo,
    rto,
    series,
    split_brain,
    tasks,
    throughput,
    verdict,
)
from harness.measures.figures import MeasureFailed, measured
from tests.harness.measures.runs import outage

MEASURES = {
    "history": (history, "of"), "conservation": (conservation, "account"), "split_brain": (split_brain, "find"),
    "tasks": (tasks, "follow"), "rto": (rto, "recoveries"), "rpo": (rpo, "losses"), "audit": (audit, "audit"),
    "fingerprint": (fingerprint, "differences"), "gaps": (gaps, "gaps"), "resources": (resources, "resources"),
    "proofs": (proofs, "prove"), "verdict": (verdict, "judge"), "exposure": (exposure, "exposure"),
    "throughput": (throughput, "throughput"), "series": (series, "ledger"),
}
LATER = {
    "rto": (rto, "up_at_end"), "conservation": (conservation, "fates"), "split_brain": (split_brain, "by_deployment"),
    "tasks": (tasks, "of_moves"), "series": (series, "running"), "result": (fingerprint, "as_result"),
}


def fail(*_: Any, **__: Any) -> Any:
    raise ZeroDivisionError("a bug")


@pytest.mark.parametrize(("name", "where"), [*MEASURES.items(), *LATER.items()])
def test_a_measure_that_crashes_is_named_and_the_exit_code_is_4(
    name: str, where: tuple[Any, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(*where, fail)
    result = outage("a", "b").result()
    assert (result.verdict, result.exit_code, result.broken) == ("INCONCLUSIVE", ExitCode.BROKEN, True)
    assert result.reasons == [f"the measure {name} failed: ZeroDivisionError: a bug"]
    assert (result.transitions, result.deployments, result.targets, result.split_brain.total.high) == ([], [], [], None)
    assert (result.run.id, result.run.deployments, result.cleanup) == ("r1", 2, "done")


def test_a_crash_of_a_measure_hides_no_abort(monkeypatch: pytest.MonkeyPatch) -> None:
    story = outage()
    story.event(150, "run.aborted", reason="received SIGINT")
    monkeypatch.setattr(rto, "recoveries", fail)
    result = story.result()
    assert (result.exit_code, result.aborted, result.verdict) == (ExitCode.ABORTED, True, "INCONCLUSIVE")


def test_an_event_that_lacks_what_a_measure_needs_is_a_failure_of_that_measure() -> None:
    story = outage()
    next(e for e in story.events if e.kind == "transition.completed").data["steps"] = [{"no": "name"}]
    result = evaluate(story.evidence())
    assert (result.exit_code, result.reasons[0].split(":")[0]) == (ExitCode.BROKEN, "the measure result failed")


def test_a_failure_keeps_the_name_of_the_measure_that_failed_first() -> None:
    with pytest.raises(MeasureFailed) as outer:
        measured("outer", lambda: measured("inner", fail))
    assert outer.value.measure == "inner"
    assert measured("fine", lambda: 7) == 7
