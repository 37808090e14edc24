"""Reigns: by the database's own word, or inferred; of each Deployment by itself."""

from __future__ import annotations

import pytest

from harness.measures.epochs import AFTER, BEFORE, Epoch
from harness.testing import Story, held
from tests.harness.measures.runs import past


def reigns(story: Story, name: str = "a") -> list[tuple[int, str, float, float, bool, int | None]]:
    return [(e.number, e.site, e.first, e.last, e.inferred, e.move) for e in past(story).epochs[name]]


HOME = (0, "west", BEFORE, BEFORE, False, None)


def test_before_any_transition_the_active_site_reigns_since_ever(story: Story) -> None:
    story.start("a")
    assert reigns(story) == [HOME]


def test_an_epoch_begins_by_the_databases_word_with_its_error(story: Story) -> None:
    story.start("a")
    story.ack(106, 1, region="east")
    story.request(101, "west", "east")
    story.epoch(105, "east", 2, error=0.1)
    assert reigns(story) == [HOME, (2, "east", 104.9, 105.1, False, 0)]


def test_what_the_database_says_of_the_first_reign_numbers_it(story: Story) -> None:
    story.start("a")
    story.epoch(1, "west", 7)
    story.request(101, "west", "east")
    story.epoch(105, "east", 8)
    assert [(number, site, first == BEFORE) for number, site, first, *_ in reigns(story)] == [
        (7, "west", True), (8, "east", False)]


def test_what_the_database_says_of_home_after_the_request_is_no_first_reign(story: Story) -> None:
    story.start("a")
    story.request(101, "west", "east")
    story.epoch(103, "west", 7)
    assert [(number, site) for number, site, *_ in reigns(story)] == [(0, "west"), (7, "west")]


def test_a_first_word_of_another_site_leaves_home_unnumbered(story: Story) -> None:
    story.start("a")
    story.epoch(50, "east", 7)
    assert [(number, site, move) for number, site, _, _, _, move in reigns(story)] == [
        (0, "west", None), (7, "east", None)]


def test_without_the_databases_word_an_epoch_begins_between_request_and_first_write(story: Story) -> None:
    story.start("a")
    story.request(101, "west", "east", sent=100)
    story.ack(110, 2, region="east")
    story.ack(105, 1, region="east")
    story.ack(99, 0, region="east")
    assert reigns(story) == [HOME, (1, "east", 100, 105, True, 0)]


@pytest.mark.parametrize("kind", ["state", "xcom"])
def test_a_write_of_airflow_shows_an_epoch_as_well(story: Story, kind: str) -> None:
    story.start("a")
    story.request(101, "west", "east", sent=100)
    story.airflow(105, kind, "t", region="east")
    assert reigns(story) == [HOME, (1, "east", 100, 105, True, 0)]


def test_images_logs_effects_and_dag_runs_at_the_target_begin_no_epoch(story: Story) -> None:
    story.start("a")
    story.request(101, "west", "east")
    story.image(102, "i", region="east")
    story.log(102, "l", region="east")
    story.life("effect", 102, "t", region="east")
    story.airflow(102, "dagrun", region="east")
    assert reigns(story) == [HOME]


def test_an_attempt_begins_no_epoch(story: Story) -> None:
    story.start("a")
    story.request(101, "west", "east")
    story.ack(103, 1, region="east")
    story.witness.pop()
    assert reigns(story) == [HOME]


def test_each_deployment_has_its_own_at_its_own_moment(story: Story) -> None:
    story.start("a", "b")
    story.request(101, "west", "east")
    story.epoch(110, "east", 2, "a", error=0)
    story.epoch(300, "east", 2, "b", error=0)
    assert reigns(story, "a") == [HOME, (2, "east", 110, 110, False, 0)]
    assert reigns(story, "b") == [HOME, (2, "east", 300, 300, False, 0)]


def test_deployments_may_move_to_different_sites_from_different_homes(story: Story) -> None:
    story.start("a", "b", sites={"west": "primary", "east": "secondary", "north": "third"})
    story.request(101, "west", "east", deployments=["a"])
    story.request(102, "east", "north", deployments=["b"])
    story.epoch(110, "east", 2, "a", error=0)
    story.epoch(120, "north", 5, "b", error=0)
    assert reigns(story, "a") == [HOME, (2, "east", 110, 110, False, 0)]
    assert reigns(story, "b") == [(0, "east", BEFORE, BEFORE, False, None), (5, "north", 120, 120, False, 1)]


def test_several_round_trips_each_have_their_epoch(story: Story) -> None:
    story.start("a")
    for index, (source, target) in enumerate([("west", "east"), ("east", "west")] * 2):
        story.request(101 + 100 * index, source, target)
        story.epoch(105 + 100 * index, target, 2 + index, error=0)
    assert reigns(story)[1:] == [(2, "east", 105, 105, False, 0), (3, "west", 205, 205, False, 1),
                                 (4, "east", 305, 305, False, 2), (5, "west", 405, 405, False, 3)]


def test_several_round_trips_without_the_databases_word_are_inferred(story: Story) -> None:
    story.start("a")
    for index, (source, target) in enumerate([("west", "east"), ("east", "west"), ("west", "east")]):
        story.request(101 + 100 * index, source, target, sent=100 + 100 * index)
        story.ack(107 + 100 * index, index, region=target)
    assert reigns(story)[1:] == [(1, "east", 100, 107, True, 0), (2, "west", 200, 207, True, 1),
                                 (3, "east", 300, 307, True, 2)]


def test_what_comes_after_the_next_request_is_not_the_first_write_of_this_one(story: Story) -> None:
    story.start("a")
    story.request(101, "west", "east", sent=100)
    story.request(201, "east", "west", sent=200)
    story.ack(205, 1, region="east")
    assert reigns(story) == [HOME]


def test_an_epoch_that_nobody_asked_for_is_there_all_the_same(story: Story) -> None:
    story.start("a")
    story.epoch(50, "west", 1, error=0)
    story.epoch(90, "east", 2, error=0)
    assert reigns(story)[1:] == [(2, "east", 90, 90, False, None)]


def test_an_epoch_that_may_have_begun_just_before_the_request_is_its_own(story: Story) -> None:
    story.start("a")
    story.request(101, "west", "east", sent=100)
    story.epoch(99.95, "east", 2, error=0.1)
    assert reigns(story)[1][-1] == 0


@pytest.mark.parametrize(("began", "moves"), [
    (99.99, [None]), (100, [0]), (199.9, [0]), (200, [1]), (205, [1])])
def test_an_epoch_belongs_to_the_request_that_was_sent_before_it(
    story: Story, began: float, moves: list[int | None]
) -> None:
    story.start("a")
    story.request(101, "west", "east", sent=100)
    story.request(201, "west", "east", sent=200)
    story.epoch(began, "east", 2, error=0)
    assert [move for *_, move in reigns(story)[1:]] == moves


@pytest.mark.parametrize(("at", "epoch"), [
    (99.9, None), (100, (1, "east", 100, 100, True, 0)), (199.9, (1, "east", 100, 199.9, True, 0)),
    (200, (1, "east", 200, 200, True, 1))])
def test_a_first_write_belongs_to_the_request_that_was_sent_before_it(
    story: Story, at: float, epoch: tuple[object, ...] | None
) -> None:
    story.start("a")
    story.request(101, "west", "east", sent=100)
    story.request(201, "west", "east", sent=200)
    story.ack(at, 1, region="east")
    assert reigns(story)[1:] == ([epoch] if epoch else [])


@pytest.mark.parametrize(("began", "first"), [(100, BEFORE), (100.1, 100.1)])
def test_what_the_database_says_of_home_is_its_first_reign_up_to_the_request(
    story: Story, began: float, first: float
) -> None:
    story.start("a")
    story.request(101, "west", "east", sent=100)
    story.epoch(began, "west", 7, error=0)
    assert reigns(story)[-1][:3] == (7, "west", first)


def test_an_epoch_of_the_next_request_is_not_this_ones(story: Story) -> None:
    story.start("a")
    story.request(101, "west", "east", sent=100)
    story.request(201, "west", "east", sent=200)
    story.epoch(205, "east", 2, error=0)
    assert reigns(story)[1:] == [(2, "east", 205, 205, False, 1)]


def test_a_move_that_failed_half_way_moved_one_and_the_next_request_the_other(story: Story) -> None:
    story.start("a", "b")
    story.fault(100)
    story.request(101, "west", "east")
    story.ack(105, 1, region="east", deployment="a")
    story.request(201, "west", "east")
    story.ack(202, 2, region="east", deployment="a")
    story.ack(210, 1, region="east", deployment="b")
    found = past(story)
    assert reigns(story, "a")[1:] == [(1, "east", 100.8, 105, True, 0)]
    assert reigns(story, "b")[1:] == [(1, "east", 200.8, 210, True, 1)]
    first, second = found.moves
    assert found.epoch_of("b", first) is None
    # What the first request brought is what the second finds.
    assert found.epoch_of("a", second) is found.epoch_of("a", first) is found.epochs["a"][1]


def test_a_deployment_that_is_at_the_target_by_no_transition_has_no_epoch_of_one(story: Story) -> None:
    story.start("a")
    story.request(101, "east", "west")
    assert past(story).epoch_of("a", past(story).moves[0]) is None
    assert past(story).epoch_of("nobody", past(story).moves[0]) is None


def test_a_clock_that_is_off_is_part_of_an_epochs_error(story: Story) -> None:
    story.start("a")
    story.request(101, "west", "east")
    story.epoch(105, "east", 2, error=0.1)
    story.ack(104, 1)
    story.ack(106, 2, region="east")
    for told in story.witness:  # the east is 2 s behind; a record takes 0.05 s
        told["w"] = told["t"] + 0.05 + (2.0 if told["r"] == "east" else 0.0)
    first, last = reigns(story)[1][2:4]
    assert (first, last) == (pytest.approx(105 - 0.1 - 2.05), pytest.approx(105 + 0.1 + 2.05))


def test_a_clock_that_is_off_makes_the_end_of_an_inferred_begin_later(story: Story) -> None:
    story.start("a")
    story.request(101, "west", "east", sent=100)
    story.ack(106, 2, region="east")
    for told in story.witness:
        told["w"] = told["t"] + 2.0
    assert reigns(story)[1][2:4] == (100, pytest.approx(106 + 2.0))


def test_an_epoch_began_in_the_middle_of_what_is_possible() -> None:
    epoch = Epoch("a", 1, "east", 100.0, 104.0)
    assert (epoch.began, epoch.error) == (102, 2)
    assert (Epoch("a", 0, "west", BEFORE, BEFORE).began, Epoch("a", 0, "west", BEFORE, BEFORE).error) == (BEFORE, 0)


def test_the_table_of_epochs_says_when_each_ended(story: Story) -> None:
    story.start("a")
    story.request(101, "west", "east")
    story.epoch(105, "east", 2, error=0.5)
    rows = past(story).tables.rows("select * from epochs order by began_first")
    assert rows == [
        {"d": "a", "number": 0, "site": "west", "began_first": BEFORE, "began_last": BEFORE,
         "ended_first": 104.5, "ended_last": 105.5},
        {"d": "a", "number": 2, "site": "east", "began_first": 104.5, "began_last": 105.5,
         "ended_first": AFTER, "ended_last": AFTER, "move": 0}]


def test_where_a_deployment_runs_at_the_end_is_where_it_was_last_asked_to(story: Story) -> None:
    story.start("a", "b", "c")
    story.request(101, "west", "east", deployments=["a"])
    story.epoch(205, "east", 2, "c", error=0)
    assert [past(story).site_at_end(name) for name in ("a", "b", "c")] == ["east", "west", "east"]


def test_the_reign_that_is_left_began_when_the_site_last_came_to_reign(story: Story) -> None:
    story.start("a")
    for index, (source, target) in enumerate([("west", "east"), ("east", "west"), ("west", "east")]):
        story.request(101 + 100 * index, source, target)
        story.epoch(105 + 100 * index, target, 2 + index, error=0.5)
    found = past(story)
    assert [found.reign_before("a", move) for move in found.moves] == [BEFORE, 105.5, 205.5]
    assert found.reign_before("nobody", found.moves[0]) == 0


@pytest.mark.parametrize(("accepted", "since"), [(105.5, 105.5), (105.4, BEFORE)])
def test_a_reign_that_began_after_the_request_is_not_the_one_that_is_left(
    story: Story, accepted: float, since: float
) -> None:
    story.start("a")
    story.epoch(50, "east", 2, error=0)
    story.epoch(105, "west", 3, error=0.5)
    story.request(accepted, "west", "east", sent=99)
    found = past(story)
    assert found.reign_before("a", found.moves[0]) == since


def test_looks_and_the_end_are_part_of_the_history(story: Story) -> None:
    story.start("a")
    assert past(story).last_look is None
    story.settle(50, held())
    story.end(60)
    look = past(story).last_look
    assert look is not None
    assert (look.snapshot, past(story).end) == ("settled-1", 60)
