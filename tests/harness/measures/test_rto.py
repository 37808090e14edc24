"""Recovery time from probes."""

from __future__ import annotations

import pytest

from harness.measures import rto
from harness.measures.interval import Interval
from harness.measures.result import Recovery
from harness.testing import Story, held
from tests.harness.measures.runs import of, outage, past


def moved(story: Story, *fleet: str, settled: float = 200.0, asked: float | None = None) -> Story:
    """A failover at 100, the epoch at 105, settled at 200; probes every 2 s, a canary every 10 s."""
    story.start(*(fleet or ("a",)))
    story.fault(100, asked=asked)
    story.request(101, "west", "east")
    story.epoch(105, "east", 2, error=0.5)
    story.complete(106)
    story.settle(settled, held())
    return story


def recovery(story: Story, name: str = "a", move: int = 0) -> Recovery:
    return rto.recoveries(past(story))[move][name]


def failing(story: Story, since: float, until: float, name: str = "a") -> None:
    while since < until:
        story.probe(since, name, ok=False)
        since += 2


def span(low: float, high: float) -> Interval:
    return Interval(low=pytest.approx(low), high=pytest.approx(high))


def same(found: Interval | None, low: float, high: float | None) -> bool:
    return found is not None and found.low == pytest.approx(low) and (
        found.high is None if high is None else found.high == pytest.approx(high))


def test_up_is_the_first_seen_success_of_a_task_that_the_new_epoch_scheduled(story: Story) -> None:
    moved(story)
    failing(story, 101, 110)
    story.probe(110, "a", scheduled=99)  # by the old writer
    story.probe(112, "a", scheduled=107)
    story.probes(114, 202, "a")
    found = recovery(story)
    assert same(found.rto, 112.01 - 100 - 2 - 0.01, 12.01)
    assert found.restored
    split = found.split
    assert split is not None
    assert (split.promotion_s, split.scheduler_s, split.task_s) == (5.5, 1.5, 1.0)
    assert split.promotion_s + split.scheduler_s + split.task_s + split.probe_s == pytest.approx(12.01)


@pytest.mark.parametrize(("ms", "late", "low"), [
    (10, 0, 10.0), (1510, 0, 10.0), (10, 700, 9.3), (6010, 0, 10.0), (3010, 1000, 9.0)])
def test_the_error_of_a_sighting_is_interval_and_answer_and_lateness_of_that_very_probe(
    story: Story, ms: float, late: float, low: float
) -> None:
    moved(story)
    failing(story, 101, 112)
    story.probe(112, "a", scheduled=107, ms=ms, late=late)
    story.probe(113.9, "a", scheduled=107, ms=9000, late=9000)  # another one's delay does not count
    story.probes(114, 202, "a")
    assert same(recovery(story).rto, low, min(12 + ms / 1000, 14.01))


def test_where_a_probe_was_left_out_the_error_reaches_back_to_the_one_before(story: Story) -> None:
    moved(story)
    failing(story, 101, 106)
    story.probe(112, "a", scheduled=107)
    story.probes(114, 202, "a")
    assert same(recovery(story).rto, 105 - 100, 12.01)


def test_the_time_from_asking_for_the_fault_to_seeing_it_is_error(story: Story) -> None:
    moved(story, asked=97)
    failing(story, 101, 112)
    story.probe(112, "a", scheduled=107)
    story.probes(114, 202, "a")
    assert same(recovery(story).rto, 10, 15.01)


def test_a_task_that_was_scheduled_while_the_epoch_began_may_be_the_old_writers(story: Story) -> None:
    moved(story)
    failing(story, 101, 108)
    story.probe(108, "a", scheduled=104.8)
    story.probe(118, "a", scheduled=115)
    story.probes(120, 202, "a")
    assert same(recovery(story).rto, 6, 18.01)
    story.events = [event for event in story.events if event.kind != "probe"]
    failing(story, 101, 108)
    story.probe(108, "a", scheduled=104.5)  # certainly of the old one
    story.probe(118, "a", scheduled=115)
    story.probes(120, 202, "a")
    failing(story, 110, 118)
    assert same(recovery(story).rto, 16, 18.01)


@pytest.mark.parametrize(("scheduled", "high"), [(105.5, 14.01), (105.51, 12.01)])
def test_a_task_counts_when_it_was_certainly_scheduled_in_the_new_epoch(
    story: Story, scheduled: float, high: float
) -> None:
    moved(story)
    story.probe(112, "a", scheduled=scheduled)
    story.probes(114, 202, "a")
    rto = recovery(story).rto
    assert rto is not None
    assert rto.high == pytest.approx(high)


@pytest.mark.parametrize(("address", "high"), [("1.1.1.1", 14.01), ("2.2.2.2", 12.01), ("3.3.3.3", 14.01), (None, 14.01)])
def test_a_hostname_that_still_leads_to_the_site_that_is_left_shows_no_recovery(
    story: Story, address: str | None, high: float
) -> None:
    moved(story)
    next(e for e in story.events if e.kind == "fleet.up").data["addresses"] = {"1.1.1.1": "west", "2.2.2.2": "east"}
    story.probe(112, "a", scheduled=107, address=address)
    for at in range(114, 202, 2):
        story.probe(at, "a", scheduled=at - 1, address="2.2.2.2")
    rto = recovery(story).rto
    assert rto is not None
    assert rto.high == pytest.approx(high)


def test_a_deployment_that_never_came_back_took_at_least_until_the_end(story: Story) -> None:
    moved(story)
    failing(story, 102, 200)
    found = recovery(story)
    assert (found.restored, same(found.rto, 100, None), found.split) == (False, True, None)


def test_a_deployment_without_an_epoch_of_its_own_was_not_restored(story: Story) -> None:
    moved(story, "a", "b")
    story.events = [event for event in story.events if event.kind != "epoch"]
    story.epoch(105, "east", 2, "a")
    story.probes(102, 202, "a", "b")
    assert recovery(story, "a").restored
    assert not recovery(story, "b").restored


def test_each_deployment_has_its_own_time(story: Story) -> None:
    moved(story, "a", "b")
    failing(story, 101, 150, "b")
    story.probes(112, 202, "a")
    story.probes(150, 202, "b")
    assert [recovery(story, name).rto.high for name in ("a", "b")] == [pytest.approx(12.01), pytest.approx(50.01)]  # type: ignore[union-attr]


def test_after_a_relapse_a_deployment_is_up_only_from_its_last_recovery(story: Story) -> None:
    moved(story)
    story.probe(110, "a", scheduled=108)
    failing(story, 112, 150)
    story.probes(150, 202, "a")
    assert same(recovery(story).rto, 48, 50.01)


@pytest.mark.parametrize(("back", "high"), [(140.0, 10.01), (140.1, 40.11)])
def test_a_relapse_is_no_new_success_for_more_than_three_canary_intervals(story: Story, back: float, high: float) -> None:
    moved(story)
    story.probe(110, "a", scheduled=108)
    failing(story, 112, 140)
    story.probes(back, 202, "a")
    rto = recovery(story).rto
    assert rto is not None
    assert rto.high == pytest.approx(high)


def test_seeing_the_same_success_again_is_no_sign_of_life(story: Story) -> None:
    moved(story)
    for at in range(110, 202, 2):
        story.probe(at, "a", scheduled=108)
    assert not recovery(story).restored


@pytest.mark.parametrize(("last", "restored"), [(170.0, True), (169.9, False)])
def test_a_deployment_that_is_down_again_when_the_fleet_has_settled_was_not_restored(
    story: Story, last: float, restored: bool
) -> None:
    moved(story)
    story.probes(110, 165, "a")
    failing(story, 165, 202)
    story.probe(last - 0.01, "a", scheduled=168)
    assert recovery(story).restored is restored


@pytest.mark.parametrize(("gap", "known"), [(14.0, True), (14.5, False)])
def test_of_a_deployment_that_nobody_watched_nothing_is_known(story: Story, gap: float, known: bool) -> None:
    moved(story)  # a probe may be out for three intervals and its time-out
    failing(story, 102, 150)
    failing(story, 148 + gap, 202)
    found = recovery(story)
    assert (found.rto is not None, found.restored) == (known, False)


@pytest.mark.parametrize("probes", [(101, 120), (130, 202), (0, 0)])
def test_probes_that_stop_or_begin_late_or_never_came_are_no_outage(story: Story, probes: tuple[int, int]) -> None:
    moved(story)
    failing(story, *probes)
    assert (recovery(story).rto, recovery(story).api) == (None, None)


def test_a_transition_that_never_settled_is_watched_until_the_next_one(story: Story) -> None:
    moved(story)
    story.events = [event for event in story.events if event.kind != "settled"]
    story.fault(300, role="secondary")
    story.request(301, "east", "west")
    failing(story, 101, 310)
    assert same(recovery(story).rto, 200, None)


def test_a_planned_move_counts_from_its_request(story: Story) -> None:
    story.start("a")
    story.request(101, "west", "east")
    story.epoch(105, "east", 2)
    story.settle(200, held())
    failing(story, 102, 112)
    story.probe(101.5, "a", scheduled=101.2)  # after the request, by the old writer
    story.probes(112, 202, "a")
    assert same(recovery(story).rto, 9, 11.21)  # counted from the sending, 0.2 s before


def test_a_deployment_that_a_first_request_moved_is_up_in_the_second_as_well(story: Story) -> None:
    story.start("a", "b")
    story.fault(100)
    story.request(101, "west", "east")
    story.epoch(105, "east", 2, "a")
    story.request(151, "west", "east")
    story.epoch(155, "east", 2, "b")
    story.complete(156)
    story.settle(200, held())
    failing(story, 101, 160, "b")
    story.probes(112, 202, "a")
    story.probes(160, 202, "b")
    assert (recovery(story, "a").restored, recovery(story, "b").restored) == (True, False)
    assert same(recovery(story, "a", 1).rto, 10, 12.01)
    assert same(recovery(story, "b", 1).rto, 58, 60.01)


# -- the API --------------------------------------------------------------------------------------------


def test_the_api_is_back_between_the_last_failure_and_the_first_answer(story: Story) -> None:
    moved(story, asked=97)
    failing(story, 101, 106)
    story.probe(107, "a", ms=3000, scheduled=99)
    story.probes(112, 202, "a")
    assert same(recovery(story).api, 105 - 100, 110 - 97)


def test_an_answer_before_the_last_failure_does_not_count(story: Story) -> None:
    moved(story)
    story.probe(102, "a")
    failing(story, 103, 106)
    story.probes(112, 202, "a")
    assert same(recovery(story).api, 5, 12.01)


def test_an_api_that_never_failed_a_probe_was_away_for_less_than_the_time_between_two(story: Story) -> None:
    moved(story)
    story.probes(102, 120, "a")
    story.probes(124, 202, "a")
    assert same(recovery(story).api, 0, 6)


def test_an_api_that_answered_no_more_was_away_at_least_until_its_last_failure(story: Story) -> None:
    moved(story)
    story.probes(110, 190, "a")
    failing(story, 102, 110)
    failing(story, 190, 200)
    assert same(recovery(story).api, 98, None)


# -- the fleet --------------------------------------------------------------------------------------------


def test_the_fleet_is_as_slow_as_its_slowest_deployment_and_percentiles_stand_beside_it() -> None:
    story = outage("a", "b", "c")
    story.events = [e for e in story.events if not (
        e.kind == "probe" and e["sent"] > 100 and ((e["d"] == "b" and e["sent"] < 121) or e["d"] == "c"))]
    failing(story, 101, 121, "b")
    failing(story, 101, 142, "c")
    move = story.result().transitions[0]
    assert same(move.rto, 40, None)
    assert same(move.rto_p50, 19, 21.01)
    assert same(move.rto_p95, 40, None)
    assert move.never_restored == ["c"]


def test_a_deployment_that_nobody_watched_leaves_the_fleets_time_open_and_its_percentiles() -> None:
    story = outage("a", "b", targets={"rto": 5.0})
    story.events = [e for e in story.events if not (e.kind == "probe" and e["d"] == "b")]
    failing(story, 101, 107)
    result = story.result()
    move = result.transitions[0]
    assert same(move.rto, 5, None)
    assert same(move.rto_p50, 0, 7.01)
    assert same(move.rto_p95, 5, None)
    assert of(result, "every Deployment is restored") == "INCONCLUSIVE"
    assert (result.verdict, move.never_restored) == ("INCONCLUSIVE", [])


def test_where_nobody_was_watched_there_is_no_time_at_all() -> None:
    story = outage()
    story.events = [e for e in story.events if e.kind != "probe"]
    move = story.result().transitions[0]
    assert (move.rto, move.rto_p50, move.rto_p95) == (None, None, None)


# -- the end of the run -----------------------------------------------------------------------------------


def ended(story: Story) -> bool | None:
    return rto.up_at_end(past(story))["a"]


def settled(story: Story) -> Story:
    story.start("a")
    story.settle(200, held())
    return story


def test_up_at_the_end_is_a_fresh_success_in_the_last_intervals(story: Story) -> None:
    settled(story)
    story.probes(160, 204, "a")
    assert ended(story) is True


@pytest.mark.parametrize(("seen", "up"), [(170.0, True), (169.98, False)])
def test_a_success_that_was_seen_too_long_ago_is_not_up(story: Story, seen: float, up: bool) -> None:
    settled(story)  # three canaries of 10 s and a probe of 2 s, before 202
    failing(story, 160, 204)
    story.probe(seen - 0.01, "a", scheduled=seen - 2)
    for at in (201, 201.5):  # it answers at the end, and shows nothing new
        story.probe(at, "a")
    assert ended(story) is up


@pytest.mark.parametrize(("scheduled", "up"), [(138.0, True), (137.9, False)])
def test_an_old_success_that_is_seen_late_is_not_up(story: Story, scheduled: float, up: bool) -> None:
    settled(story)
    failing(story, 160, 204)
    story.probe(190, "a", scheduled=scheduled)
    for at in (201, 201.5):
        story.probe(at, "a")
    assert ended(story) is up


def test_a_success_at_the_wrong_site_is_not_up(story: Story) -> None:
    story.start("a", sites={"west": "primary", "east": "secondary"})
    next(e for e in story.events if e.kind == "fleet.up").data["addresses"] = {"1.1.1.1": "west", "2.2.2.2": "east"}
    story.request(101, "west", "east")
    story.settle(200, held())
    for at in range(160, 204, 2):
        story.probe(at, "a", scheduled=at - 1, address="1.1.1.1")
    assert ended(story) is False


def test_at_the_end_a_deployment_that_nobody_watches_is_not_known(story: Story) -> None:
    settled(story)
    failing(story, 100, 180)
    assert ended(story) is None


def test_a_drill_that_never_settled_says_nothing_of_its_end(story: Story) -> None:
    story.start("a")
    story.look(150, held())
    story.probes(100, 204, "a")
    assert ended(story) is None


# -- what lies before the fault and after the settling ----------------------------------------------------------


def test_failures_before_the_fault_and_after_the_settling_are_not_its_own(story: Story) -> None:
    moved(story)
    failing(story, 80, 100.5)
    story.probes(102, 200, "a")
    failing(story, 200, 240)
    assert same(recovery(story).api, 0, 2)


@pytest.mark.parametrize("probes", [[(60, 140), (202, 260)], [(60, 100), (130, 260)]])
def test_probes_before_the_fault_and_after_the_settling_watch_nothing(
    story: Story, probes: list[tuple[int, int]]
) -> None:
    moved(story)
    for span in probes:
        failing(story, *span)
    assert recovery(story).rto is None


def test_a_success_after_the_settling_is_no_recovery(story: Story) -> None:
    moved(story)
    failing(story, 101, 200)
    story.probes(200, 240, "a")
    assert not recovery(story).restored


def test_the_probe_before_a_sighting_may_have_come_before_the_fault(story: Story) -> None:
    moved(story)
    story.events = [event for event in story.events if event.kind != "epoch"]
    story.epoch(101, "east", 2, error=0)
    story.probe(96, "a", ok=False)
    story.probe(103, "a", scheduled=102)
    story.probes(105, 202, "a")
    assert same(recovery(story).rto, 0, 3.01)


# -- between transitions ----------------------------------------------------------------------------------------------


def answering(story: Story, since: int, until: int, *gaps: tuple[float, float]) -> None:
    """Probes every 2 s, failed within the gaps."""
    for at in range(since, until, 2):
        down = any(a <= at <= b for a, b in gaps)
        story.probe(at, "a", ok=not down, scheduled=None if down else at - 1)


def between(story: Story, name: str = "a") -> bool | None:
    return rto.up_between(past(story)).get(name)


@pytest.mark.parametrize(("gap", "up"), [((20, 52), True), ((20, 54), False)])
def test_a_deployment_is_down_between_moves_when_its_probes_fail_for_more_than_a_relapse(
    story: Story, gap: tuple[float, float], up: bool
) -> None:
    settled(story)
    answering(story, 4, 202, gap)
    assert between(story) is up


@pytest.mark.parametrize("gap", [(99, 139), (80, 115), (125, 172)])
def test_what_fails_from_the_fault_to_the_settling_is_the_transitions_own(story: Story, gap: tuple[float, float]) -> None:
    moved(story, settled=140, asked=99)
    story.settle(400, held())
    answering(story, 4, 402, gap)
    assert between(story) is True


@pytest.mark.parametrize("gap", [(60, 115), (125, 175), (60, 180)])
def test_what_fails_longer_before_the_fault_or_after_the_settling_is_not(story: Story, gap: tuple[float, float]) -> None:
    moved(story, settled=140, asked=99)
    story.settle(400, held())
    answering(story, 4, 402, gap)
    assert between(story) is False


def test_one_answer_between_failures_is_an_answer(story: Story) -> None:
    settled(story)
    answering(story, 4, 202, (20, 50), (54, 84))
    assert between(story) is True


def test_after_the_last_look_and_without_one_nobody_promises_anything(story: Story) -> None:
    settled(story)
    answering(story, 4, 402, (190, 400))
    assert between(story) is True
    story.events = [event for event in story.events if event.kind != "settled"]
    story.snapshots.clear()
    assert rto.up_between(past(story)) == {}


def seeing_nothing_new(story: Story, since: float, until: float) -> None:
    """The probes of this span are answered, and all of them show the canary of its begin."""
    for event in story.events:
        if event.kind == "probe" and since < event.monotonic < until:
            event.data["canary"] = {"run": "old", "scheduled": since - 1.0, "ended": since}


@pytest.mark.parametrize(("until", "up"), [(57, True), (59, False)])
def test_a_deployment_that_answers_and_runs_no_task_is_down_between_moves_as_well(
    story: Story, until: int, up: bool
) -> None:
    settled(story)
    answering(story, 4, 202)
    seeing_nothing_new(story, 20, until)
    assert between(story) is up


def test_a_deployment_that_runs_no_task_up_to_the_last_look_was_down(story: Story) -> None:
    settled(story)
    answering(story, 4, 202)
    seeing_nothing_new(story, 120, 202)
    assert between(story) is False


@pytest.mark.parametrize(("disrupts", "up"), [(False, True), (True, False)])
def test_what_the_drill_broke_without_meaning_to_disrupt_may_make_tasks_wait(story: Story, disrupts: bool, up: bool) -> None:
    settled(story)
    answering(story, 4, 202)
    seeing_nothing_new(story, 40, 140)
    story.fault(39, fault="link", disrupts=disrupts)
    story.event(139, "undo.outcome", undo={"mend": "link"})
    story.events.sort(key=lambda event: event.monotonic)
    assert between(story) is up
    if not disrupts:
        seeing_nothing_new(story, 139, 180)
        assert between(story) is False


@pytest.mark.parametrize(("until", "up"), [(34, True), (36, None)])
def test_a_time_between_moves_that_nobody_watched_is_not_known(story: Story, until: int, up: bool | None) -> None:
    settled(story)
    answering(story, 4, 202)
    story.events = [event for event in story.events if event.kind != "probe" or not 20 < event.monotonic < until]
    assert between(story) is up
    story.probe(80, "a", ok=False)
    for event in story.events:
        if event.kind == "probe" and 60 < event.monotonic < 120:
            event.data.update(outcome="failed")
    assert between(story) is False  # what was seen decides


def test_a_deployment_that_no_transition_moves_is_not_excused_by_those_of_others(story: Story) -> None:
    moved(story, "a", "b", settled=300)
    for event in story.events:
        if event.kind == "trigger.accepted":
            event.data["deployments"] = ["a"]
    for at in range(4, 302, 2):
        for name in ("a", "b"):
            story.probe(at, name, ok=not 100 < at < 280, scheduled=at - 1)
    assert rto.up_between(past(story)) == {"a": True, "b": False}


@pytest.mark.parametrize(("failing_since", "up"), [(199, False), (200, True), (202, True)])
def test_a_deployment_whose_last_two_probes_failed_is_not_up(story: Story, failing_since: float, up: bool) -> None:
    settled(story)  # the last two before 202 are at 198 and 200
    answering(story, 160, 210, (failing_since - 1.5, 999))
    assert ended(story) is up
