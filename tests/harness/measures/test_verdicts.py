"""Evidence that a checker once took for better than it is: each must get the verdict that it deserves.

The base is a run in which nothing is wrong, and which passes (the first tests); each other test makes one trouble.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.measures import ExitCode, Result, evaluate
from harness.record.evidence import load
from harness.testing import Story, fact, held
from tests.harness.measures.runs import (
    TARGETS,
    alter,
    change,
    drop,
    everything,
    forget,
    forget_rows,
    of,
    outage,
    reign,
    round_trip,
    transition,
)

BOTH = ("a", "b")
TASK = ("a", "wide", "run1", "t1", -1)


def named(**more: Any) -> dict[str, Any]:
    """The usual targets and some more."""
    return TARGETS | {name.replace("_", "-"): bound for name, bound in more.items()}


def looked(story: Story, **tasks: Any) -> None:
    """The last look also shows task instances of the usual run, by name: (state, try number[, retries])."""
    last = list(story.snapshots)[-1]
    story.snapshots[last] += held(tasks={("a", "wide", "run1", name, -1): how for name, how in tasks.items()})


# -- the control: without trouble they pass -------------------------------------------------------


@pytest.mark.parametrize("fleet", [("a",), ("a", "b", "c")])
@pytest.mark.parametrize("told", [True, False])
def test_a_failover_without_trouble_passes(fleet: tuple[str, ...], told: bool) -> None:
    result = outage(*fleet, targets=named(writes_lost=0), told=told).result()
    assert (result.verdict, result.exit_code, result.reasons) == ("PASS", ExitCode.PASS, [])


def test_a_failover_and_a_failback_without_trouble_pass() -> None:
    result = round_trip(targets=named(writes_lost=0), proves=["XR-05", "XR-06", "XR-13"]).result()
    assert (result.verdict, result.exit_code, result.reasons) == ("PASS", ExitCode.PASS, [])


def test_a_run_without_trouble_passes_when_it_is_read_from_disk(tmp_path: Path) -> None:
    evidence = load(outage().save(tmp_path))
    assert evaluate(evidence).exit_code == ExitCode.PASS


# -- what is lost -----------------------------------------------------------------------------------


def test_when_every_write_is_lost_and_the_run_is_younger_than_the_bound_nobody_can_say() -> None:
    story = outage()
    forget_rows(story, "settled-1", range(90, 100))
    result = story.result()
    window = result.transitions[0].rpo["metadata"].rpo
    assert window is not None
    assert (window.low, window.high) == (pytest.approx(10, abs=0.02), None)
    target = next(t for t in result.targets if "RPO of metadata" in t.name)
    assert (target.observed, target.verdict) == ("at least 10 s", "INCONCLUSIVE")
    assert (result.verdict, result.exit_code) == ("INCONCLUSIVE", ExitCode.INCONCLUSIVE)


def test_when_every_write_is_lost_and_none_may_be_it_fails() -> None:
    story = outage(targets=named(writes_lost=0))
    forget_rows(story, "settled-1", range(90, 100))
    assert (story.result().verdict, of(story.result(), "metadata writes lost")) == ("FAIL", "FAIL")


def test_when_every_task_log_is_lost_that_they_replicate_is_not_proven() -> None:
    story = outage(proves=["XR-06"])
    forget(story, "settled-1", lambda fact: fact["f"] == "log" and fact["key"] in {f"a/{at}" for at in range(90, 100)})
    result = story.result()
    assert (result.verdict, result.claims[0].verdict) == ("INCONCLUSIVE", "INCONCLUSIVE")


def test_without_an_acknowledgement_before_the_fault_nothing_is_known() -> None:
    story = outage(since=100, proves=["XR-06", "XR-13"])
    result = story.result()
    assert result.transitions[0].rpo["metadata"].rpo is None
    assert (result.verdict, [c.verdict for c in result.claims]) == ("INCONCLUSIVE", ["INCONCLUSIVE"] * 2)
    assert of(result, "failover: RPO of metadata") == of(result, "failover: RPO of images") == "INCONCLUSIVE"


def test_nothing_lost_is_known_no_better_than_the_last_acknowledgement_is_old() -> None:
    story = outage()
    story.witness = [told for told in story.witness if not 94 < told["t"] < 100]
    forget_rows(story, "settled-1", range(95, 100))
    result = story.result()
    window = result.transitions[0].rpo["metadata"].rpo
    assert window is not None
    assert (window.low, window.high) == (0, pytest.approx(6.04))
    assert next(t for t in result.targets if "RPO of metadata" in t.name).observed == "nothing lost, known to 6 s"


def test_what_the_new_writer_acknowledged_and_no_look_shows_is_lost() -> None:
    story = outage(targets=named(writes_lost=0))
    forget_rows(story, "settled-1", range(105, 134))
    result = story.result()
    assert (result.fates["metadata"].lost, result.verdict) == (29, "FAIL")


def test_what_the_new_writer_acknowledged_and_lost_fails_though_no_target_counts_writes() -> None:
    story = outage()
    forget_rows(story, "settled-1", range(105, 134))
    assert (story.result().verdict, of(story.result(), "metadata writes lost without")) == ("FAIL", "FAIL")


def test_what_the_first_reign_wrote_and_the_failback_lost_is_lost_in_the_failback() -> None:
    story = round_trip(proves=["XR-13"])
    forget_rows(story, "settled-2", range(90, 100))
    result = story.result()
    assert (result.verdict, result.claims[0].verdict) == ("FAIL", "FAIL")
    assert result.claims[0].evidence == "10 acknowledged writes lost in failback"
    lost = [transition.rpo["metadata"].lost for transition in result.transitions]
    assert lost == [0, 10]


def test_of_three_transitions_the_last_answers_only_for_what_it_lost_itself() -> None:
    story = round_trip()
    reign(story, "west", 241, 900)
    for look in ("settled-1", "settled-2"):
        forget_rows(story, look, [99])
    transition(story, 900, "west", "east")
    forget_rows(story, "settled-3", [99])
    result = story.result()
    first, _, third = (t.rpo["metadata"] for t in result.transitions)
    assert (first.lost, third.lost) == (1, 0)
    assert third.rpo is not None
    assert third.rpo.high is not None
    assert third.rpo.high < 2
    assert result.verdict == "PASS"


def test_a_record_that_was_sent_twice_is_one_lost_write() -> None:
    story = outage()
    forget_rows(story, "settled-1", [99])
    story.witness += [told for told in story.witness if told.get("s") == "ledger" and told["t"] == 99]
    result = story.result()
    assert (result.fates["metadata"].lost, result.transitions[0].rpo["metadata"].lost) == (1, 1)
    assert result.transitions[0].rpo["metadata"].acknowledged == 10


# -- what is there and not as it was ------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "claim"), [("row", "XR-20"), ("xcom", "XR-20"), ("log", "XR-06"), ("image", "XR-06")])
def test_what_is_there_with_another_content_fails(kind: str, claim: str) -> None:
    story = outage(proves=[claim])
    story.event(139, "check", name="carried-over", ok=True)
    story.airflow(95, "xcom", "t1", content=7)
    story.snapshots["settled-1"] = everything(story)
    alter(story, "settled-1", kind, c=999)
    result = story.result()
    assert sum(fates.corrupted for fates in result.fates.values()) == 1
    assert (result.verdict, result.claims[0].verdict, of(result, "writes corrupted")) == ("FAIL", "FAIL", "FAIL")


LOGIN = {"type": "http", "host": "h", "port": 1, "login": "team-00", "password": "p"}


@pytest.mark.parametrize(("kind", "was", "now"), [
    ("variable", "by team-00", "rm -rf /; by team-00"),
    ("connection", LOGIN, LOGIN | {"login": "root"}),
    ("connection", LOGIN, LOGIN | {"type": "ssh"}),
    ("connection", LOGIN, LOGIN | {"port": 2}),
    ("environment", "a long value", "a long"),
    ("pool", {"slots": 4}, None),
])
def test_a_configuration_that_is_not_what_it_was_fails(kind: str, was: Any, now: Any) -> None:
    story = outage(proves=["XR-20"])
    story.event(139, "check", name="carried-over", ok=True)
    settled = story.snapshots.pop("settled-1")
    story.look(99.5, [*everything(story, 99), fact(kind, "a", "k", was)])
    story.snapshots["settled-1"] = [*settled, *([] if now is None else [fact(kind, "a", "k", now)])]
    result = story.result()
    assert (result.verdict, result.claims[0].verdict, of(result, "configuration")) == ("FAIL", "FAIL", "FAIL")
    change = "missing" if now is None else "changed"
    assert [(d.kind, d.item, d.change) for d in result.fingerprint.differences] == [(kind, "k", change)]


def test_a_configuration_that_is_what_it_was_passes() -> None:
    story = outage(proves=["XR-20"])
    story.event(139, "check", name="carried-over", ok=True)
    settled = story.snapshots.pop("settled-1")
    configuration = [fact("connection", "a", "k", LOGIN), fact("pool", "a", "p", 4)]
    story.look(99.5, everything(story, 99) + configuration)
    story.snapshots["settled-1"] = settled + configuration
    assert (story.result().verdict, story.result().fingerprint.items) == ("PASS", 3)


def test_two_deployments_that_have_exchanged_their_databases_are_misplaced() -> None:
    story = outage("a", "b")
    other = {"a": "b", "b": "a"}
    story.snapshots["settled-1"] = [
        fact | ({"d": other[fact["d"]], "o": fact["d"]} if fact["f"] == "row" else {})
        for fact in story.snapshots["settled-1"]]
    result = story.result()
    assert result.fates["metadata"].misplaced == 2 * (10 + 35)
    assert (result.verdict, of(result, "writes misplaced")) == ("FAIL", "FAIL")


def test_rows_that_nobody_ever_attempted_fail() -> None:
    story = outage()
    story.snapshots["settled-1"] += held({("a", "nobody/w", number) for number in range(500)})
    result = story.result()
    assert (result.fates["metadata"].phantom, result.verdict) == (500, "FAIL")


# -- who is not up -------------------------------------------------------------------------------------


def test_a_fleet_that_is_down_at_a_second_look_fails() -> None:
    story = outage()
    story.heal(150)
    for at in range(142, 792, 2):
        story.probe(at, "a", ok=False)
    story.event(792, "settle.timeout", seconds=600.0, missing="a is down")
    story.settle(792, held())
    result = story.result()
    assert (result.verdict, result.exit_code) == ("FAIL", ExitCode.FAIL)
    assert of(result, "settle") == of(result, "every Deployment is up at the end") == "FAIL"


def test_a_drill_without_a_transition_in_which_every_probe_failed_fails() -> None:
    story = Story()
    story.start("a", targets={"rto": 3600.0})
    for at in range(4, 200, 2):
        story.probe(at, "a", ok=False)
    story.event(200, "settle.timeout", seconds=60.0)
    story.ack(10, 1)
    story.settle(200, everything(story))
    assert (story.result().verdict, of(story.result(), "settle"), of(story.result(), "every")) == ("FAIL",) * 3
    assert of(story.result(), "RTO") == "INCONCLUSIVE"


def test_a_fault_that_was_never_answered_leaves_targets_unjudged() -> None:
    story = Story()
    story.start("a", targets=TARGETS)
    reign(story, "west", 90, 100)
    story.fault(100, fault="throttle")
    reign(story, "west", 100, 140)
    story.settle(140, everything(story))
    result = story.result()
    assert (result.verdict, of(result, "RTO"), of(result, "RPO of images")) == ("INCONCLUSIVE",) * 3


def test_one_of_three_deployments_that_never_came_back_fails_though_no_recovery_time_is_asked_for() -> None:
    story = outage("a", "b", "c", targets={"split-brain-writes": 0})
    for event in story.events:
        if event.kind == "probe" and event["d"] == "c" and event["sent"] > 100:
            event.data.update(outcome="failed", canary=None)
    result = story.result()
    assert (result.verdict, result.transitions[0].never_restored) == ("FAIL", ["c"])
    assert [deployment.verdict for deployment in result.deployments] == ["PASS", "PASS", "FAIL"]


@pytest.mark.parametrize("check", ["refusal", "up"])
def test_a_check_that_failed_fails_though_no_claim_names_it(check: str) -> None:
    story = outage()
    story.event(150, "check", name=check, ok=False, detail="refused, and yet it moved")
    assert (story.result().verdict, of(story.result(), f"check {check}")) == ("FAIL", "FAIL")


def test_a_prober_that_stopped_for_good_at_the_fault_says_nothing() -> None:
    story = outage()
    story.events = [event for event in story.events if event.kind != "probe" or event["sent"] < 100]
    result = story.result()
    assert (result.verdict, result.transitions[0].rto, result.transitions[0].never_restored) == ("INCONCLUSIVE", None, [])


def test_slow_answers_do_not_make_a_recovery_miss_its_target() -> None:
    story = outage(targets={"rto": 11.0})
    drop(story, "probe")
    for at in range(92, 140, 2):
        story.probe(at, "a", scheduled=at + 5.0 if at > 100 else None, ms=6000.0)
    rto = story.result().transitions[0].rto
    assert rto is not None
    assert rto.low <= 7 <= (rto.high or 0)
    assert story.result().verdict != "FAIL"


# -- two writers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("told", "verdict"), [(True, "FAIL"), (False, "INCONCLUSIVE")])
def test_a_row_that_the_old_site_got_accepted_just_after_the_promotion_is_a_split_brain_write(
    told: bool, verdict: str
) -> None:
    story = outage(proves=["XR-05"], told=told)
    story.events = [event for event in story.events if event.kind != "epoch"]
    if told:
        story.epoch(104.0, "east", 2)
    story.ack(104.2, 104)
    result = story.result()
    writes = result.split_brain.database_writes
    assert (writes.low, writes.high) == (int(told), 1)
    assert (result.claims[0].verdict, of(result, "split-brain writes"), result.verdict) == (verdict,) * 3


def test_an_image_that_was_pushed_to_the_target_does_not_begin_an_epoch() -> None:
    story = outage(told=False, targets={})
    story.image(101, "early", region="east")
    epoch = story.result().deployments[0].epochs[1]
    assert epoch.began is not None
    assert epoch.began + epoch.error_s == pytest.approx(105)
    assert story.result().transitions[0].t_epoch == pytest.approx(105)


def test_a_task_that_the_old_site_starts_after_the_epoch_is_a_split_brain() -> None:
    story = outage()
    story.life("start", 120, "t1")
    looked(story, t1=("success", 1))
    result = story.result()
    assert (result.split_brain.starts.low, of(result, "split-brain writes"), result.verdict) == (1, "FAIL", "FAIL")


def test_what_the_standby_wrote_before_its_epoch_is_a_split_brain() -> None:
    story = outage()
    story.ack(95, 1, region="east")
    story.snapshots["settled-1"] = everything(story)
    result = story.result()
    assert (result.split_brain.database_writes.low, result.verdict) == (1, "FAIL")


def test_a_site_that_was_cut_off_and_never_heard_again_has_an_unknown_count() -> None:
    story = outage()
    change(story, "fault.outcome", fault="partition", undo={"mend": "partition"})
    story.silence("west", 100, 400)
    result = story.result()
    assert (result.split_brain.database_writes.high, of(result, "split-brain writes")) == (None, "INCONCLUSIVE")
    assert result.verdict == "INCONCLUSIVE"


def test_a_site_that_was_cut_off_and_told_it_later_is_counted() -> None:
    story = outage()
    change(story, "fault.outcome", fault="partition", undo={"mend": "partition"})
    story.ack(120, 1)
    story.witness[-1] |= {"late": True, "w": 300.0}
    story.witness[-2] |= {"late": True, "w": 300.0}
    result = story.result()
    assert (result.split_brain.database_writes.low, result.verdict) == (1, "FAIL")


def test_two_deployments_that_move_at_different_moments_are_no_split_brain() -> None:
    story = Story()
    story.start("a", "b", targets=TARGETS)
    reign(story, "west", 90, 100)
    reign(story, "west", 100, 110, "a")
    reign(story, "west", 100, 300, "b")
    story.request(100, "west", "east")
    story.epoch(110.0, "east", 2, "a")
    story.epoch(300.0, "east", 2, "b")
    reign(story, "east", 111, 340, "a")
    reign(story, "east", 301, 340, "b")
    story.links.append({"t": 102, "event": "connect", "caller": "orchestrator", "site": "secondary", "service": "aws"})
    story.complete(306)
    story.settle(340, everything(story))
    result = story.result()
    assert (result.split_brain.total.high, result.verdict, result.reasons) == (0, "PASS", [])


# -- tasks -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("other", ["west", "east"])
def test_a_task_with_two_side_effects_under_one_try_number_is_duplicated(other: str) -> None:
    story = outage(targets=named(split_brain_writes=9))
    story.life("start", 95, "t1")
    story.life("effect", 99, "t1")
    story.life("effect", 99.5 if other == "west" else 120, "t1", region=other)
    looked(story, t1=("success", 1))
    result = story.result()
    assert result.tasks is not None
    assert (result.tasks.duplicated, of(result, "tasks duplicated"), result.verdict) == (1, "FAIL", "FAIL")


def test_a_task_without_retries_that_is_run_again_is_against_its_retries() -> None:
    story = outage()
    story.life("start", 95, "t1")
    story.life("start", 120, "t1", number=2, region="east")
    looked(story, t1=("success", 2, 0))
    result = story.result()
    assert result.tasks is not None
    assert (result.tasks.against_retries, of(result, "tasks run against"), result.verdict) == (1, "FAIL", "FAIL")


def test_a_task_that_may_be_run_again_passes() -> None:
    story = outage()
    story.life("start", 95, "t1")
    story.life("start", 120, "t1", number=2, region="east")
    looked(story, t1=("success", 2, 1))
    assert story.result().verdict == "PASS"


def test_a_task_that_begins_just_after_the_fault_and_is_stuck_fails() -> None:
    story = outage()
    story.life("start", 100.6, "t1")
    looked(story, t1=("running", 1))
    assert (of(story.result(), "tasks lost or stuck"), story.result().verdict) == ("FAIL", "FAIL")


def test_tasks_that_begin_in_the_new_site_and_fail_are_lost() -> None:
    story = outage()
    for number in range(50):
        story.life("start", 110, f"t{number}", region="east")
    looked(story, **{f"t{number}": ("failed", 1) for number in range(50)})
    result = story.result()
    assert result.tasks is not None
    assert (result.tasks.lost, result.verdict) == (50, "FAIL")


@pytest.mark.parametrize("what", ["task", "run"])
def test_what_stays_scheduled_is_stuck(what: str) -> None:
    story = outage()
    if what == "task":
        looked(story, t1=("scheduled", 0))
    else:
        story.snapshots["settled-1"] += held(runs={("a", "wide", "run1"): "queued"})
    result = story.result()
    assert result.tasks is not None
    assert (result.tasks.stuck, result.verdict) == (1, "FAIL")


@pytest.mark.parametrize(("started", "lost"), [(1000, 0), (2000, 1)])
def test_a_success_that_was_forgotten_and_run_again_under_the_same_try_number_is_lost(started: int, lost: int) -> None:
    story = outage(targets=named(writes_lost=0))
    story.life("effect", 94.9, "t1")
    story.airflow(95, "state", "t1", content=1000)
    story.snapshots["settled-1"] += held(more=[{"f": "ti", "d": "a", "dag": "wide", "run": "run1", "task": "t1", "map": -1,
                                                "state": "success", "try": 1, "retries": 2, "c": started}])
    result = story.result()
    assert (result.fates["metadata"].lost, result.verdict) == (lost, "FAIL" if lost else "PASS")


@pytest.mark.parametrize(("allowed", "verdict"), [(None, "FAIL"), (11, "FAIL"), (12, "PASS")])
def test_tasks_that_a_planned_failback_ran_twice_fail_unless_the_drill_allows_them(
    allowed: int | None, verdict: str
) -> None:
    story = round_trip(targets=named(**({} if allowed is None else {"tasks_duplicated": allowed})))
    for number in range(12):
        story.life("effect", 199, f"t{number}", region="east")
        story.life("effect", 220, f"t{number}", number=2)
    looked(story, **{f"t{number}": ("success", 2) for number in range(12)})
    result = story.result()
    assert (result.verdict, of(result, "tasks duplicated")) == (verdict, verdict)
    assert [judged.name for judged in result.expectations if judged.allowed] == (
        ["tasks duplicated (more than one side effect)"] if verdict == "PASS" else [])


# -- whom the orchestrator called ----------------------------------------------------------------------------------


def call(at: float, role: str, action: str, **more: Any) -> dict[str, Any]:
    return {"t": at, "caller": "127.5.130.1", "who": "orchestrator", "service": "rds", "action": action, "status": "200",
            "role": role} | more


def test_a_failback_that_was_a_failover_in_the_servers_logs_fails() -> None:
    story = round_trip(proves=["XR-13"])
    story.access["primary"] = [call(203, "primary", "FailoverGlobalCluster")]
    assert (story.result().claims[0].verdict, story.result().verdict) == ("FAIL", "FAIL")


def test_a_call_after_the_end_that_the_orchestrator_claims_counts_until_the_harness_saw_it() -> None:
    story = outage(proves=["XR-10"])
    change(story, "transition.completed", at=103.0)
    story.links.append({"t": 105, "event": "connect", "caller": "orchestrator", "site": "primary", "service": "aws"})
    assert (story.result().claims[0].verdict, story.result().verdict) == ("FAIL", "FAIL")


@pytest.mark.parametrize("how", [
    {"caller": "127.5.112.1", "who": "workload"},  # over the link of the other site
    {"caller": "10.9.8.7", "who": None},  # by address
    {"caller": "10.9.8.7"},  # by address, with its own credential
])
def test_a_call_into_the_site_that_is_left_counts_by_whatever_way_it_comes(how: dict[str, Any]) -> None:
    story = outage(proves=["XR-10"])
    story.access["primary"] = [call(103, "primary", "DescribeDBInstances", **how)]
    assert (story.result().claims[0].verdict, story.result().verdict) == ("FAIL", "FAIL")


def test_without_a_record_of_the_network_nobody_knows_whom_it_called() -> None:
    story = outage(proves=["XR-09", "XR-10"])
    story.links.clear()
    result = story.result()
    assert (result.verdict, [c.verdict for c in result.claims]) == ("INCONCLUSIVE", ["INCONCLUSIVE"] * 2)
    assert result.transitions[0].audit is None


# -- the record ----------------------------------------------------------------------------------------------------


def judged(run: Path) -> Result:
    return evaluate(load(run))


OBSERVED = ["witness", "links", "held"]


def test_a_run_that_left_all_that_was_promised_passes(tmp_path: Path) -> None:
    assert judged(outage(observed=OBSERVED).save(tmp_path)).verdict == "PASS"


@pytest.mark.parametrize("left", ["nothing", "an empty file"])
def test_a_witness_whose_file_was_never_stored_or_is_empty_is_a_gap(tmp_path: Path, left: str) -> None:
    story = outage(observed=OBSERVED)
    story.unstored = {"witness"} if left == "nothing" else set()
    if left != "nothing":
        story.witness.clear()
        story.silence("west", 0, 999)
        story.silence("east", 0, 999)
    result = judged(story.save(tmp_path))
    assert (result.verdict, result.exit_code) == ("INCONCLUSIVE", ExitCode.INCONCLUSIVE)
    assert ("no evidence of witness was stored" if left == "nothing" else "the evidence of witness is empty") in result.gaps


def test_a_step_of_the_teardown_that_failed_is_a_gap(tmp_path: Path) -> None:
    story = outage()
    story.event(150, "teardown.error", what="collecting", error="no space")
    result = judged(story.save(tmp_path))
    assert (result.verdict, result.gaps) == ("INCONCLUSIVE", ["teardown: collecting: no space"])


def test_a_wall_clock_that_is_set_back_between_fault_and_recovery_is_a_gap() -> None:
    story = Story()
    story.start("a", targets={"rto": 90.0})
    reign(story, "west", 90, 100)
    story.set_clock(102, -30)
    story.fault(100)
    story.request(101, "west", "east")
    story.epoch(195, "east", 2)
    story.complete(196)
    for at in range(101, 205, 2):
        story.probe(at, "a", ok=False)
    reign(story, "east", 203, 240)
    story.settle(240, everything(story))
    result = story.result()
    assert result.transitions[0].rto is not None
    assert result.transitions[0].rto.high == pytest.approx(75, abs=0.1)  # though it took 105 s
    assert result.verdict == "INCONCLUSIVE"
    assert any("the wall clock was set by -30.0 s" in gap for gap in result.gaps)


def cut(run: Path, records: int) -> Path:
    """Take the last records of a journal away."""
    journal = run / "journal.jsonl"
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:-records]))
    return run


@pytest.mark.parametrize("cleanup", ["done", "failed"])
@pytest.mark.parametrize("records", [1, 2])
def test_a_journal_without_its_last_records_is_no_pass(tmp_path: Path, cleanup: str, records: int) -> None:
    story = outage()
    story.end(150, cleanup)
    result = judged(cut(story.save(tmp_path), records))
    assert (result.verdict, result.exit_code) == ("INCONCLUSIVE", ExitCode.BROKEN)
    assert any("the record does not end" in gap for gap in result.gaps)


def test_a_journal_that_lacks_the_failure_of_a_phase_has_a_phase_without_an_end() -> None:
    story = outage(phases=["load", "failover", "settle"])
    for index, phase in enumerate(("load", "failover")):
        story.event(141 + index, "phase.started", index=index, phase=phase)
    story.event(142, "phase.ended", index=0, phase="load", seconds=1.0)
    result = story.result()
    assert (result.verdict, result.exit_code) == ("INCONCLUSIVE", ExitCode.INCONCLUSIVE)
    assert result.gaps[:2] == ["phase 2 (failover) has no end in the record", "phase 3 (settle) left no trace in the record"]


def test_a_journal_without_the_end_of_its_settle_phase_is_a_gap() -> None:
    story = outage()
    drop(story, "settled")
    result = story.result()
    assert (result.verdict, result.exit_code) == ("INCONCLUSIVE", ExitCode.INCONCLUSIVE)
    assert "failover to east: the fleet was not looked at after it" in result.gaps


def test_a_line_that_was_torn_before_it_was_stored_is_a_gap(tmp_path: Path) -> None:
    story = outage()
    story.torn = {"witness": '{"e": "ack", "s": "led'}
    result = judged(story.save(tmp_path))
    assert (result.verdict, result.gaps) == (
        "INCONCLUSIVE", ["1 lines of witness.parquet could not be read when it was stored"])


# -- claims --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("died", [True, False])
def test_an_orchestrator_that_was_to_die_and_never_did_proves_nothing(died: bool) -> None:
    story = outage(proves=["XR-12"])
    story.event(50, "fault.outcome", fault="orchestrator-crash", in_force=50.0, parameters={"at": ["inflate:in"]})
    if died:
        story.event(107, "orchestrator.crashes", points=["inflate:in"])
    verdict = "PASS" if died else "INCONCLUSIVE"
    assert (story.result().claims[0].verdict, story.result().verdict) == (verdict, verdict)


def test_a_run_of_eight_deployments_says_nothing_about_eighty() -> None:
    story = outage(*(f"team-{number}" for number in range(8)), proves=["XR-19"])
    result = story.result()
    assert (result.claims[0].verdict, result.verdict) == ("INCONCLUSIVE", "INCONCLUSIVE")
    assert "80 Deployments and 1250 tasks, this run had 8 and 0" in result.claims[0].evidence


def test_every_reason_is_part_of_the_result_as_it_is_printed() -> None:
    story = outage()
    forget_rows(story, "settled-1", range(105, 134))
    result = story.result()
    assert json.loads(result.model_dump_json())["reasons"] == result.reasons != []
