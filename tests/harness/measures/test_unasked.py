"""What nobody should have to ask for: each of these once ended PASS, because no target named it."""

from collections.abc import Callable

import pytest

from harness.testing import Facts, Story, fact, held
from tests.harness.measures.runs import change, everything, forget, outage, reign, round_trip, transition


def quiet(until: int = 200) -> Story:
    """A run in which nothing breaks, with the targets of the drill that expects nothing."""
    story = Story()
    story.start("a", targets={"split-brain-writes": 0, "tasks-lost": 0, "writes-lost": 0})
    reign(story, "west", 5, until)
    story.settle(until, everything(story))
    return story


def logs_are_lost() -> Story:
    story = quiet()
    forget(story, "settled-1", lambda fact: fact["f"] == "log")
    return story


def images_of_the_new_site_are_lost() -> Story:
    story = outage()
    keys = {told["key"] for told in story.witness if told.get("s") == "images" and told["r"] == "east"}
    forget(story, next(reversed(story.snapshots)), lambda fact: fact.get("key") in keys)
    return story


def a_planned_move_loses_logs() -> Story:
    story = round_trip(targets={"rto": 3600.0, "writes-lost": 0, "split-brain-writes": 0, "tasks-lost": 0})
    forget(story, next(reversed(story.snapshots)), lambda fact: fact["f"] == "log")
    return story


def a_deployment_is_down_while_nothing_moves() -> Story:
    story = quiet(400)
    for event in story.events:
        if event.kind == "probe" and 100 < event.monotonic < 300:
            event.data.update(outcome="failed", canary=None)
    return story


def the_last_probes_fail() -> Story:
    story = quiet()
    for event in story.events:
        if event.kind == "probe" and event.monotonic > 190:
            event.data.update(outcome="failed", canary=None)
    return story


def a_second_writer_where_no_target_names_it() -> Story:
    story = outage(targets={"rto": 3600.0})
    look = next(reversed(story.snapshots))
    story.ack(130, 9001)
    story.snapshots[look] = [*story.snapshots[look], {"f": "row", "d": "a", "wr": "west/w", "n": 9001}]
    return story



def a_scheduler_is_dead_while_nothing_moves() -> Story:
    story = quiet(400)
    for event in story.events:
        if event.kind == "probe" and 100 < event.monotonic < 300:
            event.data["canary"] = {"run": "c99", "scheduled": 98.0, "ended": 99.0}
    return story


def one_of_two_is_left_behind() -> Story:
    """The region of both dies, only one is moved, and the other one comes back with the region."""
    story = Story()
    story.start("a", "b", targets={"rto": 60.0, "split-brain-writes": 0})
    reign(story, "west", 90, 100)
    story.fault(100)
    story.request(101, "west", "east", deployments=["a"])
    story.links.append({"t": 102, "event": "connect", "caller": "orchestrator", "site": "secondary", "service": "aws"})
    story.epoch(104.9, "east", 2, "a")
    story.complete(106, deployments=["a"])
    for at in range(101, 290, 2):
        story.probe(at, "b", ok=False)
    reign(story, "east", 105, 340, "a")
    story.heal(290)
    reign(story, "west", 291, 340, "b")
    story.settle(340, everything(story), since=106)
    return story


def configuration() -> Facts:
    return [fact("variable", "a", "v", 1), fact("connection", "a", "c", 1)]


def a_region_that_comes_back_takes_a_variable_away() -> Story:
    story = outage()
    story.snapshots["settled-1"] += configuration()
    story.heal(150)
    reign(story, "east", 141, 200)
    story.settle(200, everything(story) + configuration()[1:])
    return story


def a_planned_move_forgets_a_dag_run_that_no_client_asked_for() -> Story:
    story = Story()
    story.start("a", targets={"rto": 3600.0})
    reign(story, "west", 90, 100)
    story.look(98, everything(story, 98) + held(runs={("a", "wide", "scheduled"): "success"}))
    transition(story, 100, "west", "east", planned=True)
    return story


FAILS: list[Callable[[], Story]] = [
    a_region_that_comes_back_takes_a_variable_away, a_planned_move_forgets_a_dag_run_that_no_client_asked_for,
    logs_are_lost, images_of_the_new_site_are_lost, a_planned_move_loses_logs, a_deployment_is_down_while_nothing_moves,
    the_last_probes_fail, a_second_writer_where_no_target_names_it, a_scheduler_is_dead_while_nothing_moves,
    one_of_two_is_left_behind]


@pytest.mark.parametrize("told", FAILS, ids=lambda told: told.__name__)
def test_what_nobody_named_fails_all_the_same(told: Callable[[], Story]) -> None:
    assert told().result().verdict == "FAIL"


def test_the_same_runs_without_the_trouble_pass() -> None:
    for story in (quiet(), quiet(400), outage(), round_trip()):
        result = story.result()
        assert (result.verdict, result.reasons) == ("PASS", [])


def a_standby_that_begins_to_speak_late() -> Story:
    story = outage()
    story.silence("east", 0, 104.9)
    return story


def a_clock_that_is_dragged_away() -> Story:
    story = quiet()
    for index, event in enumerate(story.events):
        story.events[index] = type(event)(event.number, event.monotonic, event.wall - 0.1 * index, event.kind, event.data)
    return story


def a_target_that_does_not_exist() -> Story:
    story = quiet()
    change(story, "run.started", targets={"writes-lost": 0, "tasks-stuck": 0})
    return story


def an_acknowledgement_of_nothing() -> Story:
    story = quiet()
    story.witness.append({"e": "ack", "s": "ledger", "d": "a", "r": "west", "wr": None, "n": 1, "t": 50.0})
    return story


def a_look_without_its_file() -> Story:
    story = quiet()
    story.event(199, "looked", snapshot="before-9", site="west", began=199, ended=199)
    return story


def names_that_lead_to_nobody() -> Story:
    story = outage()
    change(story, "fleet.up", addresses={"10.0.0.1": "west", "10.0.0.2": "east"})
    change(story, "probe", address="6.6.6.6")
    return story


def probes_that_stop_for_a_while() -> Story:
    story = quiet(400)
    story.events = [event for event in story.events if event.kind != "probe" or not 100 < event.monotonic < 300]
    return story


def executors_that_nobody_hears() -> Story:
    """What had its side effect in the west runs again in the east, where no executor reaches the witness."""
    story = outage()
    for number in range(20):
        story.life("start", 90, f"t{number}")
        story.life("effect", 99, f"t{number}")
    look = next(reversed(story.snapshots))
    story.snapshots[look] += held(tasks={
        ("a", "wide", "run1", f"t{number}", -1): ("success", 1, 2) for number in range(40)})
    return story


def a_deployment_of_which_no_write_was_acknowledged() -> Story:
    story = outage("a", "b", targets={"rto": 3600.0, "split-brain-writes": 0})
    story.witness = [told for told in story.witness if told.get("d") != "b"]
    story.snapshots["settled-1"] = everything(story)
    return story


def everything_is_lost_and_no_target_says_how_much_may_be() -> Story:
    story = outage(targets={"rto": 3600.0, "rpo": {"images": 900.0}})
    forget(story, "settled-1", lambda fact: fact["f"] == "row" and fact["n"] < 100)
    return story


OPEN: list[Callable[[], Story]] = [
    everything_is_lost_and_no_target_says_how_much_may_be,
    probes_that_stop_for_a_while, executors_that_nobody_hears, a_deployment_of_which_no_write_was_acknowledged, a_standby_that_begins_to_speak_late, a_clock_that_is_dragged_away, a_target_that_does_not_exist,
    an_acknowledgement_of_nothing, a_look_without_its_file, names_that_lead_to_nobody]


@pytest.mark.parametrize("told", OPEN, ids=lambda told: told.__name__)
def test_what_nobody_can_know_is_no_pass(told: Callable[[], Story]) -> None:
    assert told().result().verdict != "PASS"


def test_tasks_that_are_stuck_break_the_claim_of_retries_though_none_was_in_flight() -> None:
    story = outage(proves=["XR-22"])
    story.life("start", 110, "late", region="east")
    look = next(reversed(story.snapshots))
    story.snapshots[look] = [*story.snapshots[look], {
        "f": "ti", "d": "a", "dag": "wide", "run": "run1", "task": "late", "map": -1, "state": "running", "try": 1}]
    assert [claim.verdict for claim in story.result().claims] == ["FAIL"]


def test_an_outage_begins_with_the_first_fault_that_still_stands() -> None:
    story = Story()
    story.start("a", targets={"rto": 60.0})
    reign(story, "west", 5, 100)
    story.event(100, "fault.outcome", fault="partition", disrupts=True, in_force=100, undo={"mend": "one"})
    story.event(900, "fault.outcome", fault="region-outage", disrupts=True, in_force=900,
                parameters={"region": "primary"}, undo={"restore-region": "primary"})
    story.event(901, "trigger.accepted", kind="failover", at=901, source="west", target="east")
    assert story.result().transitions[0].t_fault == 100
