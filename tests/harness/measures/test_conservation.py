"""Every acknowledged write of the run, through all looks."""

from __future__ import annotations

from typing import Any

import pytest

from harness.measures import conservation
from harness.measures.conservation import total
from harness.measures.result import Fates
from harness.testing import Facts, Story, held
from tests.harness.measures.runs import accounted, everything, forget_rows, outage, round_trip


def looked(story: Story, *looks: tuple[float, Facts]) -> Story:
    for at, facts in looks:
        story.settle(at, facts)
    return story


def rows(*numbers: int, region: str = "west", deployment: str = "a") -> Facts:
    return held({(deployment, f"{region}/w", number) for number in numbers})


def fates(story: Story, name: str = "a", stream: str = "metadata") -> Fates:
    return conservation.fates(accounted(story))[name][stream]


def counts(found: Fates) -> dict[str, Any]:
    """All counts that are not nothing."""
    return {name: count for name, count in found.model_dump(exclude={"examples"}).items() if count}


def lost_at(story: Story) -> dict[str, int | None]:
    """Each write that is not held, with the transition that it was lost at."""
    return {row["ident"]: row.get("lost_at") for row in accounted(story).tables.rows("select ident, lost_at from fates")}


def test_what_every_look_shows_is_held(story: Story) -> None:
    story.start("a")
    story.ack(90, 1)
    looked(story, (100, rows(1)), (200, rows(1)))
    assert counts(fates(story)) == {"acknowledged": 1, "held": 1}


def test_what_the_last_look_does_not_show_is_lost(story: Story) -> None:
    story.start("a")
    story.ack(90, 1)
    story.ack(91, 2)
    looked(story, (100, rows(1, 2)), (200, rows(2)))
    assert counts(fates(story)) == {"acknowledged": 2, "held": 1, "lost": 1}
    assert fates(story).examples == {"lost": ["a: row 1 of west/w"]}


def test_what_only_an_earlier_look_did_not_show_is_recovered_later(story: Story) -> None:
    story.start("a")
    story.ack(90, 1)
    looked(story, (100, rows()), (200, rows(1)))
    assert counts(fates(story)) == {"acknowledged": 1, "recovered_later": 1}


def test_what_vanishes_comes_back_and_vanishes_again_is_lost(story: Story) -> None:
    story.start("a")
    story.ack(90, 1)
    looked(story, (100, rows()), (200, rows(1)), (300, rows()))
    assert counts(fates(story)) == {"acknowledged": 1, "lost": 1}


@pytest.mark.parametrize(("at", "fate"), [(99.9, "lost"), (100.0, "lost"), (100.1, "unjudged")])
def test_a_look_must_show_what_was_acknowledged_before_it_began(story: Story, at: float, fate: str) -> None:
    story.start("a")
    story.ack(at, 1)
    looked(story, (100, rows()))
    assert counts(fates(story)) == {"acknowledged": 1, fate: 1}


@pytest.mark.parametrize(("at", "fate"), [(100.0, "lost"), (100.1, "unjudged")])
@pytest.mark.parametrize("kind", ["state", "log", "image"])
def test_the_same_holds_for_tasks_and_objects(story: Story, kind: str, at: float, fate: str) -> None:
    story.start("a")
    if kind == "state":
        story.airflow(at, "state", "t1")
    else:
        (story.log if kind == "log" else story.image)(at, "k")
    looked(story, (100, []))
    stream = {"state": "metadata", "log": "task-logs", "image": "images"}[kind]
    assert counts(fates(story, "" if kind == "image" else "a", stream)) == {"acknowledged": 1, fate: 1}


def test_what_comes_after_one_look_must_be_in_the_next(story: Story) -> None:
    story.start("a")
    story.ack(150, 1)
    looked(story, (100, rows()), (200, rows()))
    assert counts(fates(story)) == {"acknowledged": 1, "lost": 1}


def test_without_a_look_nothing_is_judged(story: Story) -> None:
    story.start("a")
    story.ack(90, 1)
    assert counts(fates(story)) == {"acknowledged": 1, "unjudged": 1}


def test_another_content_is_corrupted_in_whichever_look(story: Story) -> None:
    story.start("a")
    story.ack(90, 1, content=5)
    bad = held(more=[{"f": "row", "d": "a", "wr": "west/w", "n": 1, "c": 6}])
    looked(story, (100, bad), (200, held(more=[bad[0] | {"c": 5}])))
    assert counts(fates(story)) == {"acknowledged": 1, "corrupted": 1}
    assert fates(story).examples == {"corrupted": ["a: row 1 of west/w"]}


def test_a_row_without_any_content_is_corrupted(story: Story) -> None:
    story.start("a")
    story.ack(90, 1, content=5)
    looked(story, (100, rows(1)))
    found = accounted(story)
    found.tables.db.execute("update held set c = null")
    conservation.account(found)
    assert counts(conservation.fates(found)["a"]["metadata"]) == {"acknowledged": 1, "corrupted": 1}


def test_a_row_in_another_deployments_database_is_misplaced_and_not_lost(story: Story) -> None:
    story.start("a", "b")
    story.ack(90, 1)
    looked(story, (100, held(more=[{"f": "row", "d": "b", "o": "a", "wr": "west/w", "n": 1}])))
    assert counts(fates(story)) == {"acknowledged": 1, "misplaced": 1}
    assert counts(fates(story, "b")) == {}
    assert fates(story).examples["misplaced"] == ["a: row 1 of west/w in the database of b"]


def test_a_row_that_is_also_where_it_belongs_is_misplaced_all_the_same(story: Story) -> None:
    story.start("a", "b")
    story.ack(90, 1)
    looked(story, (100, rows(1) + held(more=[{"f": "row", "d": "b", "o": "a", "wr": "west/w", "n": 1}])))
    assert fates(story).misplaced == 1


def test_a_row_that_nobody_attempted_is_a_phantom(story: Story) -> None:
    story.start("a")
    story.ack(90, 1)
    looked(story, (100, rows(1, 7)))
    assert counts(fates(story)) == {"acknowledged": 1, "held": 1, "phantom": 1}


def test_a_row_that_was_attempted_is_no_phantom_and_unknown_until_a_look_shows_it(story: Story) -> None:
    story.start("a")
    for number in (1, 2):
        story.ack(90, number)
        story.witness.pop()
    looked(story, (100, rows(2)))
    assert counts(fates(story)) == {"unknown": 2, "unknown_held": 1}


def test_an_acknowledgement_alone_is_no_phantom_either(story: Story) -> None:
    story.start("a")
    story.ack(90, 1, tried=False)
    looked(story, (100, rows(1)))
    assert counts(fates(story)) == {"acknowledged": 1, "held": 1}


def test_the_same_number_of_another_writer_or_deployment_is_another_row(story: Story) -> None:
    story.start("a", "b")
    story.ack(90, 1)
    story.ack(90, 1, region="east")
    story.ack(90, 1, deployment="b")
    looked(story, (100, rows(1)))
    assert counts(fates(story)) == {"acknowledged": 2, "held": 1, "lost": 1}
    assert counts(fates(story, "b")) == {"acknowledged": 1, "lost": 1}


def test_a_row_that_is_there_twice_is_duplicated_and_held(story: Story) -> None:
    story.start("a")
    story.ack(90, 1)
    looked(story, (100, rows(1) * 2), (200, rows(1) * 3))
    assert counts(fates(story)) == {"acknowledged": 1, "held": 1, "duplicated": 1}


def test_only_what_one_look_shows_twice_is_duplicated(story: Story) -> None:
    story.start("a", "b")
    for number in (1, 2, 3):
        story.ack(90, number)
    copy = held(more=[{"f": "row", "d": "b", "o": "a", "wr": "west/w", "n": 3}])
    looked(story, (100, rows(1) * 2 + rows(2, 3) + copy), (200, rows(1, 2, 3)))
    assert counts(fates(story)) == {"acknowledged": 3, "held": 3, "duplicated": 1, "misplaced": 1}
    assert fates(story).examples["duplicated"] == ["a: row 1 of west/w twice"]


def test_a_row_that_nobody_attempted_in_another_deployments_database_is_misplaced(story: Story) -> None:
    story.start("a", "b")
    looked(story, (100, held(more=[{"f": "row", "d": "b", "o": "a", "wr": "nobody/w", "n": 1}])))
    assert counts(fates(story)) == {"misplaced": 1}


def test_an_attempt_that_was_told_twice_is_one(story: Story) -> None:
    story.start("a")
    story.ack(90, 1)
    story.witness.pop()
    story.witness *= 2
    looked(story, (100, rows(1)))
    assert counts(fates(story)) == {"unknown": 1, "unknown_held": 1}


def test_a_phantom_in_two_looks_is_one(story: Story) -> None:
    story.start("a")
    story.ack(90, 1)
    looked(story, (100, rows(1, 7)), (200, rows(1, 7, 8)))
    assert fates(story).phantom == 2


def test_records_that_were_sent_twice_count_once_in_every_stream(story: Story) -> None:
    story.start("a")
    story.ack(90, 1)
    story.ack(90, 2)
    story.log(90, "l1")
    story.log(90, "l2")
    story.airflow(90, "state", "t1")
    story.airflow(90, "dagrun")
    story.witness *= 2
    looked(story, (100, rows(1) + held(logs=["l1"])))
    assert counts(fates(story)) == {"acknowledged": 4, "held": 1, "lost": 3}
    assert counts(fates(story, stream="task-logs")) == {"acknowledged": 2, "held": 1, "lost": 1}


def test_numbered_records_that_are_all_there_count_the_same(story: Story) -> None:
    story.start("a")
    story.events[0].data["beat_interval_s"] = 0.0
    story.ack(90, 1)
    story.ack(90, 2)
    story.log(90, "l")
    story.airflow(90, "dagrun")
    for number, told in enumerate(story.witness, 1):
        told |= {"cl": "c", "q": number}
    looked(story, (100, rows(1)))
    assert accounted(story).whole
    assert counts(fates(story)) == {"acknowledged": 3, "held": 1, "lost": 2}


# -- what Airflow acknowledged ----------------------------------------------------------------------------


def ti(state: str = "success", content: int = 1000, tries: int = 1, task: str = "t1") -> Facts:
    return [{"f": "ti", "d": "a", "dag": "wide", "run": "run1", "task": task, "map": -1, "state": state, "try": tries,
             "retries": 2, "c": content}]


@pytest.mark.parametrize(("shown", "lost"), [
    (ti(), 0), (ti("failed"), 1), (ti("running"), 1), (ti(content=2000), 1), (ti(task="t2"), 1), ([], 1)])
def test_a_success_is_held_if_that_very_try_has_succeeded(story: Story, shown: Facts, lost: int) -> None:
    story.start("a")
    story.airflow(90, "state", "t1", content=1000)
    looked(story, (100, shown))
    assert (fates(story).lost, fates(story).held) == (lost, 1 - lost)


def xcom(content: int, task: str = "t1") -> Facts:
    return [{"f": "xcom", "d": "a", "dag": "wide", "run": "run1", "task": task, "map": -1, "c": content}]


@pytest.mark.parametrize(("shown", "fate"), [
    (xcom(1), {"held": 1}), (xcom(2), {"corrupted": 1}), (xcom(1, "t2"), {"lost": 1}), ([], {"lost": 1})])
def test_an_xcom_is_held_with_its_value(story: Story, shown: Facts, fate: dict[str, int]) -> None:
    story.start("a")
    story.airflow(90, "xcom", "t1", content=1)
    looked(story, (100, shown))
    assert counts(fates(story)) == {"acknowledged": 1} | fate


def test_of_an_xcom_that_was_written_again_the_last_value_counts(story: Story) -> None:
    story.start("a")
    story.airflow(90, "xcom", "t1", content=1)
    story.airflow(95, "xcom", "t1", content=2)
    looked(story, (100, xcom(2)))
    assert counts(fates(story)) == {"acknowledged": 1, "held": 1}
    looked(story, (200, xcom(1)))
    assert fates(story).corrupted == 1


def test_xcoms_of_one_task_are_told_apart_by_their_keys(story: Story) -> None:
    story.start("a")
    story.airflow(90, "xcom", "t1", content=1, key="one")
    story.airflow(91, "xcom", "t1", content=2, key="two")
    story.airflow(92, "xcom", "t1", content=3, key="three")
    shown = [xcom(content)[0] | {"key": key} for content, key in ((1, "one"), (9, "two"), (5, "another"))]
    looked(story, (100, shown))
    assert counts(fates(story)) == {"acknowledged": 3, "held": 1, "corrupted": 1, "lost": 1}
    assert fates(story).examples["corrupted"] == ["a: xcom wide run1 t1 -1 two"]


def test_xcoms_of_mapped_tasks_are_told_apart(story: Story) -> None:
    story.start("a")
    story.airflow(90, "xcom", "t1", content=1)
    story.airflow(91, "xcom", "t1", content=2)
    story.witness[-1]["map"] = 3
    looked(story, (100, [*xcom(1), xcom(2)[0] | {"map": 3}]))
    assert counts(fates(story)) == {"acknowledged": 2, "held": 2}


def test_an_acknowledgement_that_was_told_again_counts_from_the_first(story: Story) -> None:
    story.start("a")
    story.airflow(90, "state", "t1", content=1000)
    story.airflow(150, "state", "t1", content=1000)
    looked(story, (100, []))
    assert counts(fates(story)) == {"acknowledged": 1, "lost": 1}


def test_examples_of_what_is_lost_are_the_first_few(story: Story) -> None:
    story.start("a")
    for number in range(9):
        story.ack(90 - number, number)
    looked(story, (100, rows(20, 21, 22, 23, 24, 25)))
    found = fates(story)
    assert found.examples["lost"] == [f"a: row {number} of west/w" for number in (8, 7, 6, 5, 4)]
    assert found.examples["phantom"] == [f"a: row {number} of west/w" for number in (20, 21, 22, 23, 24)]


def test_a_dag_run_is_held_whatever_its_state(story: Story) -> None:
    story.start("a")
    story.airflow(90, "dagrun", dag="wide", content=1)
    story.airflow(90, "dagrun", dag="deep", content=1)
    looked(story, (100, held(runs={("a", "wide", "run1"): "failed"})))
    assert counts(fates(story)) == {"acknowledged": 2, "held": 1, "lost": 1}
    assert [row["part"] for row in accounted(story).tables.rows("select part from fates")] == ["dagrun"]


# -- objects ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "stream", "name"), [("log", "task-logs", "a"), ("image", "images", "")])
def test_objects_are_held_with_their_digest(story: Story, kind: str, stream: str, name: str) -> None:
    story.start("a")
    for number in range(3):
        (story.log if kind == "log" else story.image)(90, f"k{number}", content=number)
    looked(story, (100, [{"f": kind, "key": "k0", "c": 0}, {"f": kind, "key": "k1", "c": 7}]))
    assert counts(fates(story, name, stream)) == {"acknowledged": 3, "held": 1, "corrupted": 1, "lost": 1}


def test_a_log_is_no_image(story: Story) -> None:
    story.start("a")
    story.log(90, "k", content=1)
    looked(story, (100, [{"f": "image", "key": "k", "c": 1}]))
    assert fates(story, stream="task-logs").lost == 1


def test_of_an_object_that_was_written_again_the_last_content_counts(story: Story) -> None:
    story.start("a")
    story.log(90, "k", content=1)
    story.log(95, "k", content=2, region="east")
    looked(story, (100, [{"f": "log", "key": "k", "c": 2}]))
    assert counts(fates(story, stream="task-logs")) == {"acknowledged": 1, "held": 1}
    looked(story, (200, [{"f": "log", "key": "k", "c": 1}]))
    assert counts(fates(story, stream="task-logs")) == {"acknowledged": 1, "corrupted": 1}


@pytest.mark.parametrize(("shown", "found"), [
    ([], {"acknowledged": 1, "lost": 1}), (["k"], {"acknowledged": 1, "held": 1})])
def test_an_object_that_is_written_again_after_the_last_look_was_to_be_there_before(
    story: Story, shown: list[str], found: dict[str, int]
) -> None:
    story.start("a")
    story.log(90, "k", content=1)
    story.log(150, "k", content=2)
    looked(story, (100, held(logs=shown)))
    assert counts(fates(story, stream="task-logs")) == found


def test_an_object_that_a_look_lacks_was_lost_though_it_is_written_again(story: Story) -> None:
    story.start("a")
    for at in (90, 90, 120, 150, 180):  # one acknowledgement was sent twice
        story.log(at, "k", content=at)
    looked(story, (100, []), (130, []), (140, held(logs=["k"])), (200, held(logs=["k"])))
    assert counts(fates(story, stream="task-logs")) == {"acknowledged": 1, "recovered_later": 1}


# -- at which transition ---------------------------------------------------------------------------------------


def test_a_write_is_lost_at_the_transition_between_two_looks() -> None:
    story = round_trip()
    forget_rows(story, "settled-1", [99])
    forget_rows(story, "settled-2", [99, 98, 120, 199])
    assert lost_at(story) == {"row 99 of west/w": 0, "row 98 of west/w": 1, "row 120 of east/w": 1, "row 199 of east/w": 1}


def test_what_vanishes_without_a_transition_is_lost_at_none() -> None:
    story = outage()
    story.settle(180, everything(story))
    story.look(190, everything(story))
    forget_rows(story, "settled-2", [99, 120])
    forget_rows(story, "before-3", [98, 121, 99])
    assert set(lost_at(story).values()) == {None}
    assert len(lost_at(story)) == 4


def test_what_a_look_before_the_transition_lacks_was_not_lost_by_it(story: Story) -> None:
    story.start("a")
    story.ack(80, 1)
    story.ack(95, 2)
    story.look(90, rows())
    story.failover(100, 101, 106, 140, rows())
    assert lost_at(story) == {"row 1 of west/w": None, "row 2 of west/w": 0}


def test_each_deployment_loses_at_its_own_transition(story: Story) -> None:
    story.start("a", "b", "c")
    for name in ("a", "b", "c"):
        story.ack(90, 1, deployment=name)
    story.image(90, "i")
    story.request(101, "west", "east", deployments=["a"])
    story.request(111, "west", "east", deployments=["b"])
    looked(story, (140, []))
    found = {(row["d"], row.get("lost_at")) for row in accounted(story).tables.rows("select d, lost_at from fates")}
    assert found == {("a", 0), ("b", 1), ("c", None), ("", 1)}


def test_of_two_transitions_between_two_looks_the_last_is_the_one(story: Story) -> None:
    story.start("a")
    story.ack(90, 1)
    story.request(101, "west", "east")
    story.request(111, "east", "west")
    looked(story, (140, []))
    assert lost_at(story) == {"row 1 of west/w": 1}


@pytest.mark.parametrize(("accepted", "at"), [(99.9, None), (100.0, 0), (199.9, 0), (200.0, None)])
def test_a_transition_lies_between_two_looks_by_when_it_was_accepted(
    story: Story, accepted: float, at: int | None
) -> None:
    story.start("a")
    story.ack(90, 1)
    story.request(accepted, "west", "east")
    looked(story, (100, rows(1)), (200, []))
    assert lost_at(story) == {"row 1 of west/w": at}


# -- sums ---------------------------------------------------------------------------------------------------------


def test_the_fleets_fates_are_the_sums_with_a_few_examples(story: Story) -> None:
    story.start("a", "b")
    for name in ("a", "b"):
        for number in range(4):
            story.ack(90 + number, number, deployment=name)
    story.witness[0]["d"] = story.witness[1]["d"] = "nobody"
    looked(story, (100, rows(1)))
    found = conservation.fates(accounted(story))
    assert set(found) == {"a", "b", "nobody"}
    whole = total(found, "metadata")
    assert (whole.acknowledged, whole.held, whole.lost) == (8, 1, 7)
    assert len(whole.examples["lost"]) == 5
    assert total(found, "images") == Fates(**dict.fromkeys(Fates.model_fields.keys() - {"examples"}, 0))


def test_every_write_ends_as_exactly_one_thing() -> None:
    story = round_trip()
    forget_rows(story, "settled-1", [99])
    forget_rows(story, "settled-2", [98])
    for stream in conservation.STREAMS:
        found = total(conservation.fates(accounted(story)), stream)
        assert found.acknowledged == (found.held + found.lost + found.recovered_later + found.corrupted
                                      + found.misplaced + found.unjudged)
