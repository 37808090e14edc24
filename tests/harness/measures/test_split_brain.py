"""What a site got accepted while another one reigned."""

from __future__ import annotations

import pytest

from harness.measures import split_brain
from harness.measures.result import SplitBrain
from harness.testing import Story, held
from tests.harness.measures.runs import outage, past, round_trip


def moved(story: Story, *fleet: str, error: float = 0.1) -> Story:
    """A failover from west to east; the epoch begins at 105."""
    story.start(*(fleet or ("a",)))
    story.request(101, "west", "east")
    story.epoch(105, "east", 2, error=error)
    story.complete(106)
    story.settle(200, held())
    return story


def found(story: Story, move: int | None = None, deployment: str | None = None) -> SplitBrain:
    history = past(story)
    split_brain.find(history)
    return split_brain.of(history, move, deployment)


def counts(split: SplitBrain) -> dict[str, tuple[int, int | None]]:
    """Kinds that are not nothing, at least and at most."""
    return {kind: (getattr(split, kind).low, getattr(split, kind).high) for kind in split_brain.KINDS
            if getattr(split, kind).high != 0}


@pytest.mark.parametrize(("at", "low", "high"), [
    (104.9, 0, 0), (104.91, 0, 1), (105.1, 0, 1), (105.11, 1, 1), (150.0, 1, 1)])
def test_a_commit_of_the_old_site_counts_from_the_new_epoch_on(story: Story, at: float, low: int, high: int) -> None:
    moved(story)
    story.ack(at, 1)
    assert counts(found(story)) == ({"database_writes": (low, high)} if high else {})


@pytest.mark.parametrize(("at", "low", "high"), [
    (105.1, 0, 0), (105.09, 0, 1), (104.9, 0, 1), (104.89, 1, 1), (50.0, 1, 1)])
def test_a_commit_of_the_new_site_counts_up_to_its_epoch(story: Story, at: float, low: int, high: int) -> None:
    moved(story)
    story.ack(at, 1, region="east")
    assert counts(found(story)) == ({"database_writes": (low, high)} if high else {})


def test_a_row_was_accepted_some_time_between_its_attempt_and_its_acknowledgement(story: Story) -> None:
    moved(story)
    story.ack(106, 1)
    story.ack(107, 2)
    for told, at in zip(story.witness, (105.0, 106, 105.11, 107), strict=True):
        told["t"] = at
    assert counts(found(story)) == {"database_writes": (1, 2)}


def test_the_first_of_several_attempts_is_the_one_that_counts(story: Story) -> None:
    moved(story)
    story.ack(106, 1)
    story.witness += [story.witness[0] | {"t": 104.0}, story.witness[0] | {"t": 105.5}]
    assert counts(found(story)) == {"database_writes": (0, 1)}


def test_an_attempt_that_nobody_accepted_is_no_write(story: Story) -> None:
    moved(story)
    story.ack(150, 1)
    story.witness.pop()
    assert counts(found(story)) == {}


def test_everything_that_a_site_does_has_its_kind(story: Story) -> None:
    moved(story)
    story.ack(150, 1)
    for number, kind in enumerate(("state", "xcom", "dagrun")):
        story.airflow(150 + number, kind, "t1")
    story.life("start", 151, "t1")
    story.life("effect", 152, "t1")
    story.life("effect", 153, "t1")
    story.log(154, "l")
    story.image(155, "i")
    split = found(story)
    assert counts(split) == {"database_writes": (4, 4), "side_effects": (2, 2), "starts": (1, 1), "objects": (2, 2)}
    assert (split.total.low, split.total.high) == (9, 9)
    assert split.starts.examples == ["a west 1 wide run1 t1 -1"]
    assert split.objects.examples == ["a west task-logs l", "west images i"]


def test_what_was_sent_twice_counts_once(story: Story) -> None:
    moved(story)
    story.ack(150, 1)
    story.life("effect", 152, "t1")
    for number, told in enumerate(story.witness):
        told |= {"cl": "c", "q": number}
    story.witness += [dict(told) for told in story.witness]
    assert counts(found(story)) == {"database_writes": (1, 1), "side_effects": (1, 1)}


def test_two_effects_at_one_moment_are_two_where_the_client_numbers_them(story: Story) -> None:
    moved(story)
    for number in (1, 2):
        story.life("effect", 152, "t1")
        story.witness[-1] |= {"cl": "c", "q": number}
    assert counts(found(story)) == {"side_effects": (2, 2)}


def test_what_the_old_site_does_before_the_new_epoch_is_no_split_brain_however_long_it_is_cut_off(story: Story) -> None:
    moved(story)
    story.fault(50, fault="partition")
    for at in range(50, 104):
        story.ack(at, at)
        story.life("start", at, f"t{at}")
    assert counts(found(story)) == {}


def test_each_deployment_is_held_against_its_own_epochs(story: Story) -> None:
    story.start("a", "b")
    story.request(100, "west", "east")
    story.epoch(110, "east", 2, "a")
    story.epoch(300, "east", 2, "b")
    story.settle(400, held())
    story.ack(200, 1, deployment="a")
    story.ack(200, 1, deployment="b")
    story.ack(250, 2, deployment="b", region="east")
    assert counts(found(story, deployment="a")) == {"database_writes": (1, 1)}
    assert counts(found(story, deployment="b")) == {"database_writes": (1, 1)}
    history = past(story)
    split_brain.find(history)
    each = split_brain.by_deployment(history)
    assert {name: split.database_writes.examples for name, split in each.items()} == {
        "a": ["a west ledger west/w 1"], "b": ["b east ledger east/w 2"]}
    assert found(story).database_writes.low == 2


def test_an_image_is_misplaced_only_where_no_deployment_reigns(story: Story) -> None:
    story.start("a", "b")
    story.request(100, "west", "east")
    story.epoch(110, "east", 2, "a")
    story.epoch(300, "east", 2, "b")
    story.settle(400, held())
    for at, site in ((90, "west"), (200, "west"), (200, "east"), (350, "east"), (350, "west"), (90, "east")):
        story.image(at, f"i{at}", region=site)
    assert found(story).objects.examples == ["east images i90", "west images i350"]


def test_a_site_may_write_in_each_of_its_reigns() -> None:
    story = round_trip()
    assert counts(found(story)) == {}
    story.ack(220, 1, region="east")
    story.ack(180, 2, region="west")
    assert counts(found(story)) == {"database_writes": (2, 2)}


def test_what_comes_after_a_transition_is_counted_with_it() -> None:
    story = round_trip()
    story.ack(50, 1, region="east")  # before any
    story.ack(180, 2, region="west")
    story.ack(220, 3, region="east")
    story.ack(221, 4, region="east")
    assert [found(story, move).database_writes.low for move in (0, 1)] == [1, 2]
    assert found(story).database_writes.low == 4


def test_where_the_epoch_is_only_inferred_what_lies_between_is_uncertain() -> None:
    story = outage(told=False)
    story.ack(102, 1)
    story.ack(106, 2)
    assert counts(found(story)) == {"database_writes": (1, 2)}


def test_a_clock_that_is_a_little_slow_hides_no_write_of_the_old_site() -> None:
    story = outage()
    story.ack(104.84, 9000)  # by a clock that is 0.09 s behind: 104.93, when the new epoch had begun
    for told in story.witness:
        told["w"] = told["t"] + (0.1 if told["r"] == "west" else 0.01)
    assert counts(found(story))["database_writes"] == (0, 2)  # and the new site's first one


def test_a_site_without_an_epoch_and_without_a_name_is_judged_too(story: Story) -> None:
    story.start("a")
    story.settle(200, held())
    story.ack(90, 1, region="north")
    story.ack(91, 2, region="")
    assert counts(found(story)) == {"database_writes": (1, 1)}


def test_examples_are_the_first_few(story: Story) -> None:
    moved(story)
    for number in range(9):
        story.ack(190 - number, number)
    assert found(story).database_writes.examples == [f"a west ledger west/w {n}" for n in (8, 7, 6, 5, 4)]


# -- what was not heard -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("site", "since", "until", "deaf"), [
    ("west", 150, 400, True),  # it may have written while the other one reigned
    ("west", 60, 84, False),  # it was its own reign
    ("east", 150, 400, False),
    ("east", 50, 84, True),  # the standby
])
def test_a_site_that_was_not_heard_while_it_did_not_reign_leaves_the_count_open(
    story: Story, site: str, since: float, until: float, deaf: bool
) -> None:
    moved(story)
    story.silence(site, since, until)
    assert past(story).silences
    assert (found(story).database_writes.high is None) is deaf
    assert (found(story, 0).database_writes.high is None) is (deaf and since > 100)


def test_a_silence_counts_against_every_deployment(story: Story) -> None:
    moved(story, "a", "b")
    story.silence("west", 150, 400)
    assert found(story, deployment="b").total.high is None


def test_where_nothing_could_be_counted_nothing_is_known() -> None:
    assert split_brain.NOTHING.total.low == 0
    assert split_brain.NOTHING.total.high is None
