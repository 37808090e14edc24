"""Whether the witness could hear a site, and what reached it."""

from __future__ import annotations

from typing import Any

import pytest

from harness.measures import hearing
from harness.measures.hearing import Silence
from harness.testing import Story, held
from tests.harness.measures.runs import past


def watched(story: Story, until: float = 200.0) -> Story:
    """A run of two sites up to a look; a beat every 2 s, so that 16 s without one are a silence."""
    story.start("a")
    story.settle(until, held())
    return story


def silences(story: Story) -> list[tuple[str, float, float]]:
    return [(s.site, s.began, s.ended) for s in past(story).silences]


def test_sites_that_are_heard_are_not_silent(story: Story) -> None:
    assert silences(watched(story)) == []


@pytest.mark.parametrize(("until", "silent"), [(116.0, []), (116.1, [("west", 100, 118)])])
def test_a_silence_is_more_than_eight_beats_that_are_missing(
    story: Story, until: float, silent: list[tuple[str, float, float]]
) -> None:
    watched(story).silence("west", 100.1, until)
    assert silences(story) == silent


def test_a_site_that_falls_silent_for_good_is_silent_to_the_last_look(story: Story) -> None:
    watched(story).silence("west", 150.1, 999)
    assert silences(story) == [("west", 150, 200)]


def test_a_site_that_was_never_heard_is_silent_from_the_begin(story: Story) -> None:
    watched(story).silence("east", 0, 999)
    assert silences(story) == [("east", 2, 200)]


def test_a_site_whose_clients_begin_late_is_silent_before_but_for_their_start(story: Story) -> None:
    watched(story).silence("east", 0, 100)
    assert silences(story) == [("east", 18, 100)]


def test_a_site_without_power_is_not_silent_and_has_some_time_to_speak_again(story: Story) -> None:
    watched(story, 400)
    story.fault(100)
    story.heal(200)
    story.silence("west", 200, 230)  # 16 s to start, and then no more than 16 s without a beat
    assert silences(story) == []
    story.silence("west", 200, 234)
    assert silences(story) == [("west", 216, 234)]


def test_a_silence_that_begins_before_an_outage_is_one(story: Story) -> None:
    watched(story, 400)
    story.fault(100)
    story.heal(200)
    story.silence("west", 80.1, 100)
    assert silences(story) == [("west", 80, 100)]


def test_beats_that_came_late_end_the_silence(story: Story) -> None:
    watched(story).silence("west", 100.1, 150)
    story.witness += [{"e": "beat", "r": "west", "t": at, "late": True} for at in range(102, 150, 2)]
    assert silences(story) == []


def test_what_else_a_site_tells_is_no_beat(story: Story) -> None:
    watched(story).silence("west", 100.1, 150)
    for at in range(102, 150, 2):
        story.ack(at, at)
    assert silences(story) == [("west", 100, 150)]


def test_where_nobody_sends_beats_nobody_is_silent(story: Story) -> None:
    watched(story).silence("west", 0, 999)
    story.events[0].data["beat_interval_s"] = 0.0
    assert silences(story) == []


def test_before_the_fleet_is_up_and_without_a_look_nobody_is_silent(story: Story) -> None:
    story.start("a")
    story.silence("west", 0, 999)
    story.event(200, "check", name="x", ok=True)
    assert silences(story) == []
    assert hearing.silences(Story().evidence(), ["west"], [], 2.0) == []


def test_a_look_ends_what_must_be_heard(story: Story) -> None:
    watched(story).silence("west", 100.1, 999)
    story.event(110, "looked", snapshot="x", began=108.0, ended=110.0)
    story.events = [event for event in story.events if event.kind != "settled"]
    assert silences(story) == []


def test_a_silence_says_what_is_not_known() -> None:
    assert str(Silence("west", 100, 150)) == (
        "west was not heard by the witness for 50 s; what it got accepted in that time is not known")


# -- what reached it ----------------------------------------------------------------------------------------------


def numbered(story: Story, *records: tuple[str, int]) -> Any:
    story.witness = [{"e": "ack", "t": 1.0, "cl": client, "q": number} for client, number in records]
    return story.tables()


@pytest.mark.parametrize(("records", "whole", "dropped"), [
    ([], True, 0), ([("c", 1), ("c", 2), ("d", 1)], True, 0), ([("c", 2), ("c", 1)], True, 0),
    ([("c", 2)], False, 1), ([("c", 1), ("c", 4), ("d", 1)], False, 2), ([("c", 1), ("c", 1), ("c", 2)], False, 0),
    ([("c", 1), ("c", 1), ("c", 3)], False, 1), ([("c", 2), ("c", 2)], False, 1), ([("c", 3), ("d", 2)], False, 3),
    ([("c", number) for number in (1, 2, 4, 4, 5, 5, 7)], False, 2),  # as many, with the same sum
])
def test_a_number_that_is_missing_is_a_record_that_was_dropped(
    story: Story, records: list[tuple[str, int]], whole: bool, dropped: int
) -> None:
    tables = numbered(story, *records)
    assert (hearing.whole(tables), hearing.dropped(tables)) == (whole, dropped)


def test_records_without_a_client_cannot_be_whole(story: Story) -> None:
    story.ack(1, 1)
    tables = story.tables()
    assert (hearing.whole(tables), hearing.dropped(tables)) == (False, 0)


def test_what_a_client_gave_up_is_dropped_whatever_the_numbers_say(story: Story) -> None:
    story.witness = [{"e": "dropped", "t": 1.0, "cl": "c", "q": 1, "n": 5}, {"e": "dropped", "t": 2.0, "cl": "c", "q": 2, "n": 2}]
    tables = story.tables()
    assert (hearing.whole(tables), hearing.given_up(tables), hearing.dropped(tables)) == (True, 7, 7)


@pytest.mark.parametrize(("records", "dropped"), [
    ([{"e": "ack", "cl": "c", "q": 1}, {"e": "ack", "cl": "c", "q": 4}], 2),
    ([{"e": "dropped", "cl": "c", "q": 1, "n": 3}], 3), ([{"e": "ack", "cl": "c", "q": 1}], 0),
])
def test_records_that_were_dropped_are_a_gap(story: Story, records: list[dict[str, Any]], dropped: int) -> None:
    watched(story)
    story.events[0].data["beat_interval_s"] = 0.0
    story.witness = [{"t": 1.0, "s": "airflow", "d": "a", **record} for record in records]
    assert past(story).dropped == dropped
    gaps = [gap for gap in story.result().gaps if "never reached the witness" in gap]
    assert gaps == ([f"{dropped} records never reached the witness, though their clients had told them"] if dropped else [])


# -- the blind window ------------------------------------------------------------------------------------------------


def ways(story: Story, *ways: float, event: str = "ack", until: float = 200.0, **more: Any) -> float:
    story.witness = [{"e": event, "t": 100.0, "w": 100.0 + way, **more} for way in ways]
    return hearing.blind(story.tables(), until)


def test_the_blind_window_is_the_longest_that_a_record_took(story: Story) -> None:
    assert ways(story, 0.05, 0.4, 0.1) == pytest.approx(0.4)
    assert ways(story, 0.05, 0.4, 0.1, event="effect") == pytest.approx(0.4)


@pytest.mark.parametrize("event", ["try", "beat", "start"])
def test_other_records_do_not_widen_it(story: Story, event: str) -> None:
    assert ways(story, 5.0, event=event) == hearing.BLIND_LEAST_S


def test_it_is_no_less_than_the_time_between_two_batches(story: Story) -> None:
    assert ways(story, 0.01) == ways(story) == hearing.BLIND_LEAST_S == 0.03


def test_records_that_came_late_are_not_part_of_it(story: Story) -> None:
    assert ways(story, 9.0, late=True) == hearing.BLIND_LEAST_S


def test_one_straggler_in_thousands_does_not_widen_it(story: Story) -> None:
    assert ways(story, *[0.1] * 2000, 7.0) == pytest.approx(0.1)


def test_records_that_the_witness_had_after_something_was_broken_are_not_part_of_it(story: Story) -> None:
    assert ways(story, 0.4, 0.1, until=100.4) == pytest.approx(0.1)
    watched(story)
    story.fault(150, asked=149)
    story.request(151, "west", "east")
    story.witness = [{"e": "ack", "t": at, "w": at + way, "r": "west"} for at, way in ((148.0, 0.5), (148.5, 0.6), (160.0, 0.7))]
    assert past(story).blind_s == pytest.approx(0.5)
    story.request(300, "east", "west")  # what came between two transitions came after something was broken
    assert past(story).blind_s == pytest.approx(0.5)
