"""What a run shows of each claim: proven, contradicted, or neither."""

from __future__ import annotations

from typing import Any

import pytest

from harness.drill.claims import CLAIMS
from harness.measures.proofs import OBSERVED, PARTLY, PROOFS, WORD
from harness.measures.result import Claim
from harness.testing import STEPS, Story, fact, held
from tests.harness.measures.runs import (
    alter,
    change,
    everything,
    forget,
    forget_rows,
    outage,
    past,
    reign,
    round_trip,
)

LOOKS = {"XR-01": "one-cluster", "XR-02": "identity", "XR-04": "headless", "XR-07": "standby-empty", "XR-11": "variants",
         "XR-14": "reverse-replication", "XR-15": "flag", "XR-16": "observed", "XR-17": "unhealthy", "XR-21": "manual-work"}
ORCHESTRATORS = {"XR-01", "XR-15", "XR-16", "XR-17", "XR-21"}


def claim(story: Story, name: str) -> Claim:
    change(story, "run.started", proves=[name])
    return story.result().claims[0]


def shown(story: Story, name: str) -> tuple[str, str]:
    found = claim(story, name)
    return str(found.verdict), found.source


def looked(story: Story, name: str, ok: bool = True, detail: str = "seen") -> Story:
    story.event(139, "check", name=name, ok=ok, detail=detail)
    return story


# -- looks -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "look"), LOOKS.items())
@pytest.mark.parametrize(("ok", "verdict"), [(True, "PASS"), (False, "FAIL"), (None, "INCONCLUSIVE")])
def test_a_claim_is_as_good_as_the_look_at_it(name: str, look: str, ok: bool | None, verdict: str) -> None:
    story = outage()
    if ok is not None:
        looked(story, look, ok)
    found = claim(story, name)
    assert found.verdict == verdict
    assert found.text == str(CLAIMS[name])
    if name not in ("XR-16", "XR-17"):
        assert found.source == (WORD if name in ORCHESTRATORS else OBSERVED)
    if ok is None:
        assert f"nobody looked ({look})" in found.evidence


def test_one_look_that_went_wrong_is_enough() -> None:
    story = looked(looked(looked(outage(), "identity"), "identity", False, "another hostname"), "identity")
    found = claim(story, "XR-02")
    assert (found.verdict, found.evidence) == ("FAIL", "another hostname")


@pytest.mark.parametrize(("at", "verdict"), [(50, "INCONCLUSIVE"), (100.9, "INCONCLUSIVE"), (139, "PASS")])
@pytest.mark.parametrize("name", ["XR-02", "XR-14", "XR-20"])
def test_what_a_transition_could_have_changed_is_looked_at_after_it(name: str, at: float, verdict: str) -> None:
    story = outage()
    story.snapshots = {"before-0": everything(story, 94), **story.snapshots}
    story.event(94, "looked", snapshot="before-0", site="west", began=94, ended=94.5)
    story.event(at, "check", name=LOOKS.get(name, "carried-over"), ok=True, detail="seen")
    assert claim(story, name).verdict == verdict


def test_a_claim_that_nothing_covers_is_inconclusive() -> None:
    assert shown(outage(), "XR-18") == ("INCONCLUSIVE", OBSERVED)
    assert shown(outage(), "nonsense") == ("INCONCLUSIVE", OBSERVED)


def test_every_proof_is_of_a_claim_that_is_known() -> None:
    assert set(PROOFS) <= set(CLAIMS)


@pytest.mark.parametrize("name", sorted(PROOFS))
def test_a_run_in_which_nothing_happened_proves_nothing(name: str) -> None:
    story = Story()
    story.start("a")
    assert claim(story, name).verdict == "INCONCLUSIVE"


# -- both regions ---------------------------------------------------------------------------------------------------


def agents(story: Story, *callers: str, at: float = 50.0, event: str = "connect") -> Story:
    story.links += [{"t": at, "event": event, "caller": caller, "site": "global", "service": "orchestrator"}
                    for caller in callers]
    return story


@pytest.mark.parametrize(("story", "source"), [
    (lambda: agents(outage(), "primary", "secondary"), PARTLY), (lambda: agents(outage(), "primary"), WORD),
    (lambda: agents(outage(), "primary", "secondary", at=102), WORD),  # after it was asked to move
    (lambda: agents(outage(), "primary", "secondary", event="refused"), WORD), (outage, WORD)])
def test_that_both_regions_report_is_seen_in_the_network_or_only_said(story: Any, source: str) -> None:
    found = claim(looked(story(), "observed"), "XR-16")
    assert (found.verdict, found.source) == ("PASS", source)


@pytest.mark.parametrize(("broken", "source"), [(True, PARTLY), (False, WORD)])
def test_health_is_shown_against_what_the_drill_itself_broke(broken: bool, source: str) -> None:
    story = looked(outage(), "unhealthy")
    if not broken:
        story.events = [event for event in story.events if event.kind != "fault.outcome"]
    found = claim(story, "XR-17")
    assert (found.verdict, found.source) == ("PASS", source)
    assert ("the drill itself saw in force: region-outage" in found.evidence) is broken


# -- fencing, one region ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "kind"), [("XR-05", "row"), ("XR-08", "effect"), ("XR-08", "start")])
def test_a_write_of_the_old_site_contradicts_the_claim(name: str, kind: str) -> None:
    story = outage()
    assert claim(story, name).verdict == "PASS"
    if kind == "row":
        story.ack(120, 1)
    else:
        story.life(kind, 120, "t1")
    assert claim(story, name).verdict == "FAIL"


@pytest.mark.parametrize(("name", "kind"), [("XR-05", "effect"), ("XR-08", "row")])
def test_a_write_of_another_kind_does_not(name: str, kind: str) -> None:
    story = outage()
    if kind == "row":
        story.ack(120, 1)
    else:
        story.life(kind, 120, "t1")
    assert claim(story, name).verdict == "PASS"


@pytest.mark.parametrize(("fleet", "written", "verdict"), [
    (("a",), False, "INCONCLUSIVE"), (("a",), True, "FAIL"), (("a", "b"), False, "INCONCLUSIVE")])
def test_without_a_new_epoch_of_every_deployment_fencing_is_not_proven(
    fleet: tuple[str, ...], written: bool, verdict: str
) -> None:
    story = outage(*fleet, told=False)
    story.witness = [told for told in story.witness if told["r"] != "east" or told.get("d") == "b"]
    if written:
        story.ack(90, 1, region="east")
    assert claim(story, "XR-05").verdict == verdict


def test_a_site_that_was_not_heard_proves_no_fencing() -> None:
    story = outage()
    change(story, "fault.outcome", fault="partition", undo={"mend": "partition"})
    story.silence("west", 100, 400)
    found = claim(story, "XR-05")
    assert (found.verdict, found.evidence.split(" database")[0]) == ("INCONCLUSIVE", "0 or more (not all was heard)")


@pytest.mark.parametrize(("ok", "verdict"), [(True, "PASS"), (False, "FAIL")])
def test_airflow_that_is_found_in_the_other_region_breaks_the_claim_though_nothing_was_heard_of_it(
    ok: bool, verdict: str
) -> None:
    assert claim(looked(outage(), "one-region", ok), "XR-08").verdict == verdict


def test_a_standby_that_was_changed_by_hand_must_have_been_put_right() -> None:
    story = looked(outage(), "standby-empty")
    story.fault(50, fault="manual-drift", disrupts=False)
    assert claim(story, "XR-07").verdict == "INCONCLUSIVE"  # nobody saw that it was
    assert claim(looked(story, "drift-repaired"), "XR-07").verdict == "PASS"
    assert claim(looked(story, "standby-empty", False), "XR-07").verdict == "FAIL"


# -- the bound of the loss -----------------------------------------------------------------------------------------------


def guarded(last: float = 119.0, bound: float | None = 20.0) -> Story:
    """The old writer goes on for a while after the fault, until its commits wait; the new one comes at 140."""
    story = Story()
    story.start("a", rpo_bound_s=bound)
    reign(story, "west", 90, 100)
    story.fault(100, fault="partition")
    story.ack(101, 101)
    story.ack(last, 119)
    story.request(130, "west", "east")
    story.epoch(139, "east", 2)
    story.complete(140)
    story.settle(180, everything(story, 100))
    return looked(story, "commits-wait")


@pytest.mark.parametrize(("last", "verdict"), [(119.0, "PASS"), (120.9, "PASS"), (121.0, "INCONCLUSIVE"), (122.1, "FAIL")])
def test_a_bounded_loss_counts_what_the_old_writer_acknowledged_after_the_fault(last: float, verdict: str) -> None:
    assert claim(guarded(last), "XR-03").verdict == verdict


def test_a_bound_is_only_proven_where_commits_were_seen_to_wait_and_a_loss_was_measured() -> None:
    story = guarded()
    story.events = [event for event in story.events if event.kind != "check"]
    assert claim(story, "XR-03").verdict == "INCONCLUSIVE"
    assert claim(looked(story, "commits-wait", False), "XR-03").verdict == "FAIL"
    assert claim(guarded(bound=None), "XR-03").verdict == "INCONCLUSIVE"
    story = guarded()
    story.witness = [told for told in story.witness if told["t"] > 100]
    assert claim(story, "XR-03").verdict == "INCONCLUSIVE"


# -- objects ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["log", "image"])
def test_an_object_that_is_not_there_in_time_contradicts_replication(kind: str) -> None:
    story = outage(since=-900)
    assert claim(story, "XR-06").verdict == "PASS"
    forget(story, "settled-1", lambda item: item["f"] == kind and item["key"].endswith("-850"))
    assert claim(story, "XR-06").verdict == "FAIL"
    assert "949 of 950" not in claim(story, "XR-06").evidence
    assert "999 of 1000 " + ("task-logs" if kind == "log" else "images") in claim(story, "XR-06").evidence


def test_an_object_that_is_late_within_the_bound_is_no_contradiction() -> None:
    story = outage()
    forget(story, "settled-1", lambda item: item.get("key") == "a/99")
    found = claim(story, "XR-06")
    assert (found.verdict, found.evidence) == ("PASS", "west to east: 9 of 10 task-logs there; west to east: 10 of 10 images there")


@pytest.mark.parametrize(("seconds", "verdicts"), [(200, ("PASS", "INCONCLUSIVE")), (950, ("FAIL", "FAIL"))])
def test_what_an_isolated_site_acknowledged_after_the_fault_and_lost_counts_against_the_bounds(
    seconds: int, verdicts: tuple[str, str]
) -> None:
    story = outage(since=-990)
    change(story, "fault.outcome", in_force=100.0 - seconds)
    forget(story, "settled-1", lambda item: item.get("key") == "a/99")
    assert tuple(claim(story, name).verdict for name in ("XR-06", "XR-19")) == verdicts
    assert "1 of after the fault not" in claim(story, "XR-06").evidence


@pytest.mark.parametrize("kind", ["log", "image"])
def test_an_object_with_another_content_contradicts_replication(kind: str) -> None:
    story = outage()
    alter(story, "settled-1", kind, c=5)
    assert claim(story, "XR-06").verdict == "FAIL"


def test_a_row_with_another_content_says_nothing_of_objects() -> None:
    story = outage()
    alter(story, "settled-1", "row", c=5)
    assert claim(story, "XR-06").verdict == "PASS"


@pytest.mark.parametrize(("ok", "verdict"), [(True, "PASS"), (False, "FAIL"), (None, "INCONCLUSIVE")])
def test_an_image_that_was_pushed_while_the_region_was_away_must_be_carried(ok: bool | None, verdict: str) -> None:
    story = outage()
    story.event(120, "heal.image", key="k")
    if ok is not None:
        looked(story, "image-carried", ok)
    assert claim(story, "XR-06").verdict == verdict


# -- whom it called -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "role", "service", "action"), [
    ("XR-09", "global", "iam", "CreateRole"), ("XR-10", "primary", "rds", "DescribeDBClusters")])
def test_a_call_that_must_not_be_contradicts_the_claim(name: str, role: str, service: str, action: str) -> None:
    story = outage()
    story.access["global"] = [{"t": 1.0, "caller": "x", "service": "iam", "action": "GetRole"}]
    assert claim(story, name).verdict == "PASS"
    story.access.setdefault(role, []).append(
        {"t": 103.0, "caller": "127.5.130.1", "who": "orchestrator", "service": service, "action": action})
    found = claim(story, name)
    assert found.verdict == "FAIL"
    assert action in found.evidence


def test_one_transition_without_a_record_leaves_it_open_and_one_with_a_call_decides() -> None:
    story = round_trip()
    story.links = [told for told in story.links if told["t"] < 200]
    assert claim(story, "XR-10").verdict == "INCONCLUSIVE"
    story.links.append({"t": 103, "event": "connect", "caller": "orchestrator", "site": "primary", "service": "aws"})
    assert claim(story, "XR-10").verdict == "FAIL"


def test_without_a_log_of_the_global_services_no_iam_write_is_not_proven() -> None:
    assert claim(outage(), "XR-09").verdict == "INCONCLUSIVE"


# -- the sequence ------------------------------------------------------------------------------------------------------


ACTS = {
    "compute": (101.5, "secondary", "rds", "CreateDBInstance"),
    "promotion": (104.0, "secondary", "rds", "FailoverGlobalCluster"),
    "inflation": (105.2, "secondary", "kubernetes", "PATCH /apis/apps/v1/namespaces/a/deployments/scheduler"),
    "names": (105.8, "global", "route53", "POST /2013-04-01/hostedzone/Z/rrset"),
}


def logged(without: str = "", **at: float) -> Story:
    """A failover whose every act is in the servers' logs; the epoch begins at 104.9."""
    story = outage()
    for name, (moment, role, service, action) in ACTS.items():
        if name != without:
            story.access.setdefault(role, []).append({"t": at.get(name, moment), "caller": "127.5.130.1",
                                                      "who": "orchestrator", "service": service, "action": action})
    return story


def test_acts_in_their_order_in_the_servers_logs_prove_the_sequence() -> None:
    found = claim(logged(), "XR-12")
    assert (found.verdict, found.source) == ("PASS", OBSERVED)
    assert found.evidence == ("in the servers' logs, in order: compute at +0.7 s, promotion asked at +3.2 s, "
                              "new epoch at +4.1 s, Airflow applied at +4.4 s, DNS changed at +5.0 s")


@pytest.mark.parametrize("at", [
    {"compute": 104.5}, {"promotion": 105.0}, {"inflation": 104.5}, {"inflation": 103.0}, {"names": 105.1},
    {"names": 102.0}, {"compute": 105.9}])
def test_acts_in_another_order_contradict_it(at: dict[str, float]) -> None:
    found = claim(logged(**at), "XR-12")
    assert (found.verdict, found.source) == ("FAIL", OBSERVED)
    assert found.evidence.startswith("out of order in the servers' logs (failover): ")


@pytest.mark.parametrize("at", [{"promotion": 104.905}, {"inflation": 104.895}])
def test_an_act_within_the_error_of_the_epoch_is_in_order(at: dict[str, float]) -> None:
    assert shown(logged(**at), "XR-12") == ("PASS", OBSERVED)


@pytest.mark.parametrize(("without", "source"), [
    ("compute", OBSERVED), ("names", OBSERVED),  # what was there already is not asked for again
    ("promotion", WORD), ("inflation", WORD)])
def test_an_act_that_is_in_no_log_is_only_said(without: str, source: str) -> None:
    assert shown(logged(without), "XR-12") == ("PASS", source)


@pytest.mark.parametrize("change_of", ["another's", "a look", "a scaling", "too late", "the other site's"])
def test_what_is_no_act_of_this_transition_is_not_taken_for_one(change_of: str) -> None:
    story = logged("inflation")
    line: dict[str, Any] = {"t": 105.2, "caller": "127.5.130.1", "who": "orchestrator", "service": "kubernetes",
                            "action": "PATCH /apis/apps/v1/namespaces/a/deployments/scheduler"}
    role = "primary" if change_of == "the other site's" else "secondary"
    line |= {"another's": {"who": "workload", "caller": "127.5.20.1"}, "a look": {"action": "GET /x/deployments/scheduler"},
             "a scaling": {"action": line["action"] + "/scale"}, "too late": {"t": 110.0}}.get(change_of, {})
    story.access.setdefault(role, []).append(line)
    assert shown(story, "XR-12") == ("PASS", WORD)


@pytest.mark.parametrize(("without", "role", "service", "action"), [
    ("promotion", "primary", "rds", "FailoverGlobalCluster"), ("promotion", "secondary", "rds", "DescribeDBInstances"),
    ("inflation", "secondary", "kubernetes", "PATCH /api/v1/namespaces/a/configmaps/airflow-settings"),
    ("inflation", "secondary", "kubernetes", "PATCH /apis/apps/v1/namespaces/a/deployments/scheduler/scale"),
    ("inflation", "secondary", "s3", "PATCH /x/deployments/scheduler")])
def test_an_act_is_what_it_is_only_at_the_new_site_and_by_its_own_name(
    without: str, role: str, service: str, action: str
) -> None:
    story = logged(without)
    moment = ACTS[without][0]
    story.access.setdefault(role, []).append({"t": moment, "caller": "127.5.130.1", "who": "orchestrator",
                                              "service": service, "action": action})
    assert shown(story, "XR-12") == ("PASS", WORD)


def test_an_inferred_epoch_is_no_part_of_a_server_log() -> None:
    story = logged()
    story.events = [event for event in story.events if event.kind != "epoch"]
    assert shown(story, "XR-12") == ("PASS", WORD)


def test_deployments_whose_epochs_begin_one_by_one_are_inflated_one_by_one() -> None:
    story = logged(promotion=102.0)
    story.epoch(104.0, "east", 2, "a")
    story.events = [event for event in story.events if event.kind != "epoch" or event.data["deployment"]]
    change(story, "fleet.up", deployments=[{"name": "a"}, {"name": "b"}])
    story.epoch(105.5, "east", 2, "b")
    assert shown(story, "XR-12") == ("PASS", OBSERVED)


@pytest.mark.parametrize("steps", [STEPS[::-1], STEPS[:3], (), (*STEPS, "inflate")])
def test_steps_in_another_order_by_its_own_word_contradict_it(steps: tuple[str, ...]) -> None:
    story = outage()
    change(story, "transition.completed", steps=[{"name": name, "seconds": 0.1, "at": 101.0} for name in steps])
    assert shown(story, "XR-12") == ("FAIL", WORD)


def test_other_steps_between_them_are_its_own_business() -> None:
    story = outage()
    steps = ("quiesce", STEPS[0], "fence-old-writer", *STEPS[1:])
    change(story, "transition.completed", steps=[{"name": name, "seconds": 0.1, "at": 101.0} for name in steps])
    assert shown(story, "XR-12") == ("PASS", WORD)


def test_a_transition_whose_end_nobody_saw_proves_no_sequence() -> None:
    story = outage()
    story.events = [event for event in story.events if event.kind != "transition.completed"]
    assert claim(story, "XR-12").verdict == "INCONCLUSIVE"


@pytest.mark.parametrize(("armed", "died", "verdict"), [
    (["inflate:in"], ["inflate:in"], "PASS"), (["inflate:in"], [], "INCONCLUSIVE"), ([], [], "INCONCLUSIVE"),
    (["inflate:in", "move-dns:in"], ["inflate:in"], "INCONCLUSIVE"), ([], ["inflate:in"], "PASS")])
def test_an_orchestrator_that_was_to_die_must_have_died_at_every_point(
    armed: list[str], died: list[str], verdict: str
) -> None:
    story = outage()
    story.event(50, "fault.outcome", fault="orchestrator-crash", in_force=50.0, parameters={"at": armed})
    story.event(107, "orchestrator.crashes", points=died)
    found = claim(story, "XR-12")
    assert found.verdict == verdict
    if verdict == "PASS":
        assert "it died 1 times on the way" in found.evidence


# -- failback ----------------------------------------------------------------------------------------------------------


def back(at: float, action: str, **more: Any) -> Story:
    story = round_trip()
    story.access["primary"] = [{"t": at, "caller": "127.5.130.1", "who": "orchestrator", "service": "rds",
                                "action": action} | more]
    return story


@pytest.mark.parametrize(("at", "verdict"), [(200.7, "PASS"), (200.8, "FAIL"), (206.0, "FAIL"), (206.1, "PASS"), (104.0, "PASS")])
def test_a_failover_of_the_database_during_a_failback_contradicts_it(at: float, verdict: str) -> None:
    assert claim(back(at, "FailoverGlobalCluster"), "XR-13").verdict == verdict


@pytest.mark.parametrize(("at", "action", "how"), [
    (203, "SwitchoverGlobalCluster", "by the servers' logs"), (104, "SwitchoverGlobalCluster", "by the orchestrator's own word"),
    (203, "DescribeGlobalClusters", "by the orchestrator's own word")])
def test_a_switchover_is_seen_in_the_servers_logs_or_only_said(at: float, action: str, how: str) -> None:
    found = claim(back(at, action), "XR-13")
    assert (found.verdict, found.evidence) == (
        "PASS", f"0 of 94 acknowledged writes lost in failback; switched over, {how}")
    assert found.source == (OBSERVED if how == "by the servers' logs" else PARTLY)


@pytest.mark.parametrize("what", ["lost", "recovered", "corrupted", "misplaced", "stranded"])
def test_any_write_that_a_failback_lost_contradicts_it(what: str) -> None:
    story = round_trip()
    if what == "lost":
        forget_rows(story, "settled-2", [199])
    elif what == "recovered":
        story.settle(280, everything(story))
        forget_rows(story, "settled-2", [199])
    elif what == "corrupted":
        story.snapshots["settled-2"] = [f | ({"c": 5} if f.get("n") == 199 else {}) for f in story.snapshots["settled-2"]]
    elif what == "misplaced":
        story.snapshots["settled-2"] = [f | ({"d": "b", "o": "a"} if f.get("n") == 199 and f["f"] == "row" else {})
                                        for f in story.snapshots["settled-2"]]
    else:
        story.ack(202, 1, region="east")
    found = claim(story, "XR-13")
    assert (found.verdict, found.evidence) == ("FAIL", "1 acknowledged writes lost in failback")


def test_what_the_failover_lost_was_not_lost_in_the_failback() -> None:
    story = round_trip()
    for look in ("settled-1", "settled-2"):
        forget_rows(story, look, [99])
    assert claim(story, "XR-13").verdict == "PASS"


def test_a_failback_through_which_no_write_was_followed_proves_nothing() -> None:
    story = round_trip()
    story.witness = [told for told in story.witness if told["r"] == "west"]
    story.snapshots = {name: everything(story, until) for name, until in (("settled-1", 140), ("settled-2", 240))}
    assert claim(story, "XR-13").verdict == "INCONCLUSIVE"
    story = round_trip()
    story.events = [e for e in story.events if e.kind != "settled" or e.data["snapshot"] == "settled-1"]
    assert claim(story, "XR-13").verdict == "INCONCLUSIVE"


def test_without_a_failback_nothing_is_proven_of_it() -> None:
    assert claim(outage(), "XR-13").evidence == "no failback"


# -- the size ----------------------------------------------------------------------------------------------------------


def sized(deployments: int, tasks: int) -> Story:
    story = Story()
    names = [f"team-{number:02}" for number in range(deployments)]
    story.start(*names)
    for name in names:
        story.ack(99, 99, deployment=name)
        story.log(99, f"{name}/99", deployment=name)
    story.image(99, "i")
    story.event(99.5, "load.at-fault", running=tasks)
    story.fault(100)
    story.request(101, "west", "east")
    story.epoch(104.9, "east", 2)
    story.complete(106)
    story.probes(102, 122, *names)
    story.settle(120, everything(story))
    return story


@pytest.mark.parametrize(("deployments", "tasks", "verdict"), [
    (80, 1250, "PASS"), (79, 1250, "INCONCLUSIVE"), (80, 1249, "INCONCLUSIVE")])
def test_the_claim_about_eighty_deployments_is_shown_with_eighty(deployments: int, tasks: int, verdict: str) -> None:
    assert claim(sized(deployments, tasks), "XR-19").verdict == verdict


@pytest.mark.parametrize(("stream", "age", "verdict"), [
    ("metadata", 299.0, "INCONCLUSIVE"), ("metadata", 301.0, "FAIL"), ("log", 301.0, "INCONCLUSIVE"), ("log", 901.0, "FAIL"),
    ("image", 901.0, "FAIL")])
def test_its_bounds_hold_for_runs_of_any_size(stream: str, age: float, verdict: str) -> None:
    story = outage(since=-900)
    kind, number = ("row", "n") if stream == "metadata" else (stream, "key")
    at = int(100 - age)
    wanted = {"row": at, "log": f"a/{at}", "image": f"image-{at}"}[kind]
    forget(story, "settled-1", lambda item: item["f"] == kind and item[number] == wanted)
    found = claim(story, "XR-19")
    assert found.verdict == verdict  # never proven: it is too small


def test_its_bound_for_recovery_is_an_hour() -> None:
    assert CLAIMS["XR-19"].bounds == {"rto": 3600, "metadata": 300, "task-logs": 900, "images": 900, "deployments": 80,
                                      "concurrent-tasks": 1250}
    assert CLAIMS["XR-06"].bounds == {"task-logs": 900, "images": 900}
    story = outage()
    story.events = [e for e in story.events if e.kind != "probe" and e.kind != "settled"]
    for at in range(101, 3711, 2):
        story.probe(at, "a", ok=False)
    story.event(3711, "settled", snapshot="settled-1", since=3711.0)
    assert claim(story, "XR-19").verdict == "FAIL"


def test_a_recovery_that_was_not_watched_is_not_within_its_bound() -> None:
    story = sized(80, 1250)
    story.events = [e for e in story.events if e.kind != "probe" or e["d"] != "team-07"]
    found = claim(story, "XR-19")
    assert (found.verdict, "failover rto not measured" in found.evidence) == ("INCONCLUSIVE", True)


# -- what is carried over ------------------------------------------------------------------------------------------------


def carried(before: Any = (), after: Any = (), planned: bool = False) -> Story:
    story = looked(Story(), "carried-over")
    story.start("a")
    reign(story, "west", 90, 100)
    story.look(99.9, [*everything(story), *before])
    if not planned:
        story.fault(100)
    story.request(101, "west", "east")
    story.epoch(104.9, "east", 2)
    story.complete(106)
    reign(story, "east", 105, 140)
    story.settle(140, [*everything(story), *after])
    return story


def test_everything_that_is_carried_over_is_proven_by_its_fingerprint_and_its_api() -> None:
    pool = fact("pool", "a", "p", 1)
    assert shown(carried([pool], [pool]), "XR-20") == ("PASS", OBSERVED)
    assert claim(carried([pool], [pool]), "XR-20").evidence == "seen; 2 items compared"
    assert claim(carried([pool], []), "XR-20").verdict == "FAIL"
    assert claim(carried([pool], [pool, fact("pool", "a", "q", 1)]), "XR-20").verdict == "PASS"  # added


@pytest.mark.parametrize(("ok", "verdict"), [(False, "FAIL"), (None, "INCONCLUSIVE")])
def test_what_cannot_be_read_through_its_api_is_not_carried_over(ok: bool | None, verdict: str) -> None:
    pool = fact("pool", "a", "p", 1)
    story = carried([pool], [pool])
    story.events = [event for event in story.events if event.kind != "check"]
    if ok is not None:
        looked(story, "carried-over", ok)
    assert claim(story, "XR-20").verdict == verdict


def test_without_a_fingerprint_nothing_is_proven_to_be_carried_over() -> None:
    assert claim(looked(outage(), "carried-over"), "XR-20").verdict == "INCONCLUSIVE"


@pytest.mark.parametrize("planned", [False, True])
def test_a_dag_run_that_is_gone_though_no_write_was_lost_is_not_carried_over(planned: bool) -> None:
    run = held(runs={("a", "wide", "run1"): "success"})
    found = claim(carried(run, [], planned), "XR-20")
    assert found.verdict == "FAIL"
    assert "1 Dag runs, task instances and XComs" in found.evidence


@pytest.mark.parametrize(("lost", "verdict"), [(range(99, 100), "FAIL"), (range(95, 100), "PASS")])
def test_a_loss_excuses_only_what_was_written_in_its_time(lost: range, verdict: str) -> None:
    story = outage()
    story.snapshots = {"before-0": everything(story, 94) + held(runs={("a", "wide", "run9"): "success"}), **story.snapshots}
    story.event(94, "looked", snapshot="before-0", site="west", began=94, ended=94.5)
    forget_rows(story, "settled-1", lost)
    assert claim(looked(story, "carried-over"), "XR-20").verdict == verdict


@pytest.mark.parametrize("what", ["corrupted", "misplaced"])
def test_a_write_that_is_not_as_it_was_is_not_carried_over(what: str) -> None:
    story = carried()
    alter(story, "settled-2", "row", **({"c": 5} if what == "corrupted" else {"d": "b", "o": "a"}))
    found = claim(story, "XR-20")
    assert (found.verdict, "1 writes with another content" in found.evidence) == ("FAIL", True)


# -- retries ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("state", "verdict"), [("success", "PASS"), ("failed", "PASS"), ("running", "FAIL")])
def test_tasks_in_the_window_may_fail_and_must_end(state: str, verdict: str) -> None:
    story = outage()
    story.life("start", 95, "t1")
    story.snapshots["settled-1"] += held(tasks={("a", "wide", "run1", "t1", -1): (state, 1)})
    found = claim(story, "XR-22")
    assert found.verdict == verdict
    assert found.evidence.startswith("of 1 tasks met, 1 of them in flight: ")


def test_where_no_task_was_in_flight_nothing_is_proven_of_tasks() -> None:
    assert claim(outage(), "XR-22").verdict == "INCONCLUSIVE"


def test_a_history_of_a_claims_story_is_whole() -> None:
    assert [move.kind for move in past(round_trip()).moves] == ["failover", "failback"]
