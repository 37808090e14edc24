"""Loss of acknowledged writes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.measures import rpo
from tests.conftest import Story, held


def test_what_was_acknowledged_before_the_fault_and_is_absent_is_lost(story: Story) -> None:
    for number, at in enumerate((90, 95, 98), 1):
        story.ack(at, number)
    loss = rpo.metadata(story.tables(now=held({("a", "west/w", 1)}), last=held()), "west", 100.0, "now", "last")
    assert (loss.acknowledged, loss.lost) == (3, 2)
    assert loss.window.value == pytest.approx(5)  # from the oldest lost one to the fault
    assert loss.examples[0]["n"] == 2


def test_nothing_lost_is_a_window_of_zero(story: Story) -> None:
    story.ack(90, 1)
    rows = {("a", "west/w", 1)}
    loss = rpo.metadata(story.tables(now=held(rows), last=held(rows)), "west", 100.0, "now", "last")
    assert (loss.lost, loss.window.value, loss.window.error) == (0, 0.0, 0.0)


def test_what_a_cut_off_writer_acknowledged_after_the_fault_is_stranded(story: Story) -> None:
    for number, at in enumerate((99, 103, 112, 119, 131), 1):
        story.ack(at, number)
    tables = story.tables(now=held({("a", "west/w", 1), ("a", "west/w", 2)}), last=held())
    rpo.metadata(tables, "west", 100.0, "now", "last")
    found = rpo.stranded(tables, "west", 100.0, 130.0, "now")
    assert found.count == 2  # the second has survived, the last came after the promotion: split brain
    assert found.window.value == pytest.approx(19)


def test_acknowledgements_after_the_fault_do_not_count(story: Story) -> None:
    story.ack(101, 1)
    assert rpo.metadata(story.tables(now=held(), last=held()), "west", 100.0, "now", "last").acknowledged == 0


@pytest.mark.parametrize("stream", list(rpo.OBJECTS))
def test_what_arrives_late_is_lost_and_also_recovered_later(story: Story, stream: str) -> None:
    story.witness.append({"e": "ack", "s": stream, "d": "a", "r": "west", "t": 99, "key": "k"})
    later = [{"f": rpo.OBJECTS[stream], "key": "k"}]
    loss = rpo.objects(story.tables(now=held(), last=later), stream, "west", 100.0, "now", "last")
    assert (loss.lost, loss.recovered_later) == (1, 1)
    assert loss.window.value == pytest.approx(1)


def test_an_attempt_without_an_answer_is_unknown_and_recovered_when_it_is_there(
    story: Story,
) -> None:
    for number in (1, 2):
        story.witness.append({"e": "try", "s": "ledger", "d": "a", "r": "west", "wr": "west/w",
                              "n": number, "t": 99})
    loss = rpo.metadata(story.tables(now=held({("a", "west/w", 2)}), last=held()), "west", 100.0, "now", "last")
    assert (loss.acknowledged, loss.unknown, loss.recovered, loss.lost) == (0, 2, 1, 0)


def test_a_row_that_nobody_attempted_is_a_phantom(story: Story) -> None:
    loss = rpo.metadata(story.tables(now=held({("a", "west/w", 7)}), last=held()), "west", 100.0, "now", "last")
    assert loss.phantom == 1


def test_a_success_that_was_forgotten_and_run_again_is_lost(story: Story) -> None:
    record = {"e": "ack", "s": "airflow", "k": "state", "d": "a", "r": "west", "dag": "wide",
              "run": "r", "task": "t", "map": -1, "n": 1, "t": 99}
    story.witness.append(record)
    key = ("a", "wide", "r", "t", -1)
    kept = rpo.metadata(story.tables(now=held(tasks={key: ("success", 1)}), last=held()), "west", 100.0, "now", "last")
    again = rpo.metadata(story.tables(now=held(tasks={key: ("success", 2)}), last=held()), "west", 100.0, "now", "last")
    assert (kept.lost, again.lost, again.parts) == (0, 1, {"state": 1})


@settings(deadline=None, max_examples=40)
@given(st.sets(st.integers(1, 60)), st.sets(st.integers(1, 60)))
def test_lost_is_exactly_acknowledged_and_not_there(acked: set[int], there: set[int]) -> None:
    story = Story()
    for number in sorted(acked):
        story.ack(float(number), number)
    rows = {("a", "west/w", number) for number in there}
    loss = rpo.metadata(story.tables(now=held(rows), last=held()), "west", 100.0, "now", "last")
    missing = acked - there
    assert loss.lost == len(missing)
    assert loss.phantom == len(there - acked)
    assert loss.window.value == (100 - min(missing) if missing else 0)
