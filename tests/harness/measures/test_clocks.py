"""Whether the times of the record can be compared."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness.measures import clocks
from harness.testing import Story


def told(story: Story, site: str, offset: float, way: float = 0.02, **more: Any) -> None:
    """A record of a site whose clock is behind the witness's by so much."""
    story.ack(100, len(story.witness), region=site)
    for record in story.witness[-2:]:
        record.update(w=100 + offset + way, **more)


@pytest.mark.parametrize(("seconds", "steps"), [(0.25, 0), (0.26, 1), (-0.26, 1), (-0.25, 0), (-30.0, 1)])
def test_a_wall_clock_that_is_set_is_a_step_and_one_that_is_slewed_is_not(
    story: Story, seconds: float, steps: int
) -> None:
    story.start("a")
    story.set_clock(50, seconds)
    story.event(60, "check", name="x", ok=True)
    assert len(clocks.steps(story.evidence().events)) == steps


def test_a_step_says_by_how_much_and_where(story: Story) -> None:
    story.start("a")
    story.set_clock(50, -30)
    story.event(60, "check", name="x", ok=True)
    assert clocks.steps(story.evidence().events) == ["the wall clock was set by -30.0 s between records 3 and 4"]


def test_an_offset_is_what_the_fastest_record_of_a_site_shows(story: Story) -> None:
    for way in (0.5, 0.02, 0.1):
        told(story, "west", 3.0, way)
    assert clocks.offsets(story.tables())["west"] == pytest.approx(3.02)


def test_records_that_came_late_say_nothing_of_a_clock(story: Story) -> None:
    told(story, "west", 0.0, 5.0)
    told(story, "west", -10.0, late=True)
    assert clocks.offsets(story.tables())["west"] == pytest.approx(5.0)


def test_a_site_whose_records_have_no_time_of_receipt_has_no_offset(story: Story) -> None:
    story.ack(100, 1)
    assert clocks.offsets(story.tables()) == {"west": None}


@pytest.mark.parametrize(("offsets", "doubts"), [
    ({"west": 0.05, "east": 0.05}, {"west": 0.05, "east": 0.05}),
    ({"west": 2.0, "east": 0.0}, {"west": 2, "east": 2}),
    ({"west": -2.0, "east": 1.0}, {"west": 3, "east": 3}),
    ({"west": 2.0, "east": 2.0}, {"west": 2, "east": 2}),  # both are off against the witness
    ({"west": None, "east": 0.3}, {"east": 0.3}), ({"west": None}, {}), ({}, {}),
])
def test_a_sites_clock_is_in_doubt_by_its_difference_from_the_others_and_the_witness(
    offsets: dict[str, float | None], doubts: dict[str, float]
) -> None:
    assert clocks.doubts(offsets) == pytest.approx(doubts)


def test_the_result_says_how_far_each_sites_clock_is_from_the_witnesss(story: Story) -> None:
    story.start("a")
    told(story, "west", 3.0)
    told(story, "east", -1.0)
    story.ack(101, 7, region="")
    found = {clock.site: clock.offset_s for clock in story.result().clocks}
    assert found == {"west": pytest.approx(-3.02), "east": pytest.approx(0.98)}


def test_clocks_that_differ_are_a_gap(story: Story) -> None:
    story.start("a")
    told(story, "west", 0.32)
    told(story, "east", 0.0)
    assert not any("clock" in gap for gap in story.result().gaps)
    told(story, "north", 0.40)
    assert sorted(gap for gap in story.result().gaps if "clock" in gap) == [
        f"the clock of {site} is off by 0.4 s against the others" for site in sorted(("north", "east"))]


# -- clocks that are set and set back, and those of the sites ------------------------------------------------------


def test_a_wall_clock_that_is_set_and_set_back_between_two_events_is_seen_in_the_probes(story: Story) -> None:
    story.start("a")
    story.probes(10, 50, "a")
    story.events = [replace(event, wall=event.wall + 40) if event.kind == "probe" and 20 <= event.monotonic < 30
                    else event for event in story.events]
    story.event(60, "check", name="x", ok=True)
    evidence = story.evidence()
    assert clocks.steps(evidence.events) == []
    assert [text[:33] for text in clocks.harness_steps(evidence.events, evidence.tables)] == ["the wall clock was +40.0 s off th"]


def test_probes_whose_clocks_go_together_show_no_step(story: Story) -> None:
    story.start("a")
    story.probes(10, 50, "a")
    evidence = story.evidence()
    assert clocks.harness_steps(evidence.events, evidence.tables) == []


def beats(story: Story, client: str, since: int, until: int, offset: float = 0.0, way: float = 0.02) -> None:
    """What a site's client says of itself every 2 s, on a wall clock that is ahead by so much."""
    story.witness += [{"e": "beat", "r": "west", "cl": client, "q": at, "n": at * 1000, "t": at + offset, "w": at + way}
                      for at in range(since, until, 2)]


@pytest.mark.parametrize("offset", [30.0, -30.0, 0.3])
def test_a_sites_clock_that_is_set_in_the_middle_of_a_run_is_seen(story: Story, offset: float) -> None:
    beats(story, "c", 10, 40)
    beats(story, "c", 40, 60, offset)
    assert clocks.site_steps(story.tables()) == [f"the clock of west was set by {abs(offset):.1f} s during the run"]


@pytest.mark.parametrize("offset", [30.0, -30.0])
def test_a_sites_clock_that_was_set_between_two_lives_of_its_client_is_seen(story: Story, offset: float) -> None:
    beats(story, "c", 10, 40)
    beats(story, "d", 50, 70, offset)
    assert clocks.site_steps(story.tables()) == [f"the clock of west was set by {abs(offset):.1f} s during the run"]


def test_a_site_whose_clock_goes_on_evenly_shows_no_step_however_slow_its_records_are(story: Story) -> None:
    beats(story, "c", 10, 40)
    beats(story, "c", 40, 60, way=20.0)
    beats(story, "d", 62, 66, way=20.0)  # too few to tell
    assert clocks.site_steps(story.tables()) == []


def test_a_sites_clock_that_is_slewed_for_long_was_not_set(story: Story) -> None:
    story.witness += [{"e": "beat", "r": "west", "cl": "c", "q": at, "n": at * 1000, "t": at * 1.0003, "w": at * 1.0003 + 0.02}
                      for at in range(10, 3610, 10)]
    assert clocks.site_steps(story.tables()) == []
    beats(story, "d", 5000, 5100, offset=1.8)
    beats(story, "d", 5100, 5200, offset=2.4)
    assert [text[:26] for text in clocks.site_steps(story.tables())] == ["the clock of west was set "]
