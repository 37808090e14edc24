"""Two writers at once, and what became of tasks in flight."""

from harness.measures import split_brain, tasks
from harness.measures.timeline import Transition, transitions
from tests.conftest import Story, held


def moved(story: Story) -> Transition:
    story.ack(105, 1, region="east")
    story.failover(100, 101, 106, 200, held())
    story.event(210, "run.ended")
    return transitions(story.evidence())[0]


def found_in(story: Story) -> split_brain.SplitBrain:
    transition = moved(story)
    return split_brain.split_brain(story.tables(), transition)


def test_a_commit_of_the_old_writer_after_the_new_epoch_is_a_split_brain_write(
    story: Story,
) -> None:
    story.start("a")
    story.ack(104, 8)  # before the new epoch: no split brain
    story.ack(106, 9)
    found = found_in(story)
    assert (found.database_writes, found.examples[0]["n"]) == (1, 9)


def test_a_side_effect_from_the_region_that_was_left_is_counted_apart(story: Story) -> None:
    story.start("a")
    story.life("effect", 120, "t1")
    found = found_in(story)
    assert (found.database_writes, found.side_effects, found.total) == (0, 1, 1)


def test_the_same_task_with_signs_of_life_from_both_regions_at_once_is_a_double_run(
    story: Story,
) -> None:
    story.start("a")
    story.life("start", 95, "t1")
    story.life("start", 110, "t1", number=2, region="east")
    story.life("start", 111, "t1")
    assert found_in(story).double_runs == 1


def test_a_task_that_merely_runs_again_in_the_new_region_is_no_double_run(story: Story) -> None:
    story.start("a")
    story.life("start", 95, "t1")
    story.life("start", 110, "t1", number=2, region="east")
    assert found_in(story).total == 0


def test_life_in_the_standby_of_a_healthy_run_is_an_intruder(story: Story) -> None:
    story.ack(10, 1)
    story.ack(11, 2, region="east")
    assert split_brain.intruders(story.tables(), "west").database_writes == 1


def outcome(story: Story, state: str | None, tries: int) -> dict[str, int]:
    transition = moved(story)
    snapshot = held(tasks={("a", "wide", "run1", "t1", -1): (state, tries)} if state else {})
    return tasks.outcomes(story.tables(now=snapshot), transition, "now").counts


def test_each_task_in_flight_ends_as_exactly_one_outcome(story: Story) -> None:
    story.start("a")
    story.life("start", 95, "t1")
    for state, tries, expected in (("success", 1, "survived"), ("success", 2, "retried"),
                                   ("failed", 1, "lost"), (None, 0, "lost"),
                                   ("running", 1, "stuck"), ("up_for_retry", 1, "stuck")):
        counts = outcome(story, state, tries)
        assert counts[expected] == 1, (state, expected, counts)
        assert sum(counts.values()) == 1


def test_two_tries_that_both_had_their_effect_are_duplicated(story: Story) -> None:
    story.start("a")
    story.life("start", 95, "t1")
    story.life("effect", 101, "t1")
    story.life("effect", 130, "t1", number=2, region="east")
    assert outcome(story, "success", 2)["duplicated"] == 1


def test_a_task_that_had_its_effect_before_the_fault_was_not_in_flight(story: Story) -> None:
    story.start("a")
    story.life("start", 80, "t1")
    story.life("effect", 95, "t1")
    transition = moved(story)
    assert tasks.outcomes(story.tables(), transition, "settled-1").in_flight == 0
