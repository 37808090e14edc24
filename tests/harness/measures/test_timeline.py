"""When what happened: faults and the transitions that they belong to, looks, outages."""

from __future__ import annotations

import pytest

from harness.measures.timeline import Move, Outage, looks, moves, outages
from harness.testing import Story, held


def found(story: Story, *fleet: str) -> list[Move]:
    return moves(story.evidence(), fleet or ("a",))


def test_a_fault_is_when_it_was_seen_and_its_error_is_since_it_was_asked_for(story: Story) -> None:
    story.start("a")
    story.fault(100, asked=97)
    story.request(103, "west", "east", sent=102)
    move, = found(story)
    assert (move.fault_asked, move.fault_seen, move.asked, move.accepted) == (97, 100, 102, 103)
    assert not move.planned


def test_a_fault_that_was_asked_for_after_it_was_seen_has_no_negative_error(story: Story) -> None:
    story.start("a")
    story.fault(100, asked=101)
    story.request(103, "west", "east")
    assert found(story)[0].fault_asked == 100


def test_a_fault_without_a_time_of_asking_has_no_error(story: Story) -> None:
    story.start("a")
    story.fault(100)
    story.request(103, "west", "east")
    assert (found(story)[0].fault_asked, found(story)[0].fault_seen) == (100, 100)


def test_without_a_fault_a_transition_is_planned_and_counted_from_its_request_between_sending_and_acceptance(story: Story) -> None:
    story.start("a")
    story.request(103, "east", "west", sent=99)
    move, = found(story)
    assert move.planned
    assert (move.fault_asked, move.fault_seen, move.asked) == (99, 103, 99)


def test_without_its_intent_a_request_was_sent_when_it_was_accepted(story: Story) -> None:
    story.start("a")
    story.event(103, "trigger.accepted", kind="failover", at=103.0, source="west", target="east")
    assert found(story)[0].asked == 103


def test_the_intent_of_an_earlier_request_is_not_that_of_a_later_one(story: Story) -> None:
    story.start("a")
    story.request(103, "west", "east", sent=102)
    story.event(203, "trigger.accepted", kind="failback", at=203.0, source="east", target="west")
    assert [move.asked for move in found(story)] == [102, 203]


@pytest.mark.parametrize(("said", "faulted", "planned"), [
    (True, False, True), (False, False, False), (None, False, True),
    (True, True, False), (False, True, False), (None, True, False),
])
def test_a_transition_is_planned_unless_a_fault_or_the_request_says_otherwise(
    story: Story, said: bool | None, faulted: bool, planned: bool
) -> None:
    story.start("a")
    if faulted:
        story.fault(100)
    story.event(103, "trigger.accepted", kind="failover", at=103.0, source="west", target="east", planned=said)
    assert found(story)[0].planned is planned


def test_a_fault_that_was_healed_long_before_is_not_that_of_a_planned_move(story: Story) -> None:
    story.start("a")
    story.fault(100)
    story.heal(150)
    story.request(900, "west", "east")
    move, = found(story)
    assert (move.planned, move.fault_seen) == (True, 900)


def test_healing_another_region_leaves_the_fault_in_force(story: Story) -> None:
    story.start("a")
    story.fault(100)
    story.heal(150, role="secondary")
    story.request(200, "west", "east")
    assert found(story)[0].fault_seen == 100


def test_a_fault_whose_undo_is_only_in_its_intent_is_healed_by_it(story: Story) -> None:
    story.start("a")
    story.event(99, "fault.intent", fault="partition", undo={"mend": 1})
    story.event(98, "fault.intent", fault="throttle", undo={"mend": 2})
    story.event(100, "fault.outcome", fault="partition", disrupts=True, in_force=100.0)
    story.event(150, "undo.outcome", undo={"mend": 2})
    story.request(200, "west", "east")
    assert found(story)[0].fault_seen == 100
    story.event(160, "undo.outcome", undo={"mend": 1})
    assert found(story)[0].fault_seen == 200


def test_a_fault_that_nothing_says_how_to_undo_stands(story: Story) -> None:
    story.start("a")
    story.event(100, "fault.outcome", fault="partition", disrupts=True, in_force=100.0)
    story.event(150, "undo.outcome", undo={})
    story.request(200, "west", "east")
    assert found(story)[0].fault_seen == 100


def test_a_fault_that_disrupts_nothing_is_no_outage(story: Story) -> None:
    story.start("a")
    story.fault(100, fault="manual-drift", disrupts=False)
    story.request(200, "west", "east")
    assert found(story)[0].planned


def test_the_first_of_several_faults_that_stand_is_the_one_that_counts(story: Story) -> None:
    story.start("a")
    story.fault(90, fault="partition")
    story.fault(100)
    story.request(200, "west", "east")
    assert found(story)[0].fault_seen == 90


def test_a_fault_that_was_answered_is_not_that_of_the_next_transition(story: Story) -> None:
    story.start("a")
    story.fault(100)
    story.request(101, "west", "east")
    story.complete(106)
    story.request(200, "east", "west")
    story.complete(206)
    first, second = found(story)
    assert (first.fault_seen, second.fault_seen, second.planned) == (100, 200, True)
    assert [move.completed.wall for move in (first, second) if move.completed] == [106, 206]


def test_a_move_that_failed_half_way_leaves_its_fault_to_the_next_request(story: Story) -> None:
    story.start("a")
    story.fault(100)
    story.request(101, "west", "east")
    story.request(150, "west", "east")
    story.complete(160)
    story.settle(170, held())
    first, second = found(story)
    assert (first.completed, first.settled, first.until) == (None, None, 149.8)
    assert (second.fault_seen, second.planned, second.settled) == (100, False, 170)


def test_a_transition_lasts_until_the_next_ones_fault_or_the_end(story: Story) -> None:
    story.start("a")
    story.request(101, "west", "east")
    story.complete(106)
    story.fault(200, asked=198, role="secondary")
    story.request(210, "east", "west")
    story.complete(220)
    story.event(300, "cleanup", outcome="done")
    story.event(301, "run.ended")
    assert [move.until for move in found(story)] == [198, 301]


def test_of_several_answers_the_last_one_counts(story: Story) -> None:
    story.start("a")
    for at, (source, target) in ((100, ("west", "east")), (200, ("east", "west"))):
        story.fault(at, fault=f"partition-{at}")
        story.request(at + 1, source, target)
        story.complete(at + 6)
    story.request(300, "west", "east")
    assert [(move.fault_seen, move.planned) for move in found(story)] == [(100, False), (200, False), (300, True)]


def test_deployments_that_are_asked_for_one_by_one_answer_the_same_fault(story: Story) -> None:
    story.start("a", "b")
    story.fault(100)
    story.request(101, "west", "east", deployments=["a"])
    story.complete(106)
    story.request(111, "west", "east", deployments=["b"])
    story.complete(116)
    story.settle(140, held())
    first, second = found(story, "a", "b")
    assert (first.deployments, second.deployments) == (("a",), ("b",))
    assert (first.fault_seen, second.fault_seen, first.settled, second.settled) == (100, 100, 140, 140)
    assert first.until == second.until == story.evidence().events[-1].wall


def test_a_request_that_takes_along_whom_the_first_one_left_behind_answers_the_same_fault(story: Story) -> None:
    story.start("a", "b")
    story.fault(100)
    for at, named in ((101, ["a"]), (300, ["a", "b"]), (400, ["a"])):
        story.request(at, "west", "east", deployments=named)
        story.complete(at + 5, deployments=named)
    assert [move.fault_seen for move in found(story, "a", "b")] == [100, 100, 400]


def test_two_transitions_that_overlap_each_have_their_own_end(story: Story) -> None:
    story.start("a", "b")
    story.request(101, "west", "east", deployments=["a"])
    story.request(102, "west", "east", deployments=["b"])
    story.complete(106, deployments=["b"])
    story.complete(108, deployments=["a"])
    assert [move.seen_complete for move in found(story, "a", "b")] == [108, 106]


def test_the_end_of_an_unnamed_transition_is_that_of_the_first_that_waits(story: Story) -> None:
    story.start("a", "b")
    story.request(101, "west", "east", deployments=["a"])
    story.request(102, "west", "east", deployments=["b"])
    story.complete(106)
    assert [move.seen_complete for move in found(story, "a", "b")] == [106, None]


def test_the_harness_sees_the_end_when_it_sees_it_whatever_the_orchestrator_says(story: Story) -> None:
    story.start("a")
    story.request(101, "west", "east")
    assert found(story)[0].seen_complete is None
    story.complete(106, claimed=103)
    assert found(story)[0].seen_complete == 106


def test_the_first_settling_after_a_transition_is_its_own(story: Story) -> None:
    story.start("a")
    story.settle(50, held())
    story.request(101, "west", "east")
    story.settle(140, held())
    story.settle(180, held())
    move, = found(story)
    assert (move.settled, move.snapshot) == (140, "settled-2")


def test_each_look_knows_the_latest_transition_before_it(story: Story) -> None:
    story.start("a")
    story.look(90, held())
    story.request(101, "west", "east")
    story.settle(140, held())
    story.look(190, held(), site="east")
    story.request(201, "east", "west")
    story.settle(240, held())
    evidence = story.evidence()
    shown = [(look.order, look.snapshot, look.began, look.site, look.before, look.move)
             for look in looks(evidence, moves(evidence, ("a",)))]
    assert shown == [(0, "before-1", 90, "west", True, None), (1, "settled-2", 140, "", False, 0),
                     (2, "before-3", 190, "east", True, 0), (3, "settled-4", 240, "", False, 1)]


@pytest.mark.parametrize(("began", "move"), [(101.0, None), (101.1, 0)])
def test_a_look_comes_after_a_transition_that_was_accepted_before_it_began(
    story: Story, began: float, move: int | None
) -> None:
    story.start("a")
    story.request(101, "west", "east")
    story.settle(began, held())
    evidence = story.evidence()
    assert looks(evidence, moves(evidence, ("a",)))[0].move == move


def test_a_look_of_which_nobody_wrote_down_when_it_was_taken_is_of_no_time(story: Story) -> None:
    story.start("a")
    story.snapshots["x"] = held()
    assert [(look.began, look.site, look.before) for look in looks(story.evidence(), [])] == [(0, "", True)]


def test_a_look_at_the_end_of_a_settling_begins_when_it_was_begun(story: Story) -> None:
    story.start("a")
    story.settle(140, held())
    story.event(139, "looked", snapshot="settled-1", site="west", began=137.0, ended=138.0)
    look, = looks(story.evidence(), [])
    assert (look.began, look.site, look.before) == (137, "west", False)


def test_a_site_is_without_power_from_the_asking_to_the_healing(story: Story) -> None:
    story.start("a")
    story.fault(100, asked=98)
    story.fault(110, role="secondary")
    story.heal(150)
    story.event(190, "cleanup", outcome="done")
    story.event(200, "run.ended")
    assert outages(story.evidence()) == [Outage("west", 98, 150), Outage("east", 110, 200)]


def test_a_fault_that_takes_no_power_is_no_outage(story: Story) -> None:
    story.start("a")
    story.fault(100, fault="partition")
    story.heal(150)
    assert outages(story.evidence()) == []


def test_an_outage_names_its_region_in_its_undo_where_its_parameters_do_not(story: Story) -> None:
    story.start("a")
    story.event(100, "fault.outcome", fault="region-outage", in_force=100.0, undo={"restore-region": "secondary"})
    story.event(110, "fault.outcome", fault="region-outage", in_force=110.0)
    story.end(200)
    assert outages(story.evidence()) == [Outage("east", 100, 200), Outage("west", 110, 200)]
