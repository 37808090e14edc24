"""Recovery time from probes."""

import pytest

from harness.measures import rto
from harness.measures.timeline import Transition, transitions
from tests.conftest import Story, held


def moved(story: Story, settled: float = 200.0) -> Transition:
    story.ack(105, 1, region="east")
    story.failover(100, 101, 106, settled, held())
    return transitions(story.evidence())[0]


def recover(story: Story, transition: Transition, *fleet: str) -> rto.FleetRecovery:
    return rto.recovery(story.tables(), transition, list(fleet), 2.0, 10.0)


def test_a_deployment_is_up_when_a_task_scheduled_by_the_new_writer_was_seen_to_succeed(
    story: Story,
) -> None:
    story.start("a")
    story.probe(110, "a", scheduled=99)  # scheduled by the old writer: does not count
    story.probe(112, "a", scheduled=107)
    for at in range(114, 200, 10):
        story.probe(at, "a", scheduled=at - 2)
    found = recover(story, moved(story), "a")
    assert found.fleet is not None
    assert found.fleet.value == pytest.approx(12.01)
    assert found.fleet.error == 2.0


def test_a_canary_of_the_old_reign_read_after_a_planned_move_does_not_count(story: Story) -> None:
    story.start("a")
    story.ack(105, 1, region="west")
    story.failover(100, 100, 106, 130, held(), planned=True)
    transition = transitions(story.evidence())[0]
    story.probe(102, "a", scheduled=101)  # after the request, but by the old writer
    assert recover(story, transition, "a").deployments[0].rto.censored


def test_a_deployment_that_never_came_back_is_censored_and_is_the_fleets_figure(
    story: Story,
) -> None:
    story.start("a", "b")
    for at in range(110, 200, 5):
        story.probe(at, "a", scheduled=at - 2)
        story.probe(at, "b", ok=False)
    found = recover(story, moved(story), "a", "b")
    assert found.fleet is not None
    assert found.fleet.censored
    assert found.fleet.value == pytest.approx(100.0)


def test_after_a_relapse_a_deployment_is_up_only_from_its_last_recovery(story: Story) -> None:
    story.start("a")
    story.probe(110, "a", scheduled=108)
    for at in range(150, 200, 5):
        story.probe(at, "a", scheduled=at - 2)
    found = recover(story, moved(story), "a")
    assert found.deployments[0].rto.value == pytest.approx(50.01)


def test_a_deployment_that_is_down_again_at_the_end_was_not_restored(story: Story) -> None:
    story.start("a")
    story.probe(110, "a", scheduled=108)
    story.probe(190, "a", ok=False)
    assert recover(story, moved(story), "a").deployments[0].rto.censored


def test_the_time_to_a_healthy_api_is_a_figure_of_its_own(story: Story) -> None:
    story.start("a")
    story.probe(104, "a", ok=False)
    story.probe(106, "a", scheduled=99)
    for at in range(130, 200, 5):
        story.probe(at, "a", scheduled=at - 2)
    found = recover(story, moved(story), "a").deployments[0]
    assert found.api.value == pytest.approx(6.01)
    assert found.rto.value == pytest.approx(30.01)


def test_without_a_commit_of_the_new_writer_nothing_is_restored(story: Story) -> None:
    story.start("a")
    story.probe(110, "a", scheduled=108)
    story.failover(100, 101, 106, 200, held())
    assert recover(story, transitions(story.evidence())[0], "a").deployments[0].rto.censored
