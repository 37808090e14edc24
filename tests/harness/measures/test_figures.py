"""Figures beside the verdict: throughput, exposure, cost, numbers for pictures."""

from __future__ import annotations

from typing import Any

import pytest

from harness.measures import exposure, resources, series, throughput
from harness.measures.interval import Interval
from harness.measures.result import Loss, Series
from harness.testing import Story
from tests.harness.measures.runs import of, outage, past

# -- throughput ---------------------------------------------------------------------------------------------------


def successes(story: Story, since: float, until: float, every: float, region: str = "west", dag: str = "wide") -> None:
    at, number = since, 0
    while at < until:
        story.airflow(at, "state", f"t{region}{number}", region=region, dag=dag)
        at, number = at + every, number + 1


def rates(story: Story, up: float | None = 10.0) -> tuple[float | None, float | None]:
    history = past(story)
    found = throughput.throughput(history, history.moves[0], None if up is None else Interval(low=0, high=up))
    return found.before, found.after


def test_throughput_is_the_last_minute_before_and_from_recovery_to_settling() -> None:
    story = outage()
    successes(story, 20, 100, 0.5)
    successes(story, 105, 200, 0.25, "east")
    assert rates(story) == (2.0, 4.0)


def test_canaries_and_the_other_site_and_other_acknowledgements_do_not_count() -> None:
    story = outage()
    successes(story, 20, 100, 1)
    successes(story, 20, 100, 0.1, dag="canary")
    successes(story, 20, 100, 0.1, region="east")
    for at in range(20, 100):
        story.airflow(at, "xcom", f"t{at}")
    assert rates(story)[0] == 1.0


def test_a_load_that_began_within_the_minute_is_counted_from_its_begin() -> None:
    story = outage()
    successes(story, 80, 100, 0.5)
    assert rates(story)[0] == 2.0


def test_too_short_a_span_says_nothing() -> None:
    story = outage()
    successes(story, 95.5, 100, 0.5)
    successes(story, 105, 140, 0.5, "east")
    assert rates(story, 36.0) == (None, None)
    assert rates(story, 35.0) == (None, 2.0)


def test_where_nothing_ended_or_nobody_came_back_there_is_no_rate() -> None:
    story = outage()
    assert rates(story) == (None, None)
    successes(story, 105, 140, 0.5, "east")
    assert rates(story, None) == (None, None)
    history = past(story)
    assert throughput.throughput(history, history.moves[0], Interval.at_least(5)).after is None


# -- exposure ------------------------------------------------------------------------------------------------------


def lag(story: Story, at: float, seconds: float, state: str = "streaming", size: int = 0) -> None:
    story.event(at, "sample", states={"running": 3}, answered=1, lag={"state": state, "lag_s": seconds, "lag_bytes": size})


def test_exposure_is_the_lag_before_the_fault(story: Story) -> None:
    for number in range(1, 101):
        lag(story, number, number / 10, size=number)
    lag(story, 101, 99.0)
    lag(story, 50.5, 99.0, "catchup")
    found = exposure.exposure(story.tables(), 100)
    assert (found.samples, found.p50_s, found.p99_s, found.max_s, found.max_bytes) == (100, 5.0, 9.9, 10.0, 100)


def test_without_samples_there_is_no_exposure(story: Story) -> None:
    found = exposure.exposure(story.tables(), 100)
    assert (found.samples, found.p50_s, found.p99_s, found.max_s, found.max_bytes) == (0, None, None, None, None)


# -- the cost ------------------------------------------------------------------------------------------------------


def used(at: float, group: str, part: str, cpu: float, mib: float | None = None) -> dict[str, Any]:
    return {"t": at, "group": group, "part": part, "processes": 1, "cpu_s": cpu, "pss_mib": mib}


def costly() -> Story:
    story = outage()
    story.event(60, "load.reached", running=10)
    story.event(98, "phase.ended", phase="load", index=0)
    for at in (50, 65, 95, 150):
        story.usage += [used(at, "airflow", "scheduler", at, 100.0 if at == 65 else 80.0 if at == 95 else None),
                        used(at, "postgresql", "west", at / 2, 40.0 if at == 65 else None),
                        used(at, "environment", "aws", at / 10), used(at, "harness", "prober", at / 10, 10.0 if at == 65 else None)]
    successes(story, 55, 100, 0.5)
    return story


def test_the_cost_of_a_run_by_group_and_part() -> None:
    found = resources.resources(past(costly()))
    assert found.cpu_s == {"airflow": {"scheduler": 150.0}, "postgresql": {"west": 75.0},
                           "environment": {"aws": 15.0}, "harness": {"prober": 15.0}}
    assert found.harness_share == pytest.approx(15 / 255, abs=1e-4)
    assert (found.memory_peak_mib, found.memory_by_group_mib) == (
        150.0, {"airflow": 100.0, "harness": 10.0, "postgresql": 40.0})


def test_the_cost_of_a_task_is_counted_while_the_load_was_held() -> None:
    found = resources.resources(past(costly()))
    assert (found.held_seconds, found.held_tasks) == (30.0, 61)
    assert found.held_cores == pytest.approx(1.7)  # 30 s of 1 + 0.5 + 0.1 + 0.1
    assert found.cpu_s_per_task == pytest.approx(30 * 1.6 / 61, abs=1e-4)


@pytest.mark.parametrize("lacking", ["load.reached", "phase.ended", "readings"])
def test_a_load_that_was_not_held_between_two_readings_has_no_cost_of_a_task(lacking: str) -> None:
    story = costly()
    story.events = [e for e in story.events if e.kind != lacking]
    if lacking == "readings":
        story.usage = [line for line in story.usage if line["t"] != 65]
    found = resources.resources(past(story))
    assert (found.held_seconds, found.held_cores, found.held_tasks, found.cpu_s_per_task) == (None,) * 4


def test_a_load_without_a_task_has_no_cost_of_one() -> None:
    story = costly()
    story.witness = [told for told in story.witness if told.get("k") != "state"]
    found = resources.resources(past(story))
    assert (found.held_tasks, found.cpu_s_per_task) == (0, None)


def test_a_run_that_nobody_metered_has_no_cost() -> None:
    found = resources.resources(past(outage()))
    assert (found.cpu_s, found.harness_share, found.memory_peak_mib, found.memory_by_group_mib) == ({}, None, None, {})


# -- pictures ------------------------------------------------------------------------------------------------------


def test_how_much_ran_is_none_where_no_database_answered(story: Story) -> None:
    story.start("a")
    for at, answered, running in ((10.0, 1, 5), (12.0, 0, 0), (14.0, 2, 7)):
        story.event(at, "sample", states={"running": running}, answered=answered)
    found = series.running(past(story))
    assert (found.at, found.values) == ([10.0, 12.0, 14.0], [5.0, None, 7.0])


def test_commits_a_second_around_the_fault_by_site() -> None:
    story = outage()
    story.ack(99.5, 1)
    history = past(story)
    nothing = Loss(acknowledged=1, lost=0, recovered_later=0, rpo=Interval(low=50, high=60))
    found = series.ledger(history, history.moves[0], nothing)
    assert found["west"].at == found["east"].at == [float(second) for second in range(-20, 40)]
    assert dict(zip(found["west"].at, found["west"].values, strict=True))[-1.0] == 2.0
    assert (sum(v or 0 for v in found["west"].values), sum(v or 0 for v in found["east"].values)) == (11.0, 35.0)
    lossy = nothing.model_copy(update={"lost": 3})
    assert series.ledger(history, history.moves[0], lossy)["west"].at[0] == -55.0


def test_pictures_end_after_a_minute_and_a_half() -> None:
    story = outage()
    next(e for e in story.events if e.kind == "settled")
    history = past(story)
    longer = history.moves[0].__class__(**{**vars(history.moves[0]), "settled": 500.0})
    nothing = Loss(acknowledged=1, lost=0, recovered_later=0, rpo=None)
    assert series.ledger(history, longer, nothing)["west"].at[-1] == 89.0
    unsettled = history.moves[0].__class__(**{**vars(longer), "settled": None, "until": 130.0})
    assert series.ledger(history, unsettled, nothing)["west"].at[-1] == 29.0


def test_everything_is_in_the_result() -> None:
    story = costly()
    lag(story, 70, 0.5, size=7)
    story.event(99, "load.at-fault", running=12)
    story.event(20, "phase.started", index=0, phase="load")
    story.event(101, "phase.started", index=1, phase="failover")
    result = story.result()
    move = result.transitions[0]
    assert (move.exposure.samples, move.throughput.before, result.resources.held_tasks) == (1, 2.0, 61)
    assert (result.run.concurrent_tasks_at_fault, result.run.concurrent_tasks_asked, result.run.deployments) == (12, 10, 1)
    assert [(p.name, p.began, p.ended) for p in result.run.phases] == [
        ("bring up", 0, 2), ("load", 20, 98), ("failover", 101, result.run.ended)]
    assert [step.name for step in move.steps] == [
        "provision-database-compute", "promote-database", "inflate", "move-dns"]
    assert (move.t_fault, move.t_request, move.t_completed, move.t_settled) == (100, 101, 106, 140)
    assert move.t_epoch == pytest.approx(104.91)
    assert move.t_epoch_error_s == pytest.approx(0.02)
    assert (result.run.id, result.run.seed, result.run.simulated, result.run.settings) == (
        "r1", 1, ["everything"], {"A": "1"})
    assert result.run.lateness_p99_ms == 0.0
    assert isinstance(result.run.running, Series)
    assert of(result, "every") == "PASS"
