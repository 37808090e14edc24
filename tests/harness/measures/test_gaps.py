"""Whatever could make a figure better by being absent keeps a drill from passing."""

from __future__ import annotations

from typing import Any

import pytest

from harness.measures import ExitCode, evaluate
from harness.measures.gaps import gaps
from harness.record.evidence import load
from harness.testing import Story
from tests.harness.measures.runs import change, drop, outage, past


def found(story: Story) -> list[str]:
    return gaps(past(story))


def test_a_whole_run_has_no_gap() -> None:
    assert found(outage()) == []


@pytest.mark.parametrize(("kind", "fields", "gap"), [
    ("gap", {"reason": "the sampler died"}, "the sampler died"),
    ("teardown.error", {"what": "collecting", "error": "no space"}, "teardown: collecting: no space"),
    ("load.started", {"asked": 10}, "the load never reached the asked number of running tasks"),
    ("fault.intent", {"fault": "x"}, None),
    ("undo.intent", {"undo": {"mend": "x"}}, "something was to be taken back and nobody wrote down what came of it"),
])
def test_what_the_journal_says_was_not_seen_is_a_gap(kind: str, fields: dict[str, Any], gap: str | None) -> None:
    story = outage()
    story.event(141, kind, **fields)
    assert found(story) == ([gap] if gap else [])
    assert (story.result().verdict == "PASS") is (gap is None)


def test_a_load_that_reached_its_size_is_no_gap() -> None:
    story = outage()
    story.event(80, "load.started", asked=10)
    story.event(85, "load.reached", running=10)
    assert found(story) == []


@pytest.mark.parametrize(("intents", "gap"), [(0, False), (1, False), (2, True)])
def test_a_fault_whose_outcome_nobody_wrote_down_is_a_gap(intents: int, gap: bool) -> None:
    story = outage()
    for _ in range(intents):
        story.event(99, "fault.intent", fault="region-outage")
    assert found(story) == (["a fault was begun and nobody wrote down what came of it"] if gap else [])


@pytest.mark.parametrize(("event", "fields", "gap"), [
    ("ack", {"r": None}, "do not say of what, or of whom, they are"), ("ack", {"r": ""}, "do not say of what"),
    ("start", {"r": None}, "do not say of what"), ("effect", {"r": ""}, "do not say of what"),
    ("effect", {"d": None}, "do not say of what"), ("start", {"task": None}, "do not say of what"),
    ("try", {"r": None}, None), ("beat", {"d": None}, None),
    ("ack", {"c": None}, "do not say what was written"), ("start", {"c": None}, None),
    ("ack", {"t": -0.3}, "are of a time before or after the run"), ("ack", {"t": 1e9}, "are of a time before or after"),
    ("effect", {"t": float("nan")}, "are of a time before or after"), ("ack", {"t": float("inf")}, "are of a time"),
    ("ack", {"t": -0.2}, None)])
def test_a_record_that_no_measure_can_place_is_a_gap(event: str, fields: dict[str, Any], gap: str | None) -> None:
    story = outage()
    evidence = story.evidence()
    record = {"e": event, "s": "ledger", "d": "a", "r": "west", "wr": "west/w", "n": 7, "t": 95.0, "c": 1,
              "dag": "wide", "run": "run1", "task": "t"} | fields
    evidence.tables.rows(f"insert into witness ({', '.join(record)}) values ({', '.join('$' + name for name in record)})",
                         **record)
    found = [reason for reason in evaluate(evidence).gaps if "records of" in reason or "acknowledgements" in reason]
    assert len(found) == (gap is not None)
    assert all(gap is not None and gap in reason for reason in found)


def test_a_record_without_an_end_is_a_gap_and_a_broken_run() -> None:
    story = outage()
    story.event(150, "cleanup", outcome="done")
    story._ended = True  # the story's own end is left out
    result = story.result()
    assert result.gaps == ["the record does not end: the harness was stopped before its last word, or that was cut off"]
    assert (result.verdict, result.exit_code) == ("INCONCLUSIVE", ExitCode.BROKEN)


@pytest.mark.parametrize(("kind", "gap"), [
    ("transition.completed", "failover to east: nobody saw that the orchestrator had finished"),
    ("settled", "failover to east: the fleet was not looked at after it")])
def test_a_transition_whose_end_was_not_seen_is_a_gap(kind: str, gap: str) -> None:
    story = outage()
    drop(story, kind)
    assert gap in found(story)


def test_a_look_that_was_not_kept_is_a_gap() -> None:
    story = outage()
    story.snapshots["other"] = story.snapshots.pop("settled-1")
    assert found(story) == ["failover to east: the databases were not looked at after it had settled",
                            "nobody wrote down when the look other was taken"]


def test_databases_that_were_never_looked_at_are_a_gap() -> None:
    story = outage()
    story.snapshots.clear()
    assert "the databases were never looked at" in found(story)


def test_a_deployment_that_was_never_probed_is_a_gap() -> None:
    story = outage("a", "b")
    story.events = [e for e in story.events if e.kind != "probe" or e["d"] != "b"]
    assert found(story) == ["Deployment b was never probed"]


def test_a_silence_is_a_gap() -> None:
    story = outage()
    story.silence("east", 30.1, 80)
    assert found(story) == ["east was not heard by the witness for 50 s; what it got accepted in that time is not known"]


def test_a_wall_clock_that_was_set_is_a_gap() -> None:
    story = outage()
    story.set_clock(150, 5)
    story.event(160, "check", name="x", ok=True)
    assert len(found(story)) == 1
    assert "the wall clock was set by +5.0 s" in found(story)[0]


# -- what was promised -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("promised", [True, False])
def test_evidence_that_was_promised_and_never_stored_is_a_gap(tmp_path: Any, promised: bool) -> None:
    story = outage(observed=["usage", "witness"] if promised else ["witness"])
    story.unstored = {"usage"}
    result = evaluate(load(story.save(tmp_path)))
    assert result.gaps == (["no evidence of usage was stored"] if promised else [])


def test_evidence_that_was_promised_and_is_empty_is_a_gap() -> None:
    assert found(outage(observed=["usage", "witness", "links"])) == ["the evidence of usage is empty"]


def test_a_network_without_a_record_is_a_gap_in_a_run_with_a_transition() -> None:
    story = outage()
    story.links.clear()
    assert found(story) == ["the network left no record of who called whom"]
    change(story, "run.started", observed=["links"])
    assert found(story) == ["the evidence of links is empty"]
    story = Story()
    story.start("a")
    story.probe(5, "a")
    story.settle(10, [])
    assert found(story) == []


@pytest.mark.parametrize("stopped", ["run.aborted", "run.broken", None])
def test_a_fleet_that_never_came_up_was_not_to_be_observed(story: Story, stopped: str | None) -> None:
    story.event(0, "run.started", observed=["witness"], beat_interval_s=2.0)
    if stopped:
        story.event(5, stopped, reason="why")
    assert found(story) == ([] if stopped else ["nobody wrote down that the fleet came up"])


# -- phases --------------------------------------------------------------------------------------------------------


def phased(*phases: str, ended: int | None = None) -> Story:
    story = outage(phases=list(phases))
    for index, phase in enumerate(phases):
        story.event(141 + index, "phase.started", index=index, phase=phase)
        if ended is None or index < ended:
            story.event(141 + index, "phase.ended", index=index, phase=phase, seconds=1.0)
    return story


def test_phases_that_came_to_their_end_are_no_gap() -> None:
    assert found(phased("load", "failover", "settle")) == []


def test_a_phase_without_an_end_or_a_trace_is_a_gap() -> None:
    assert found(phased("load", "failover", ended=1)) == ["phase 2 (failover) has no end in the record"]
    story = phased("load", "failover", ended=1)
    story.events = [e for e in story.events if e.get("index") != 1]
    assert found(story) == ["phase 2 (failover) left no trace in the record"]


def test_a_settling_or_a_request_that_left_no_record_is_a_gap() -> None:
    assert found(phased("settle", "failover", "settle")) == ["of 2 settle phases 1 are in the record"]
    assert found(phased("failover", "failback", "settle")) == ["a failover or failback of the drill is not in the record"]


def test_a_request_that_was_to_be_refused_and_was_is_one() -> None:
    story = phased("failover", "failback", "settle")
    story.event(150, "check", name="refusal", ok=True)
    assert found(story) == []


def test_an_environment_of_which_nobody_wrote_down_what_became_is_a_gap() -> None:
    story = phased("failover", "settle")
    story.event(150, "run.ended")
    assert found(story) == ["nobody wrote down what became of the environment"]


@pytest.mark.parametrize(("kind", "gap"), [("failure", 0), ("gap", 1), ("run.aborted", 0), ("run.broken", 0)])
def test_after_a_failure_or_an_abort_no_further_phase_is_expected(kind: str, gap: int) -> None:
    story = phased("failover", "settle", "failback", ended=1)
    story.event(150, kind, reason="it failed")
    assert len(found(story)) == gap
    assert story.result().verdict != "PASS"


# -- what does not fit together ----------------------------------------------------------------------------------------


def test_a_reign_that_nobody_asked_for_is_a_gap() -> None:
    story = outage("a", "b")
    story.epoch(170, "west", 3)
    assert found(story) == ["west became the writer of 2 Deployments at 170.0, and no transition asked for it"]


def test_a_system_that_moves_between_the_fault_and_the_request_is_measured() -> None:
    story = outage(told=False)
    story.epoch(100.5, "east", 2)
    assert found(story) == []
    assert story.result().verdict == "PASS"


def test_a_look_into_a_site_at_which_nothing_was_to_run_is_a_gap() -> None:
    story = outage()
    story.look(99, story.snapshots["settled-1"], site="east")
    assert found(story) == ["the look before-2 was taken at east, where no Deployment was to run"]


def test_a_record_that_goes_on_after_its_end_is_a_gap_unless_it_is_the_clean_up() -> None:
    story = outage()
    story.end(150)
    story.event(160, "cleanup", outcome="done")
    assert found(story) == []
    story.event(170, "check", name="x", ok=True)
    assert found(story) == ["the record goes on after its end: check"]


def test_a_fleet_without_a_deployment_is_a_gap() -> None:
    story = Story()
    story.start()
    assert "the fleet has no Deployment: there was nothing to drill" in found(story)
