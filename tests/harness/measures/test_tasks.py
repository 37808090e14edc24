"""What became of the task instances that a drill met."""

from __future__ import annotations

from typing import Any

import pytest

from harness.measures import tasks
from harness.measures.result import Tasks
from harness.measures.tasks import Task
from harness.testing import Facts, Story, held
from tests.harness.measures.runs import past


def ti(state: str, tries: int = 1, task: str = "t1", retries: int | None = 2, dag: str = "wide") -> Facts:
    return held(tasks={("a", dag, "run1", task, -1): (state, tries, retries)})


def moved(story: Story, *facts: dict[str, Any], until: float = 200.0) -> Story:
    """A failover: the fault at 100, settled at 200."""
    story.start("a")
    story.fault(100)
    story.request(101, "west", "east")
    story.epoch(105, "east", 2)
    story.complete(106)
    story.settle(until, list(facts))
    return story


def followed(story: Story) -> dict[str, Task]:
    return {task.key[3]: task for task in tasks.follow(past(story)) or []}


def of_moves(story: Story) -> list[Tasks | None]:
    history = past(story)
    return tasks.of_moves(history, tasks.follow(history))


@pytest.mark.parametrize(("state", "tries", "outcome"), [
    ("success", 1, "survived"), ("success", 2, "retried"), ("skipped", 0, "survived"),
    ("failed", 1, "lost"), ("upstream_failed", 0, "lost"), ("removed", 1, "lost"), (None, 0, "lost"),
    ("running", 1, "stuck"), ("queued", 1, "stuck"), ("scheduled", 0, "stuck"), ("up_for_retry", 1, "stuck"),
    ("deferred", 1, "stuck"), ("restarting", 1, "stuck"), ("none", 0, "stuck"),
])
def test_each_task_ends_as_exactly_one_outcome(story: Story, state: str | None, tries: int, outcome: str) -> None:
    moved(story, *(ti(state, tries) if state else ()))
    story.life("start", 95, "t1")
    found = of_moves(story)[0]
    assert found is not None
    assert {name: getattr(found, name) for name in tasks.OUTCOMES if getattr(found, name)} == {outcome: 1}
    assert (found.met, found.in_flight) == (1, 1)


def test_a_task_that_was_begun_twice_was_retried_whatever_the_database_counts(story: Story) -> None:
    moved(story, *ti("success", 1))
    story.life("start", 95, "t1", began=1)
    story.life("start", 110, "t1", region="east", began=2)
    assert followed(story)["t1"].outcome == "retried"


def test_a_start_that_was_told_twice_is_one(story: Story) -> None:
    moved(story, *ti("success", 1))
    story.life("start", 95, "t1", began=1)
    story.life("start", 95, "t1", began=1)
    assert followed(story)["t1"].outcome == "survived"


@pytest.mark.parametrize(("starts", "retries", "against"), [
    (1, 0, False), (2, 0, True), (2, 1, False), (3, 1, True), (3, 2, False), (4, 2, True), (9, None, False)])
def test_a_task_may_be_begun_once_more_than_its_own_retries(
    story: Story, starts: int, retries: int | None, against: bool
) -> None:
    moved(story, *ti("success", starts, retries=retries))
    for number in range(starts):
        story.life("start", 110 + number, "t1", number=number, region="east")
    assert followed(story)["t1"].against_retries is against


def test_tries_that_were_queued_and_never_began_are_not_against_the_retries(story: Story) -> None:
    moved(story, *ti("success", 5, retries=1))
    story.life("start", 110, "t1", number=5, region="east")
    assert not followed(story)["t1"].against_retries


@pytest.mark.parametrize(("number", "site", "at"), [(2, "west", 120.0), (1, "east", 120.0), (1, "west", 121.0)])
def test_two_side_effects_are_a_duplicate_whatever_the_try_and_the_site(
    story: Story, number: int, site: str, at: float
) -> None:
    moved(story, *ti("success"))
    story.life("effect", 120, "t1")
    story.life("effect", at, "t1", number=number, region=site)
    assert followed(story)["t1"].duplicated


def test_one_side_effect_that_was_told_twice_is_no_duplicate(story: Story) -> None:
    moved(story, *ti("success"))
    story.life("effect", 120, "t1")
    story.witness[-1] |= {"cl": "c", "q": 1}
    story.witness.append(dict(story.witness[-1]))
    assert not followed(story)["t1"].duplicated
    story.witness.append(story.witness[-1] | {"q": 2})
    assert followed(story)["t1"].duplicated


@pytest.mark.parametrize(("state", "tries", "told", "heard"), [
    ("success", 1, "", False), ("success", 2, "", False), ("success", 1, "start", True), ("success", 1, "effect", True),
    ("success", 0, "", True),  # Airflow itself skips over what does nothing
    ("failed", 1, "", True), ("running", 1, "", True)])
def test_a_task_that_ran_and_of_which_nothing_was_told_was_not_heard(
    story: Story, state: str, tries: int, told: str, heard: bool
) -> None:
    moved(story, *ti(state, tries))
    if told:
        story.life(told, 95, "t1")
    assert followed(story)["t1"].heard is heard


@pytest.mark.parametrize(("date", "heard"), [(2, True), (1, True), (3, False)])
def test_the_try_that_succeeded_must_be_one_whose_start_was_told(story: Story, date: int, heard: bool) -> None:
    moved(story, ti("success", 2)[0] | {"c": date})
    story.life("start", 95, "t1", began=1)
    story.life("start", 110, "t1", number=2, began=2, region="east")
    assert followed(story)["t1"].heard is heard


@pytest.mark.parametrize(("state", "tasks", "outcome"), [
    ("failed", 0, "lost"), ("failed", 1, None), ("success", 0, None), ("queued", 0, "stuck")])
def test_a_dag_run_that_failed_without_any_task_is_lost(story: Story, state: str, tasks: int, outcome: str | None) -> None:
    moved(story, *held(runs={("a", "wide", "run1"): state}), *ti("success")[:tasks])
    found = followed(story)
    assert ("(Dag run)" in found and found["(Dag run)"].outcome) == (outcome or False)


def test_mapped_tasks_are_told_apart(story: Story) -> None:
    moved(story, *ti("success"))
    story.life("effect", 120, "t1")
    story.life("effect", 121, "t1")
    story.witness[-1]["map"] = 4
    assert [task.duplicated for task in tasks.follow(past(story)) or []] == [False, False]


def test_a_lost_task_whose_effect_was_seen_is_lost_and_may_be_duplicated(story: Story) -> None:
    moved(story, *ti("failed"))
    story.life("effect", 110, "t1")
    story.life("effect", 120, "t1")
    found = of_moves(story)[0]
    assert found is not None
    assert (found.lost, found.duplicated, found.survived) == (1, 1, 0)
    assert found.examples == {"lost": ["a/wide/run1/t1/-1"], "duplicated": ["a/wide/run1/t1/-1"]}


def test_a_task_that_only_the_database_knows_is_followed(story: Story) -> None:
    moved(story, *ti("scheduled", 0))
    assert followed(story)["t1"].outcome == "stuck"


def test_a_task_that_an_earlier_look_showed_and_the_last_does_not_is_gone(story: Story) -> None:
    story.start("a")
    story.look(90, ti("success"))
    story.settle(140, [])
    assert followed(story)["t1"].outcome == "lost"


def test_a_task_that_begins_after_the_last_look_is_not_judged(story: Story) -> None:
    moved(story)
    story.life("start", 200.1, "t1", region="east")
    assert followed(story) == {}
    story.life("start", 200, "t2", region="east")
    assert set(followed(story)) == {"t2"}


def test_without_a_look_no_task_can_be_followed(story: Story) -> None:
    story.start("a")
    story.life("start", 95, "t1")
    assert tasks.follow(past(story)) is None
    assert tasks.of_moves(past(story), None) == []


# -- Dag runs and canaries -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("state", "stuck"), [
    ("success", 0), ("running", 1), ("queued", 1), ("scheduled", 1)])
def test_a_dag_run_that_has_not_ended_is_stuck(story: Story, state: str, stuck: int) -> None:
    moved(story, *held(runs={("a", "wide", "run1"): state}))
    found = of_moves(story)[0]
    assert found is not None
    assert (found.stuck, found.met) == (stuck, 0)  # it is no task instance
    assert found.examples == ({"stuck": ["a/wide/run1/(Dag run)/-1"]} if stuck else {})


def test_a_canary_run_that_goes_on_is_not_stuck(story: Story) -> None:
    moved(story, *held(runs={("a", "canary", "run1"): "running"}))
    assert followed(story) == {}


@pytest.mark.parametrize(("began", "state", "outcome"), [
    (170.1, "running", None), (170.0, "running", "stuck"), (190.0, "success", None), (150.0, "success", "survived"),
    (190.0, "failed", "lost"), (190.0, "upstream_failed", "lost"), (190.0, None, None), (150.0, None, "lost"),
])
def test_a_young_canary_may_be_under_way_and_may_not_have_failed(
    story: Story, began: float, state: str | None, outcome: str | None
) -> None:
    moved(story, *(ti(state, dag="canary") if state else ()))  # three intervals of 10 s before 200
    story.life("start", began, "t1", region="east", dag="canary")
    found = followed(story)
    assert (found["t1"].outcome if found else None) == outcome


def test_another_dags_young_task_is_stuck(story: Story) -> None:
    moved(story, *ti("running"))
    story.life("start", 199, "t1", region="east")
    assert followed(story)["t1"].outcome == "stuck"


# -- whom a transition met --------------------------------------------------------------------------------------


def test_a_task_that_ended_before_the_fault_was_not_met(story: Story) -> None:
    moved(story, *ti("success"))
    story.life("start", 80, "t1")
    story.life("effect", 99.9, "t1")
    found = of_moves(story)[0]
    assert found is not None
    assert (found.met, found.in_flight) == (0, 0)


def test_a_task_whose_effect_came_at_the_fault_or_after_it_was_met(story: Story) -> None:
    moved(story, *ti("success"), *ti("success", task="t2"))
    story.life("start", 80, "t1")
    story.life("effect", 100, "t1")
    story.life("start", 80, "t2")
    story.life("effect", 101, "t2")
    found = of_moves(story)[0]
    assert found is not None
    assert (found.met, found.in_flight) == (2, 1)


def test_what_begins_after_the_fleet_has_settled_was_not_met(story: Story) -> None:
    moved(story, *ti("success"))
    story.settle(400, ti("success") + ti("failed", task="t2"))
    story.life("start", 200, "t1", region="east")
    story.life("start", 201, "t2", region="east")
    found = of_moves(story)[0]
    assert found is not None
    assert (found.met, found.lost) == (1, 0)
    assert followed(story)["t2"].outcome == "lost"


def test_two_transitions_each_meet_their_own(story: Story) -> None:
    moved(story)
    story.heal(250)
    story.request(301, "east", "west")
    story.epoch(305, "west", 3)
    story.settle(400, ti("success") + ti("success", task="t2"))
    story.life("start", 95, "t1")
    story.life("effect", 120, "t1", region="east")
    story.life("start", 295, "t2", region="east")
    story.life("effect", 310, "t2")
    assert [(t.met, t.in_flight) for t in of_moves(story) if t] == [(1, 1), (1, 1)]


def test_a_task_of_a_deployment_that_does_not_move_is_not_met(story: Story) -> None:
    story.start("a", "b")
    story.request(101, "west", "east", deployments=["b"])
    story.settle(200, ti("failed"))
    story.life("start", 95, "t1")
    found = of_moves(story)[0]
    assert found is not None
    assert found.met == 0


def test_a_transition_that_never_settled_has_no_tasks(story: Story) -> None:
    moved(story)
    story.settle(200, [])
    story.request(301, "east", "west")
    assert [t is None for t in of_moves(story)] == [False, True]


@pytest.mark.parametrize(("event", "at", "site", "flying"), [
    ("start", 100.0, "west", 1), ("start", 100.1, "west", 0), ("start", 95.0, "east", 0)])
def test_in_flight_is_what_had_started_in_the_site_that_is_left(
    story: Story, event: str, at: float, site: str, flying: int
) -> None:
    story.start("a")
    story.life(event, at, "t1", region=site)
    assert len(tasks.in_flight(story.tables(), "west", 100.0)) == flying


def test_in_flight_is_the_latest_try(story: Story) -> None:
    story.start("a")
    story.life("start", 80, "t1")
    story.life("effect", 85, "t1")
    story.life("start", 90, "t1", number=2)
    story.life("start", 80, "t2")
    story.life("effect", 99, "t2")
    story.life("effect", 101, "t1", number=2)
    assert {key[3] for key in tasks.in_flight(story.tables(), "west", 100.0)} == {"t1"}
    assert tasks.in_flight(story.tables(), "west", 101.0) == set()


def test_examples_are_a_few_of_what_is_not_good(story: Story) -> None:
    lost = [fact for number in range(9) for fact in ti("failed", task=f"t{number}")]
    moved(story, *lost, *ti("success", task="good"))
    found = of_moves(story)[0]
    assert found is not None
    assert (found.lost, found.survived, len(found.examples["lost"]), set(found.examples)) == (9, 1, 5, {"lost"})
