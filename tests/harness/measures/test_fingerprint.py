"""What each Deployment was made of, before and after."""

from __future__ import annotations

from typing import Any

import pytest

from harness.measures import fingerprint
from harness.measures.fingerprint import Differences
from harness.testing import Facts, Story, fact, held
from tests.harness.measures.runs import past

CONFIGURATION = ("variable", "connection", "pool", "environment")


def found(story: Story) -> Differences:
    return fingerprint.differences(past(story))


def compared(before: Facts, after: Facts) -> list[tuple[str, str, str, str]]:
    story = Story()
    story.start("a", "b")
    story.look(90, before)
    story.failover(100, 101, 106, 140, after)
    return [(d.deployment, d.kind, d.item, d.change) for d in found(story).found]


@pytest.mark.parametrize("kind", CONFIGURATION)
def test_an_item_of_the_configuration_is_missing_changed_or_added(kind: str) -> None:
    assert compared([fact(kind, "a", "k", 1)], []) == [("a", kind, "k", "missing")]
    assert compared([fact(kind, "a", "k", 1)], [fact(kind, "a", "k", 2)]) == [("a", kind, "k", "changed")]
    assert compared([], [fact(kind, "a", "k", 1)]) == [("a", kind, "k", "added")]
    assert compared([fact(kind, "a", "k", 1)], [fact(kind, "a", "k", 1)]) == []


def test_items_of_two_deployments_and_kinds_are_told_apart() -> None:
    was = [fact("variable", "a", "k", 1), fact("pool", "a", "k", 1)]
    now = [fact("variable", "b", "k", 1), fact("pool", "a", "k", 1)]
    assert compared(was, now) == [("a", "variable", "k", "missing"), ("b", "variable", "k", "added")]


def ti(state: str, tries: int = 1, began: int | None = 5) -> Facts:
    return [{"f": "ti", "d": "a", "dag": "wide", "run": "run1", "task": "t1", "map": -1, "state": state, "try": tries,
             "retries": 2, "c": began}]


@pytest.mark.parametrize(("was", "now", "change"), [
    (ti("success"), ti("success"), None), (ti("success"), [], "missing"), (ti("running"), [], "missing"),
    (ti("success"), ti("failed"), "changed"), (ti("success"), ti("success", tries=2), "changed"),
    (ti("success"), ti("success", began=6), "changed"), (ti("failed"), ti("success"), "changed"),
    (ti("running"), ti("success", tries=2, began=6), None),  # it had not ended
    ([], ti("success"), None),  # new ones come all the time
])
def test_a_task_that_had_ended_is_what_it_was(was: Facts, now: Facts, change: str | None) -> None:
    assert [d[3] for d in compared(was, now)] == ([change] if change else [])


def run(state: str, content: int = 1) -> Facts:
    return [{"f": "run", "d": "a", "dag": "wide", "run": "run1", "state": state, "c": content}]


@pytest.mark.parametrize(("was", "now", "change"), [
    (run("success"), run("success"), None), (run("running"), run("success"), None), (run("success"), [], "missing"),
    (run("success"), run("running"), "changed"), (run("running"), run("running", 2), "changed"),
    (run("failed"), run("success"), "changed"), ([], run("running"), None)])
def test_a_dag_run_keeps_what_it_is_and_its_end(was: Facts, now: Facts, change: str | None) -> None:
    assert [d[3] for d in compared(was, now)] == ([change] if change else [])


def test_an_xcom_is_missing_where_it_is_gone_and_its_content_is_for_others_to_follow() -> None:
    was = [{"f": "xcom", "d": "a", "dag": "wide", "run": "run1", "task": "t1", "map": -1, "key": "return_value", "c": 1}]
    assert compared(was, []) == [("a", "xcom", "wide run1 t1 return_value", "missing")]
    assert compared(was, [was[0] | {"c": 2}]) == []


def test_mapped_tasks_are_told_apart() -> None:
    mapped = [ti("success")[0] | {"map": 3}]
    assert compared(ti("success") + mapped, ti("success")) == [("a", "ti", "wide run1 t1 3", "missing")]


def test_rows_logs_and_images_are_no_part_of_it() -> None:
    assert compared(held({("a", "w", 1)}, logs=["l"], images=["i"]), []) == []


def test_each_look_before_a_transition_is_compared_with_the_first_after_it(story: Story) -> None:
    story.start("a")
    story.look(90, [fact("pool", "a", "p", 1)])
    story.failover(100, 101, 106, 140, [fact("pool", "a", "p", 1)])
    story.settle(150, [fact("pool", "a", "p", 1)])
    story.look(190, [fact("pool", "a", "p", 1)])
    story.failover(200, 201, 206, 240, [fact("pool", "a", "p", 3)], planned=True)
    differences = found(story)
    assert (differences.looks, differences.items) == (2, 2)
    assert [(d.change, d.look) for d in differences.found] == [("changed", "settled-5")]


def test_a_configuration_must_stay_what_it_is_while_nothing_moves_too(story: Story) -> None:
    story.start("a")
    story.look(90, [fact("pool", "a", "p", 1), *run("success")])
    story.failover(100, 101, 106, 140, [fact("pool", "a", "p", 1), *run("success")])
    story.settle(150, [fact("pool", "a", "p", 9)])  # the Dag run is followed by others
    story.look(190, [])
    differences = found(story)
    assert (differences.looks, differences.items) == (1, 2)
    assert [(d.kind, d.change, d.look) for d in differences.found] == [
        ("pool", "changed", "settled-3"), ("pool", "missing", "before-4")]


@pytest.mark.parametrize("looks", ["none before", "none after", "no transition"])
def test_without_two_looks_around_a_transition_nothing_is_compared(story: Story, looks: str) -> None:
    story.start("a")
    if looks != "none before":
        story.look(90, run("success"))
    if looks != "no transition":
        story.request(101, "west", "east")
    if looks != "none after":
        story.settle(140, [])
    assert (found(story).looks, found(story).found) == (0, [])


def test_a_look_before_the_fault_is_not_compared_with_a_second_one_before_it(story: Story) -> None:
    story.start("a")
    story.look(80, ti("success"))
    story.settle(85, [])
    story.look(90, [])
    story.failover(100, 101, 106, 140, [])
    assert found(story).found == []


def test_the_report_shows_the_configuration_first_and_no_more_than_a_hundred() -> None:
    def difference(kind: str, change: str, look: str = "l") -> Any:
        return fingerprint.Difference(deployment="a", kind=kind, item="k", change=change, look=look)

    many = [difference("ti", "missing")] * 150 + [difference("pool", "changed", "m"), difference("pool", "added", "l")]
    shown = fingerprint.as_result(Differences(1, 7, many))
    assert (shown.looks, shown.items, shown.missing, shown.changed, len(shown.differences)) == (1, 7, 150, 1, 100)
    assert [d.change for d in shown.differences[:3]] == ["added", "changed", "missing"]
    assert [d.change for d in Differences(1, 7, many).of_configuration("missing", "changed")] == ["changed"]


def test_items_that_are_compared_are_counted(story: Story) -> None:
    story.start("a")
    story.look(90, [fact("pool", "a", "p", 1), *ti("running"), *run("running"), *held({("a", "w", 1)})])
    story.failover(100, 101, 106, 140, [])
    assert found(story).items == 3
