"""Loss of acknowledged writes at a transition."""

from __future__ import annotations

import pytest

from harness.measures import rpo
from harness.measures.interval import Interval
from harness.measures.result import Loss
from harness.testing import Story, held
from tests.harness.measures.runs import (
    accounted,
    change,
    everything,
    forget,
    forget_rows,
    outage,
    past,
    reign,
    round_trip,
    transition,
)

ERROR, BLIND = 0.01, 0.03
SENT = 0.2
"""The time between the sending of a request and its acceptance, in a story."""


def loss(story: Story, stream: str = "metadata", name: str = "a", move: int = 0) -> Loss:
    return rpo.losses(accounted(story))[move][stream]["" if stream == "images" else name]


def same(found: Interval | None, low: float, high: float | None) -> bool:
    return found is not None and found.low == pytest.approx(low) and (
        found.high is None if high is None else found.high == pytest.approx(high))


# -- the window ---------------------------------------------------------------------------------------------


def test_the_window_is_from_the_oldest_lost_write_to_the_fault() -> None:
    story = outage()
    forget_rows(story, "settled-1", [95, 97, 99])
    found = loss(story)
    assert (found.acknowledged, found.lost, found.recovered_later, found.parts) == (10, 3, 0, {"ledger": 3})
    assert same(found.rpo, 5 - ERROR, 5 + ERROR)
    assert found.examples == [f"a row {number} of west/w" for number in (95, 97, 99)]


def test_the_time_from_asking_for_the_fault_to_seeing_it_is_error() -> None:
    story = outage()
    change(story, "fault.outcome", asked=97.0)
    forget_rows(story, "settled-1", [95])
    assert same(loss(story).rpo, 2 - ERROR, 5 + ERROR)


def test_what_was_lost_while_the_fault_came_may_be_no_loss_at_all() -> None:
    story = outage()
    change(story, "fault.outcome", asked=97.0)
    forget_rows(story, "settled-1", [99])
    assert same(loss(story).rpo, 0, 1 + ERROR)


def test_nothing_lost_is_at_most_the_time_since_the_last_acknowledgement() -> None:
    assert same(loss(outage()).rpo, 0, 1 + ERROR + BLIND)


def test_the_blind_window_of_the_witness_is_part_of_a_loss_of_nothing() -> None:
    story = outage()
    for told in story.witness:
        told["w"] = told["t"] + (0.4 if told["t"] == 97 else 0.05 if told["t"] < 100 else 2.0)
    for told in story.witness:
        if told["t"] == 105:  # not all of the new site's were slow
            told["w"] = 105.05
    assert same(loss(story).rpo, 0, 1 + ERROR + 0.05 + 0.4)  # 0.05: a clock may be off by what its fastest record took


def test_an_acknowledgement_at_the_very_fault_leaves_no_time() -> None:
    story = outage()
    story.ack(100, 100)
    story.snapshots["settled-1"] = everything(story)
    assert same(loss(story).rpo, 0, ERROR + BLIND)


def test_where_no_older_write_survives_the_window_is_at_least_that() -> None:
    story = outage()
    forget_rows(story, "settled-1", range(90, 100))
    assert same(loss(story).rpo, 10 - ERROR, None)
    change(story, "fault.outcome", asked=97.0)
    assert same(loss(story).rpo, 7 - ERROR, None)


def test_one_older_write_that_survives_closes_the_window() -> None:
    story = outage()
    forget_rows(story, "settled-1", range(91, 100))
    assert same(loss(story).rpo, 9 - ERROR, 9 + ERROR)


def test_an_older_write_that_is_corrupted_or_lost_before_does_not_survive() -> None:
    story = round_trip()
    forget_rows(story, "settled-1", range(90, 141))
    forget_rows(story, "settled-2", range(90, 200))
    assert same(loss(story, move=1).rpo, 60 - SENT - ERROR, None)
    story.snapshots["settled-2"].append({"f": "row", "d": "a", "wr": "west/w", "n": 95, "c": 1})
    assert same(loss(story, move=1).rpo, 60 - SENT - ERROR, None)


def test_an_older_write_that_was_only_recovered_later_survives() -> None:
    story = round_trip()
    forget_rows(story, "settled-1", [90])
    forget_rows(story, "settled-2", range(91, 200))
    assert loss(story, move=0).recovered_later == 1
    assert same(loss(story, move=1).rpo, 201 - 91 - SENT - ERROR, 201 - 91 + ERROR)


def test_an_older_write_of_another_deployment_or_stream_does_not_close_the_window() -> None:
    story = outage("a", "b")
    forget_rows(story, "settled-1", range(90, 100), "a")
    assert same(loss(story).rpo, 10 - ERROR, None)
    assert same(loss(story, name="b").rpo, 0, 1 + ERROR + BLIND)


def test_what_an_earlier_reign_wrote_does_not_close_the_window_of_a_reign_that_lost_everything() -> None:
    story = round_trip()
    forget_rows(story, "settled-2", range(105, 200))
    assert same(loss(story, move=1).rpo, 201 - 105 - SENT - ERROR, None)
    story.snapshots["settled-2"].append({"f": "row", "d": "a", "wr": "east/w", "n": 105})
    assert same(loss(story, move=1).rpo, 201 - 106 - SENT - ERROR, 201 - 106 + ERROR)


@pytest.mark.parametrize("stream", ["metadata", "task-logs", "images"])
def test_a_way_back_on_which_nothing_ever_arrived_meets_no_bound(stream: str) -> None:
    story = outage(targets={"rpo": {stream: 300.0}})
    story.heal(150)
    reign(story, "east", 141, 200)
    transition(story, 200, "east", "west")
    forget_rows(story, "settled-2", range(105, 200))
    keys = {told["key"] for told in story.witness if told["r"] == "east" and told["t"] < 200 and "key" in told}
    forget(story, "settled-2", lambda fact: fact.get("key") in keys)
    there, back = (target for target in story.result().targets if "RPO" in target.name)
    assert (there.verdict, back.verdict, back.high) == ("PASS", "INCONCLUSIVE", None)


def test_older_writes_that_were_sent_twice_and_are_all_gone_do_not_close_the_window() -> None:
    story = round_trip()
    story.witness += [dict(told) for told in story.witness]
    forget_rows(story, "settled-1", range(90, 100))
    forget_rows(story, "settled-2", range(90, 200))
    assert same(loss(story, move=1).rpo, 201 - 105 - SENT - ERROR, None)


def test_without_an_acknowledgement_before_the_fault_nothing_is_known() -> None:
    assert loss(outage(since=100)).rpo is None


def test_an_acknowledgement_of_an_earlier_reign_says_nothing_of_this_one() -> None:
    story = round_trip()
    story.witness = [told for told in story.witness if told["r"] == "west"]
    story.snapshots = {name: everything(story, until) for name, until in (("settled-1", 140), ("settled-2", 240))}
    assert loss(story, move=1).acknowledged == 0
    assert loss(story, move=1).rpo is None


def test_what_an_earlier_reign_wrote_and_this_transition_lost_counts() -> None:
    story = round_trip()
    forget_rows(story, "settled-2", [95, 199])
    found = loss(story, move=1)
    assert (found.acknowledged, found.lost) == (94 + 1, 2)
    assert same(found.rpo, 201 - 95 - SENT - ERROR, 201 - 95 + ERROR)


def test_without_a_look_after_it_a_transition_has_no_window() -> None:
    story = outage()
    story.events = [event for event in story.events if event.kind != "settled"]
    assert loss(story).rpo is None


def test_a_clock_that_is_off_is_part_of_the_error() -> None:
    story = outage()
    for told in story.witness:
        told["w"] = told["t"] + (0.05 if told["r"] == "east" else 2.1)
    assert same(loss(story).rpo, 0, 1 + ERROR + 2.1 + 2.1)  # and the blind window
    forget_rows(story, "settled-1", [95])
    assert same(loss(story).rpo, 5 - ERROR - 2.1, 5 + ERROR + 2.1)


# -- what counts ----------------------------------------------------------------------------------------------


def test_only_what_the_site_that_is_left_acknowledged_before_the_fault_is_counted(story: Story) -> None:
    story.start("a")
    for at, number in ((99, 1), (100, 2), (100.1, 3)):
        story.ack(at, number)
    story.ack(99, 4, region="east")
    story.epoch(105, "east", 2)
    story.failover(100, 101, 106, 140, everything(story))
    assert loss(story).acknowledged == 2


def test_what_the_old_writer_acknowledged_after_the_fault_and_lost_is_stranded() -> None:
    story = outage()
    for number, at in enumerate((100.5, 102, 104.2, 107)):
        story.ack(at, number)
    found = loss(story)
    assert (found.lost, found.stranded, found.stranded_s) == (0, 3, pytest.approx(4.2))
    assert same(found.rpo, 0, 1 + ERROR + BLIND)


def test_what_the_old_writer_acknowledged_after_the_fault_and_is_there_is_not_stranded() -> None:
    story = outage()
    story.ack(102, 1)
    story.snapshots["settled-1"] = everything(story)
    assert (loss(story).stranded, loss(story).stranded_s) == (0, 0)


def test_without_a_new_epoch_the_old_writer_is_stranded_to_the_end() -> None:
    story = outage(told=False)
    story.witness = [told for told in story.witness if told["r"] != "east"]
    story.ack(130, 1)
    assert loss(story).stranded == 1


def test_what_the_new_writer_lost_is_no_loss_of_the_transition() -> None:
    story = outage()
    forget_rows(story, "settled-1", [105, 120])
    assert (loss(story).lost, loss(story).stranded) == (0, 0)


def test_what_is_absent_after_the_transition_and_there_at_the_end_is_lost_and_recovered_later() -> None:
    story = round_trip()
    forget_rows(story, "settled-1", [98, 99])
    forget_rows(story, "settled-2", [99])
    found = loss(story)
    assert (found.lost, found.recovered_later) == (2, 1)
    assert same(found.rpo, 2 - ERROR, 2 + ERROR)


def test_a_log_that_was_lost_and_written_again_by_the_new_site_was_lost() -> None:
    story = round_trip()
    forget(story, "settled-1", lambda fact: fact.get("key") == "a/95")
    story.log(145, "a/95", region="east")
    found = loss(story, "task-logs")
    assert (found.acknowledged, found.lost, found.recovered_later) == (10, 1, 1)
    assert same(found.rpo, 5 - ERROR, 5 + ERROR)


def test_each_part_of_the_metadata_is_counted(story: Story) -> None:
    story.start("a")
    story.ack(90, 1)
    story.ack(91, 2)
    story.airflow(95, "state", "t1")
    story.airflow(96, "xcom", "t1")
    story.airflow(97, "dagrun")
    story.epoch(105, "east", 2)
    story.failover(100, 101, 106, 140, held({("a", "west/w", 1)}))
    found = loss(story)
    assert (found.acknowledged, found.lost, found.parts) == (5, 4, {"ledger": 1, "state": 1, "xcom": 1, "dagrun": 1})
    assert same(found.rpo, 9 - ERROR, 9 + ERROR)
    assert len(found.examples) == 4


@pytest.mark.parametrize(("kind", "stream"), [("log", "task-logs"), ("image", "images")])
def test_streams_of_objects_have_their_own_window(kind: str, stream: str) -> None:
    story = outage()
    forget(story, "settled-1", lambda fact: fact["f"] == kind and fact["key"].endswith("97"))
    assert (loss(story, stream).lost, loss(story).lost) == (1, 0)
    assert same(loss(story, stream).rpo, 3 - ERROR, 3 + ERROR)
    assert loss(story, stream).acknowledged == 10


def test_images_belong_to_no_deployment_and_their_reign_is_that_of_all(story: Story) -> None:
    story.start("a", "b")
    story.request(101, "west", "east")
    story.epoch(105, "east", 2, "a", error=0)
    story.epoch(125, "east", 2, "b", error=0)
    for number, at in enumerate((99, 110, 124, 126)):
        story.image(at, f"i{number}")
    story.settle(140, [])
    found = loss(story, "images")
    assert (found.acknowledged, found.lost, found.stranded, found.stranded_s) == (1, 1, 2, pytest.approx(23))


def test_records_that_were_sent_twice_count_once() -> None:
    story = outage()
    forget_rows(story, "settled-1", [99])
    story.witness += [dict(told) for told in story.witness]
    assert [(loss(story, stream).acknowledged, loss(story, stream).lost) for stream in ("metadata", "task-logs", "images")] == [
        (10, 1), (10, 0), (10, 0)]


def test_deployments_that_move_at_different_moments_each_have_their_own_reign(story: Story) -> None:
    story.start("a", "b")
    story.request(100, "west", "east")
    story.epoch(105, "east", 2, "a", error=0)
    story.epoch(125, "east", 2, "b", error=0)
    reign(story, "west", 90, 105, "a")
    reign(story, "west", 90, 125, "b")
    story.settle(140, everything(story, 104))
    assert (loss(story).stranded, loss(story, name="b").stranded) == (0, 20)


def test_each_request_for_one_deployment_has_only_its_losses(story: Story) -> None:
    story.start("a", "b")
    reign(story, "west", 90, 100)
    story.fault(100)
    for name, at in (("a", 101), ("b", 111)):
        story.request(at, "west", "east", deployments=[name])
        story.epoch(at + 4, "east", 2, name)
        story.complete(at + 5)
    story.settle(140, everything(story, 97))
    losses = rpo.losses(accounted(story))
    assert [{name: found.lost for name, found in move["metadata"].items()} for move in losses] == [{"a": 2}, {"b": 2}]
    assert same(losses[1]["metadata"]["b"].rpo, 2 - ERROR, 2 + ERROR)
    assert [move["images"][""].lost for move in losses] == [0, 2]


# -- the fleet ------------------------------------------------------------------------------------------------


def test_the_fleets_loss_is_the_sum_and_the_largest_window() -> None:
    story = outage("a", "b")
    forget_rows(story, "settled-1", [95, 96], "a")
    forget_rows(story, "settled-1", [98], "b")
    found = rpo.of_fleet(rpo.losses(accounted(story))[0]["metadata"])
    assert (found.acknowledged, found.lost, found.parts) == (20, 3, {"ledger": 3})
    assert same(found.rpo, 5 - ERROR, 5 + ERROR)
    assert found.examples == ["a row 95 of west/w", "a row 96 of west/w", "b row 98 of west/w"]


def test_one_deployment_without_an_acknowledgement_leaves_the_fleets_window_open() -> None:
    story = outage("a", "b")
    story.witness = [told for told in story.witness if told.get("d") != "b"]
    forget_rows(story, "settled-1", [95])
    found = rpo.of_fleet(rpo.losses(accounted(story))[0]["metadata"])
    assert same(found.rpo, 5 - ERROR, None)


def test_a_fleet_without_any_acknowledgement_has_no_window() -> None:
    assert rpo.of_fleet(rpo.losses(accounted(outage(since=100)))[0]["metadata"]).rpo is None
    assert rpo.of_fleet({}).rpo is None


def test_the_fleets_stranded_writes_reach_as_far_as_the_last() -> None:
    story = outage("a", "b")
    story.ack(102, 1)
    story.ack(103, 1, deployment="b")
    found = rpo.of_fleet(rpo.losses(accounted(story))[0]["metadata"])
    assert (found.stranded, found.stranded_s) == (2, pytest.approx(3))


def test_a_run_without_a_transition_has_no_losses() -> None:
    story = Story()
    story.start("a")
    story.ack(90, 1)
    story.settle(140, [])
    assert rpo.losses(accounted(story)) == []
    assert past(story).moves == []


# -- the very bounds ------------------------------------------------------------------------------------------


def back_and_forth(*looks: list[dict[str, object]]) -> Story:
    """West reigns until 105, east until 205, west until 305: faults at 100, 200, 300, the epochs known exactly."""
    story = Story()
    story.start("a")
    for index, (source, target) in enumerate([("west", "east"), ("east", "west"), ("west", "east")]):
        at = 100 * (index + 1)
        story.fault(at, fault=f"partition-{at}")
        story.request(at + 1, source, target)
        story.epoch(at + 5, target, index + 2, error=0)
        story.complete(at + 6)
    for index, facts in enumerate(looks):
        story.settle(100 * (index + 1) + 40, list(facts))
    return story


def test_a_write_at_the_very_fault_came_before_it() -> None:
    story = back_and_forth([])
    story.ack(100, 1)
    found = loss(story)
    assert (found.acknowledged, found.lost, found.stranded) == (1, 1, 0)
    assert same(found.rpo, 0, None)
    later = held({("a", "west/w", 1)})
    story = back_and_forth([], later)
    story.ack(100, 1)
    assert (loss(story).lost, loss(story).recovered_later) == (1, 1)


def test_a_write_at_the_very_end_of_the_reign_is_stranded() -> None:
    story = back_and_forth([])
    for at, number in ((105, 1), (105.1, 2)):
        story.ack(at, number)
    assert (loss(story).stranded, loss(story).stranded_s) == (1, 5)


def test_a_write_at_the_very_begin_of_the_reign_is_of_the_one_before() -> None:
    story = back_and_forth()
    story.ack(205, 1)
    story.ack(205.1, 2)
    kept = held({("a", "west/w", 1), ("a", "west/w", 2)})
    for index, facts in enumerate(([], kept, kept)):
        story.settle(100 * (index + 1) + 40, facts)
    found = loss(story, move=2)
    assert found.acknowledged == 1
    assert same(found.rpo, 0, 300 - 205.1 + ERROR + BLIND)


def test_the_same_site_in_an_earlier_reign_is_not_this_one() -> None:
    kept = held({("a", "west/w", 1)})
    story = back_and_forth(kept, kept, kept)
    story.ack(90, 1)
    found = loss(story, move=2)
    assert (found.acknowledged, found.rpo) == (0, None)


def test_what_the_same_site_wrote_in_an_earlier_reign_and_now_lost_counts() -> None:
    both = held({("a", "west/w", 1), ("a", "west/w", 2)})
    story = back_and_forth(held({("a", "west/w", 1)}), both, held({("a", "west/w", 2)}))
    story.ack(90, 1)
    story.ack(250, 2)
    found = loss(story, move=2)
    assert (found.acknowledged, found.lost) == (2, 1)
    assert same(found.rpo, 300 - 90 - ERROR, None)


def test_the_oldest_write_of_all_parts_is_the_one_that_counts(story: Story) -> None:
    story.start("a")
    story.epoch(105, "east", 2)
    story.ack(91, 1)
    story.airflow(95, "state", "t1", content=5)
    story.ack(93, 2)
    story.failover(100, 101, 106, 140, held({("a", "west/w", 2)}))
    found = loss(story)
    assert (found.lost, found.parts) == (2, {"ledger": 1, "state": 1})
    assert same(found.rpo, 9 - ERROR, None)  # what survives is younger than the oldest that is lost


def test_a_part_that_lost_nothing_before_the_fault_does_not_open_the_window(story: Story) -> None:
    story.start("a")
    story.epoch(105, "east", 2)
    story.ack(90, 1)
    story.ack(95, 2)
    story.airflow(102, "state", "t1")
    story.airflow(103, "xcom", "t1")
    story.failover(100, 101, 106, 140, held({("a", "west/w", 1)}))
    found = loss(story)
    assert (found.lost, found.stranded, found.stranded_s) == (1, 2, pytest.approx(3))
    assert same(found.rpo, 5 - ERROR, 5 + ERROR)


def test_images_count_from_the_first_deployment_that_a_site_came_to_have(story: Story) -> None:
    story.start("a", "b")
    story.request(101, "west", "east")
    story.epoch(105, "east", 2, "a", error=0)
    story.epoch(125, "east", 2, "b", error=0)
    story.request(201, "east", "west")
    story.epoch(205, "west", 3, error=0)
    story.image(110, "i", region="east")
    story.settle(240, [{"f": "image", "key": "i"}])
    assert loss(story, "images", move=1).acknowledged == 1
