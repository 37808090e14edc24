"""From figures to a verdict, and to an exit code."""

from __future__ import annotations

import json
from typing import Any

import pytest

from harness.measures import ExitCode, evaluate
from harness.measures import result as results
from harness.measures.interval import Interval, exactly
from harness.measures.result import Planted, Proof, Result
from harness.measures.verdict import show
from harness.testing import Story, held
from tests.harness.measures.runs import (
    TARGETS,
    drop,
    everything,
    forget,
    forget_rows,
    of,
    outage,
    reign,
    round_trip,
)


def target(result: Result, name: str) -> Any:
    return next(t for t in result.targets if name in t.name)


# -- targets ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("bound", "verdict"), [(4.9, "FAIL"), (5.0, "INCONCLUSIVE"), (7.0, "INCONCLUSIVE"), (7.02, "PASS")])
def test_a_target_is_met_or_missed_only_by_all_that_the_figure_may_be(bound: float, verdict: str) -> None:
    result = outage(targets={"rto": bound}).result()
    assert (of(result, "failover: RTO"), result.verdict) == (verdict, verdict)
    assert result.exit_code == {"FAIL": 1, "INCONCLUSIVE": 3, "PASS": 0}[verdict]
    judged = target(result, "RTO")
    assert (judged.low, judged.high) == (pytest.approx(5.0), pytest.approx(7.01))


def test_a_missed_target_says_what_was_asked_and_what_was_seen() -> None:
    result = outage(targets={"rto": 4.0}).result()
    assert result.reasons == ["failover: RTO of the fleet: 7 s (at least 5 s), asked: at most 4 s"]
    assert target(result, "RTO").asked == "at most 4 s"


def test_every_transition_is_held_against_every_target() -> None:
    result = round_trip().result()
    assert [t.name for t in result.targets] == [
        "failover: RTO of the fleet", "failback: RTO of the fleet",
        "failover: RPO of metadata", "failback: RPO of metadata", "failover: RPO of task-logs",
        "failback: RPO of task-logs", "failover: RPO of images", "failback: RPO of images",
        "split-brain writes", "tasks lost or stuck"]
    assert {t.verdict for t in result.targets} == {"PASS"}


@pytest.mark.parametrize("key", ["rto", "rpo", "split-brain-writes", "tasks-lost", "writes-lost"])
def test_only_what_is_named_is_a_target(key: str) -> None:
    named = (TARGETS | {"writes-lost": 0})[key]
    assert len(outage(targets={key: named}).result().targets) == (3 if key == "rpo" else 1)
    assert outage(targets={key: None} if key != "rpo" else {"rpo": {"metadata": None}}).result().targets == []


def test_a_lost_write_beyond_the_target_fails() -> None:
    story = outage(targets={"rpo": {"metadata": 4.0}})
    forget_rows(story, "settled-1", [95])
    result = story.result()
    assert (result.verdict, target(result, "RPO").verdict) == ("FAIL", "FAIL")
    assert target(result, "RPO").observed == "5 s"


@pytest.mark.parametrize(("at", "verdict"), [(102.0, "PASS"), (104.5, "FAIL")])
def test_what_the_old_writer_acknowledged_after_the_fault_and_lost_is_held_against_the_target_too(
    at: float, verdict: str
) -> None:
    story = outage(targets={"rpo": {"metadata": 4.0}})
    story.ack(at, 1)
    result = story.result()
    assert (target(result, "acknowledged after the fault, and lost").verdict, result.verdict) == (verdict, verdict)


@pytest.mark.parametrize(("lost", "observed"), [
    ([], "nothing lost, known to 1 s"), ([95], "5 s"), (range(90, 100), "at least 10 s")])
def test_a_loss_of_nothing_says_to_what_it_is_known(lost: Any, observed: str) -> None:
    story = outage(targets={"rpo": {"metadata": 60.0}})
    forget_rows(story, "settled-1", lost)
    assert target(story.result(), "RPO").observed == observed


def test_nothing_stranded_is_no_target() -> None:
    assert [t.name for t in outage(targets={"rpo": {"metadata": 4.0}}).result().targets] == ["failover: RPO of metadata"]


def test_targets_that_no_transition_could_show_are_inconclusive() -> None:
    story = Story()
    story.start("a", targets={"rto": 60.0, "rpo": {"metadata": 5.0}})
    reign(story, "west", 90, 140)
    story.settle(140, everything(story, 140))
    result = story.result()
    assert [(t.name, t.asked, t.observed, t.verdict) for t in result.targets] == [
        ("RTO", "at most 60 s", "no transition was measured", "INCONCLUSIVE"),
        ("RPO of metadata", "at most 5 s", "no transition was measured", "INCONCLUSIVE")]
    assert result.exit_code == ExitCode.INCONCLUSIVE


def test_a_figure_that_was_not_measured_is_inconclusive() -> None:
    story = outage(targets={"tasks-lost": 0, "writes-lost": 0, "split-brain-writes": 0})
    story.snapshots.clear()
    result = story.result()
    assert [(t.observed, t.verdict) for t in result.targets] == [
        ("0", "PASS"), ("not measured", "INCONCLUSIVE"), ("not measured", "INCONCLUSIVE")]


def test_without_a_fleet_no_write_was_watched(story: Story) -> None:
    story.event(0, "run.started", targets={"split-brain-writes": 0})
    assert story.result().targets[0].verdict == "INCONCLUSIVE"


@pytest.mark.parametrize(("lost", "bound", "verdict"), [(0, 0, "PASS"), (1, 0, "FAIL"), (1, 1, "PASS"), (2, 1, "FAIL")])
def test_writes_and_tasks_that_may_be_lost_are_counted(lost: int, bound: int, verdict: str) -> None:
    story = outage(targets={"writes-lost": bound, "tasks-lost": bound})
    forget_rows(story, "settled-1", range(99, 99 - lost, -1))
    story.snapshots["settled-1"] += held(tasks={("a", "wide", "run1", f"t{n}", -1): ("failed", 1) for n in range(lost)})
    result = story.result()
    assert (of(result, "metadata writes lost"), of(result, "tasks lost"), result.verdict) == (verdict,) * 3
    assert [(t.asked, t.allowed) for t in result.targets] == [(f"at most {bound}", bool(bound and lost and verdict == "PASS"))] * 2


def test_what_was_recovered_later_was_lost() -> None:
    story = round_trip(targets={"writes-lost": 0})
    forget_rows(story, "settled-1", [99])
    assert target(story.result(), "metadata writes lost").low == 1


def test_a_deployment_whose_writes_nobody_followed_leaves_the_count_open() -> None:
    story = outage("a", "b", targets={"writes-lost": 0})
    story.witness = [told for told in story.witness if told.get("d") != "b"]
    forget(story, "settled-1", lambda fact: fact.get("d") == "b" or str(fact.get("key")).startswith("b/"))
    assert of(story.result(), "metadata writes lost") == "INCONCLUSIVE"
    forget_rows(story, "settled-1", [99])
    assert target(story.result(), "metadata writes lost").observed == "1 or more"
    assert of(story.result(), "metadata writes lost") == "FAIL"


def test_a_site_that_was_not_heard_leaves_the_count_of_lost_writes_open() -> None:
    story = outage(targets={"writes-lost": 0})
    story.silence("west", 30.1, 80)
    result = story.result()
    assert (target(result, "metadata writes lost").high, result.verdict) == (None, "INCONCLUSIVE")


def test_stuck_tasks_and_stuck_dag_runs_count_as_lost() -> None:
    story = outage()
    story.snapshots["settled-1"] += held(tasks={("a", "wide", "run1", "t", -1): ("running", 1)},
                                         runs={("a", "wide", "run1"): "running"})
    assert target(story.result(), "tasks lost").low == 2


# -- what holds without being named ------------------------------------------------------------------------------


def test_everything_that_holds_unnamed_is_in_the_result() -> None:
    expected = ["every Deployment is restored", "every Deployment is up at the end",
                "every Deployment is up while nothing moves", "writes of every Deployment are followed",
                "metadata writes lost without a fault",
                "task-logs writes lost without a fault", "images writes lost without a fault",
                "writes corrupted", "writes misplaced", "writes duplicated", "writes phantom",
                "tasks duplicated (more than one side effect)", "tasks run against their retries",
                "split-brain writes"]
    result = outage(targets={}).result()
    assert [(e.name, e.verdict) for e in result.expectations] == [(name, "PASS") for name in expected]


def test_a_row_that_is_there_twice_fails() -> None:
    story = outage()
    story.snapshots["settled-1"].append(story.snapshots["settled-1"][0])
    assert (of(story.result(), "writes duplicated"), story.result().verdict) == ("FAIL", "FAIL")


@pytest.mark.parametrize(("numbers", "planned", "verdict"), [
    ([95], False, "PASS"), ([110], False, "FAIL"), ([150], True, "FAIL"), ([95], True, "FAIL")])
def test_a_write_is_lost_to_a_fault_or_without_one(numbers: list[int], planned: bool, verdict: str) -> None:
    story = round_trip() if planned else outage()
    forget_rows(story, "settled-2" if planned else "settled-1", numbers)
    result = story.result()
    assert (of(result, "metadata writes lost without a fault"), result.verdict) == (verdict, verdict)


def test_what_vanished_at_no_transition_was_lost_without_a_fault() -> None:
    story = outage()
    story.settle(180, everything(story))
    forget_rows(story, "settled-2", [95])
    assert of(story.result(), "metadata writes lost without a fault") == "FAIL"


def test_stranded_writes_are_accounted_for_by_their_fault() -> None:
    story = outage()
    story.ack(102, 1)
    assert of(story.result(), "metadata writes lost without a fault") == "PASS"


def test_a_target_for_lost_writes_covers_those_without_a_fault() -> None:
    story = outage(targets={"writes-lost": 1})
    forget_rows(story, "settled-1", [110])
    result = story.result()
    assert "metadata writes lost without a fault" not in [e.name for e in result.expectations]
    assert result.verdict == "PASS"


@pytest.mark.parametrize(("dropped", "verdict"), [(0, "FAIL"), (1, "FAIL"), (2, "INCONCLUSIVE")])
def test_a_phantom_may_be_a_row_whose_attempt_was_never_told(dropped: int, verdict: str) -> None:
    story = outage()
    story.snapshots["settled-1"] += held({("a", "west/w", 1), ("a", "west/w", 2)})
    if dropped:
        story.witness.append({"e": "dropped", "r": "west", "t": 99.0, "n": dropped, "cl": "c", "q": 1})
    assert (of(story.result(), "writes phantom"), story.result().verdict) == (verdict, verdict)


def test_without_anything_heard_nobody_knows_what_is_a_phantom() -> None:
    story = outage()
    story.witness.clear()
    assert of(story.result(), "writes phantom") == "INCONCLUSIVE"


def test_without_a_look_nothing_is_expected_of_writes_and_tasks() -> None:
    story = outage(targets={})
    story.snapshots.clear()
    result = story.result()
    assert [e.name for e in result.expectations] == ["every Deployment is restored", "split-brain writes"]
    assert result.exit_code == ExitCode.INCONCLUSIVE


def test_a_deployment_that_is_down_at_the_end_fails() -> None:
    story = outage("a", "b")
    story.settle(240, everything(story))
    story.probes(142, 242, "a")
    for at in range(142, 242, 2):
        story.probe(at, "b", ok=False)
    result = story.result()
    judged = next(e for e in result.expectations if e.name == "every Deployment is up at the end")
    assert (judged.observed, judged.verdict, result.verdict) == ("down: b", "FAIL", "FAIL")
    assert [d.up_at_end for d in result.deployments] == [True, False]
    assert [(d.verdict, d.reasons) for d in result.deployments] == [("PASS", []), ("FAIL", ["down at the end"])]


def test_a_deployment_that_nobody_watched_at_the_end_is_inconclusive() -> None:
    story = outage()
    story.settle(240, everything(story))
    result = story.result()
    judged = next(e for e in result.expectations if e.name == "every Deployment is up at the end")
    assert (judged.observed, judged.verdict, result.verdict) == ("nobody watched: a", "INCONCLUSIVE", "INCONCLUSIVE")


def test_long_lists_of_deployments_are_shortened() -> None:
    story = outage(*"abcdefg")
    drop(story, "probe")
    for at in range(101, 142, 2):
        for name in "abcdefg":
            story.probe(at, name, ok=False)
    judged = next(e for e in story.result().expectations if e.name == "every Deployment is restored")
    assert judged.observed == "never restored: a, b, c, d, e and 2 more"


@pytest.mark.parametrize(("kind", "fields", "name"), [
    ("failure", {"reason": "the failover was refused: 409"}, "phase"),
    ("settle.timeout", {"seconds": 60.0, "missing": "a is down"}, "settle"),
    ("check", {"name": "up", "ok": False}, "check up"),
])
def test_a_phase_that_was_not_as_expected_fails_the_drill(kind: str, fields: dict[str, Any], name: str) -> None:
    story = outage()
    story.event(150, kind, **fields)
    result = story.result()
    assert (of(result, name), result.verdict, result.exit_code) == ("FAIL", "FAIL", ExitCode.FAIL)


def test_a_timeout_says_what_was_waited_for() -> None:
    story = outage()
    story.event(150, "settle.timeout", seconds=60.0, missing="a is down")
    story.event(151, "settle.timeout", seconds=90.0)
    assert [e.observed for e in story.result().expectations if e.name == "settle"] == ["timed out: a is down", "timed out"]


def test_a_check_that_holds_is_no_expectation_of_its_own() -> None:
    story = outage()
    story.event(150, "check", name="up", ok=True)
    assert story.result().reasons == []


# -- the whole -------------------------------------------------------------------------------------------------------


def test_a_drill_that_asks_for_nothing_proves_nothing() -> None:
    story = Story()
    story.start("a")
    reign(story, "west", 90, 140)
    story.settle(140, everything(story))
    result = story.result()
    assert (result.verdict, result.reasons) == (
        "INCONCLUSIVE", ["nothing was asked of this drill: no target was judged, and no claim"])


def test_fail_beats_inconclusive() -> None:
    story = outage()
    story.event(150, "gap", reason="unseen")
    assert story.result().verdict == "INCONCLUSIVE"
    story.event(151, "failure", reason="refused")
    result = story.result()
    assert (result.verdict, result.exit_code) == ("FAIL", ExitCode.FAIL)
    assert result.reasons == ["phase: refused, asked: as the drill expects", "unseen"]


def test_a_claim_that_is_not_proven_keeps_a_drill_from_passing() -> None:
    result = outage(proves=["XR-18"]).result()
    assert (result.verdict, result.claims[0].verdict) == ("INCONCLUSIVE", "INCONCLUSIVE")
    assert result.reasons == ["XR-18 is not proven: no check of this drill covers the claim"]


@pytest.mark.parametrize(("cleanup", "code"), [("done", 0), ("kept", 0), ("failed", 5)])
def test_the_clean_up_has_a_verdict_of_its_own(cleanup: str, code: int) -> None:
    story = outage()
    story.end(150, cleanup)
    result = story.result()
    assert (result.verdict, result.cleanup, result.exit_code) == ("PASS", cleanup, code)


def test_a_failed_clean_up_does_not_hide_a_failure() -> None:
    story = outage(targets={"rto": 1.0})
    story.end(150, "failed")
    assert (story.result().verdict, story.result().exit_code) == ("FAIL", ExitCode.FAIL)


def test_an_environment_that_was_removed_later_is_cleaned_up() -> None:
    story = outage()
    story.end(150, "failed")
    story.end(160, "done")
    assert (story.result().cleanup, story.result().exit_code) == ("done", ExitCode.PASS)


def test_a_run_without_a_clean_up_has_none() -> None:
    story = outage()
    story.event(150, "run.ended")
    assert (story.result().cleanup, story.result().exit_code) == ("not done", ExitCode.NOT_CLEANED_UP)


def test_an_aborted_run_says_so_whatever_it_measured() -> None:
    story = outage()
    story.event(150, "run.aborted", reason="received SIGINT")
    result = story.result()
    assert (result.verdict, result.exit_code, result.aborted) == ("INCONCLUSIVE", ExitCode.ABORTED, True)
    assert result.reasons == ["received SIGINT"]
    story.event(151, "failure", reason="refused")
    assert (story.result().verdict, story.result().exit_code) == ("FAIL", ExitCode.ABORTED)


def test_a_run_that_broke_is_nobodys_fault_but_the_harnesss() -> None:
    story = outage()
    story.event(150, "run.broken", reason="the environment died")
    result = story.result()
    assert (result.verdict, result.exit_code, result.broken) == ("INCONCLUSIVE", ExitCode.BROKEN, True)
    assert result.reasons == ["the environment died"]


def test_a_whole_run_is_neither_aborted_nor_broken() -> None:
    result = outage().result()
    assert (result.aborted, result.broken, result.cleanup) == (False, False, "done")


def test_an_empty_record_is_no_pass() -> None:
    result = Story().result()
    assert (result.verdict, result.exit_code) == ("INCONCLUSIVE", ExitCode.BROKEN)


# -- the proof of the measures ------------------------------------------------------------------------------------------


def test_a_measure_that_misses_what_was_planted_makes_the_run_inconclusive_and_is_named() -> None:
    planted = [Planted(violation="lost", measure="conservation", found=True),
               Planted(violation="stuck", measure="tasks", found=False)]
    result = evaluate(outage().evidence(), lambda _: Proof(planted=planted))
    assert (result.verdict, result.gaps) == (
        "INCONCLUSIVE", ["the measure tasks does not see a planted violation: stuck"])
    assert result.proof is not None
    assert result.proof.planted == planted


# -- each Deployment ------------------------------------------------------------------------------------------------------


def test_each_deployment_has_a_result_of_its_own() -> None:
    story = outage("a", "b", "c", "d")
    forget_rows(story, "settled-1", [99], "b")
    story.snapshots["settled-1"] += held({("c", "nobody/w", 1)}, tasks={("c", "wide", "run1", "t", -1): ("failed", 1)})
    story.ack(120, 1, deployment="c")
    story.witness = [told for told in story.witness if told.get("d") != "d"]
    forget(story, "settled-1", lambda fact: fact.get("d") == "d" and fact["f"] == "row")
    a, b, c, d = story.result().deployments
    assert (a.verdict, a.reasons, a.split_brain_writes) == ("PASS", [], exactly(0))
    assert (b.verdict, b.losses[0]["metadata"].lost, b.fates["metadata"].lost) == ("PASS", 1, 1)
    assert (c.verdict, c.tasks_lost, c.split_brain_writes) == ("FAIL", 1, exactly(1))
    assert c.reasons == ["1 split-brain writes", "1 tasks lost or stuck", "1 metadata writes phantom"]
    assert (d.verdict, d.reasons) == ("INCONCLUSIVE", ["none of its writes was followed"])
    assert [(e.number, e.site, e.inferred) for e in a.epochs] == [(0, "west", False), (2, "east", False)]
    assert (a.epochs[0].began, a.epochs[1].began, a.epochs[1].error_s) == (None, pytest.approx(104.9), pytest.approx(0.01))
    assert a.recoveries[0].restored


@pytest.mark.parametrize(("targets", "reasons"), [
    ({}, ["2 tasks duplicated", "2 tasks run against their retries"]),
    ({"tasks-lost": 2, "writes-lost": 2, "split-brain-writes": 2, "tasks-duplicated": 2, "tasks-against-retries": 2}, []),
    ({"tasks-lost": 1, "writes-lost": 1, "split-brain-writes": 7, "tasks-duplicated": 1, "tasks-against-retries": 1},
     ["8 split-brain writes", "2 metadata writes lost", "2 tasks lost or stuck", "2 tasks duplicated",
      "2 tasks run against their retries"]),
])
def test_a_deployment_fails_where_it_alone_is_beyond_what_the_fleet_may_have(
    targets: dict[str, Any], reasons: list[str]
) -> None:
    story = outage("a", "b", targets=targets)
    forget_rows(story, "settled-1", [98, 99], "a")
    for name in ("t1", "t2"):
        for at, number in ((120, 1), (121, 2)):
            story.life("start", at, name, number=number, region="east" if targets.get("split-brain-writes") == 2 else "west")
            story.life("effect", at, name, number=number, region="east" if targets.get("split-brain-writes") == 2 else "west")
    story.snapshots["settled-1"] += held(tasks={("a", "wide", "run1", f"t{n}", -1): ("success", 2, 0) for n in (1, 2)}
                                         | {("a", "wide", "run1", f"f{n}", -1): ("failed", 1, 0) for n in (1, 2)})
    a, b = story.result().deployments
    assert (a.reasons, a.verdict) == (reasons, "FAIL" if reasons else "PASS")
    assert (b.reasons, b.verdict) == ([], "PASS")


def test_a_deployment_that_was_never_restored_says_in_which_transition() -> None:
    story = round_trip()
    story.events = [e for e in story.events if e.kind != "probe" or e["sent"] < 200]
    for at in range(202, 244, 2):
        story.probe(at, "a", ok=False)
    assert story.result().deployments[0].reasons == ["never restored in failback", "down at the end"]


def test_a_deployment_that_nobody_watched_is_inconclusive() -> None:
    story = outage()
    story.events = [e for e in story.events if e.kind != "probe" or e["sent"] < 100]
    found = story.result().deployments[0]
    assert (found.verdict, found.reasons, found.up_at_end) == ("INCONCLUSIVE", ["it was not watched all the time"], None)


def test_a_deployment_that_does_not_move_has_no_recovery() -> None:
    story = Story()
    story.start("a", "b", targets=TARGETS)
    reign(story, "west", 90, 140)
    story.request(101, "west", "east", deployments=["a"])
    story.settle(140, [])
    assert [(len(d.recoveries), len(d.losses)) for d in story.result().deployments] == [(1, 1), (0, 0)]


# -- as text -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("figure", "text"), [
    (Interval.at_least(10), "at least 10 s"), (exactly(0), "0 s"), (Interval(low=0, high=1.3), "at most 1.3 s"),
    (Interval(low=5.1, high=7.2), "7.2 s (at least 5.1 s)"), (Interval(low=7.17, high=7.2), "7.2 s"),
    (exactly(300), "5 min"),
])
def test_figures_are_shown_as_people_read_them(figure: Interval, text: str) -> None:
    assert show(figure) == text


def test_a_result_is_valid_against_its_published_schema() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.validate(json.loads(results.as_json(round_trip(proves=["XR-05"]).result())), json.loads(results.json_schema()))


def test_a_result_can_be_read_back() -> None:
    result = outage().result()
    text = results.as_json(result)
    assert text.endswith("}\n")
    assert json.loads(text)["schema"] == results.SCHEMA
    assert json.loads(text)["exit_code"] == 0
    assert json.loads(text)["transitions"][0]["rto"]["censored"] is False


def test_where_no_task_was_ever_heard_of_none_can_be_said_to_be_kept() -> None:
    story = outage(targets={"tasks-lost": 0})
    forget(story, "settled-1", lambda fact: fact["f"] == "ti")
    story.witness = [told for told in story.witness if told["e"] not in ("start", "effect")]
    assert of(story.result(), "tasks lost") == "INCONCLUSIVE"
