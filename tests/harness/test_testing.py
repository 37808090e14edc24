"""The test kit: a story is the evidence that it tells, in memory and on disk."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from harness.measures import ExitCode
from harness.record.events import Cleanup, FaultOutcome, RunEnded, TransitionCompleted, TriggerAccepted
from harness.record.evidence import load
from harness.testing import STEPS, Story, fact, held


def test_a_case_is_five_lines() -> None:
    story = Story()
    story.start("a", targets={"writes-lost": 0})
    story.ack(99, 1)
    story.ack(105, 2, region="east")
    story.failover(100, 101, 106, 140, held({("a", "east/w", 2)}))
    assert story.result().verdict == "FAIL"


def test_a_story_of_nothing_is_an_empty_record() -> None:
    assert Story().evidence().events == []
    assert Story().result().exit_code == ExitCode.BROKEN


def test_the_names_and_arguments_of_the_kit_stay() -> None:
    """Other people's plugins are tested with it."""
    arguments = {name: list(inspect.signature(getattr(Story, name)).parameters)[1:] for name in (
        "event", "ack", "log", "image", "life", "airflow", "probe", "probes", "failover", "settle", "look", "heal", "epoch",
        "end", "silence", "set_clock", "save", "result", "evidence", "tables")}
    assert arguments == {
        "event": ["at", "kind", "data"], "ack": ["at", "number", "region", "deployment", "tried", "content"],
        "log": ["at", "key", "region", "deployment", "content"], "image": ["at", "key", "region", "content"],
        "life": ["event", "at", "task", "number", "region", "deployment", "dag", "began"],
        "airflow": ["at", "kind", "task", "number", "region", "deployment", "dag", "content", "key"],
        "probe": ["at", "deployment", "ok", "scheduled", "run", "late", "ms", "address"],
        "probes": ["since", "until", "deployments", "every"],
        "failover": ["fault", "accepted", "completed", "settled", "snapshot", "planned"],
        "settle": ["at", "snapshot", "since"], "look": ["at", "snapshot", "site"], "heal": ["at", "role"],
        "epoch": ["at", "site", "number", "deployment", "error"], "end": ["at", "cleanup"],
        "silence": ["site", "since", "until"], "set_clock": ["at", "seconds"], "save": ["run"], "result": [],
        "evidence": [], "tables": ["snapshots"]}
    assert list(inspect.signature(held).parameters) == ["rows", "tasks", "logs", "images", "runs", "more"]
    assert list(inspect.signature(fact).parameters) == ["kind", "deployment", "key", "value"]


# -- events ------------------------------------------------------------------------------------------------------------


def test_events_are_in_the_order_of_their_time_however_they_were_told(story: Story) -> None:
    story.start("a")
    story.event(90, "check", name="late", ok=True)
    story.event(50, "check", name="early", ok=True)
    events = story.evidence().events
    assert [event.record for event in events] == list(range(1, len(events) + 1))
    assert [event.wall for event in events] == sorted(event.wall for event in events)


def test_a_record_ends_unless_the_story_says_how(story: Story) -> None:
    story.start("a")
    ends = story.evidence().events[-2:]
    assert [type(event) for event in ends] == [Cleanup, RunEnded]
    story.event(50, "cleanup", outcome="failed")
    assert [event.outcome for event in story.evidence().of(Cleanup)] == ["failed"]
    assert story.evidence().first(RunEnded) is not None
    story.end(60, "kept")
    assert [event.outcome for event in story.evidence().of(Cleanup)] == ["failed", "kept"]


def test_a_transition_can_be_told_in_one_or_in_parts(story: Story) -> None:
    story.start("a")
    story.failover(100, 101, 106, 140, [])
    other = Story()
    other.start("a")
    other.fault(100)
    other.request(101, "west", "east")
    other.complete(106)
    other.settle(140, [], since=106)
    assert story.evidence().events == other.evidence().events


def test_a_planned_transition_goes_back(story: Story) -> None:
    story.start("a")
    story.failover(100, 101, 106, 140, [], planned=True)
    evidence = story.evidence()
    request, completed = evidence.first(TriggerAccepted), evidence.first(TransitionCompleted)
    assert request is not None
    assert completed is not None
    assert (request.kind, request.source, request.target, completed.kind) == ("failback", "east", "west", "failback")
    assert [step["name"] for step in completed.steps] == list(STEPS)
    assert evidence.of(FaultOutcome) == []


def test_a_wall_clock_that_is_set_moves_what_is_told_from_then_on(story: Story) -> None:
    story.start("a")
    story.set_clock(100, -30)
    story.fault(100)
    story.request(110, "west", "east")
    story.ack(99, 1)
    story.ack(120, 2)
    story.probe(130, "a", scheduled=129)
    evidence = story.evidence()
    fault, request = evidence.first(FaultOutcome), evidence.first(TriggerAccepted)
    assert fault is not None
    assert request is not None
    assert (fault.monotonic, fault.wall, fault.in_force) == (100, 70, 70)
    assert (request.at, request.wall) == (80, 80)
    assert [row["t"] for row in evidence.tables.rows("select t from witness where e = 'ack' order by n")] == [99, 90]
    assert evidence.tables.one("select sent, scheduled, ended from probes") == (100, 99, 100)


# -- what is left untold ------------------------------------------------------------------------------------------------


def test_sites_are_heard_while_they_have_power_unless_the_story_has_them_silent(story: Story) -> None:
    story.start("a")
    story.fault(10)
    story.heal(20)
    story.silence("east", 30, 40)
    story.event(50, "check", name="x", ok=True)
    beats = story.tables().rows("select r, list(t order by t) as t from witness where e = 'beat' group by r order by r")
    assert {row["r"]: row["t"] for row in beats} == {
        "west": [float(t) for t in range(0, 52, 2) if not 10 <= t < 20],
        "east": [float(t) for t in range(0, 52, 2) if not 30 <= t < 40]}


def test_what_a_look_holds_has_the_content_that_was_acknowledged(story: Story) -> None:
    story.start("a")
    story.ack(1, 1)
    story.ack(2, 2, content=77)
    story.log(3, "l", content=5)
    story.airflow(4, "xcom", "t1", content=6)
    story.settle(10, held({("a", "west/w", 1), ("a", "west/w", 2)}, logs=["l"], more=[
        {"f": "xcom", "d": "a", "dag": "wide", "run": "run1", "task": "t1", "map": -1}]))
    tables = story.tables()
    assert tables.value("""
        select count(*) from held join witness on held.c = witness.c and witness.e = 'ack'
            and (held.n = witness.n or held.key = witness.key or held.f = 'xcom' and witness.k = 'xcom')""") == 4


@pytest.mark.parametrize(("found", "owner"), [("a", "a"), ("b", "a")])
def test_a_row_names_the_deployment_that_attempted_it(story: Story, found: str, owner: str) -> None:
    story.start("a", "b")
    story.ack(1, 1, deployment="a")
    story.settle(10, held({(found, "west/w", 1)}))
    assert story.tables().rows("select d, o from held") == [{"d": found, "o": owner}]


def test_a_row_that_nobody_attempted_names_the_deployment_that_it_is_in(story: Story) -> None:
    story.start("a")
    story.settle(10, held({("a", "nobody/w", 1)}))
    assert story.tables().rows("select d, o from held") == [{"d": "a", "o": "a"}]


def test_other_snapshots_may_be_asked_about(story: Story) -> None:
    story.start("a")
    story.settle(10, held({("a", "w", 1)}))
    tables = story.tables(now=held({("a", "w", 2)}))
    assert tables.rows("select snapshot, n from held") == [{"snapshot": "now", "n": 2}]


# -- facts -----------------------------------------------------------------------------------------------------------------


def test_what_a_look_holds_can_be_told_in_short() -> None:
    assert held() == []
    assert held({("a", "w", 1)}, {("a", "dag", "run", "t", -1): ("success", 1)}, ["l"], images=["i"],
                runs={("a", "dag", "run"): "running"}, more=[{"f": "xcom"}]) == [
        {"f": "row", "d": "a", "wr": "w", "n": 1},
        {"f": "ti", "d": "a", "dag": "dag", "run": "run", "task": "t", "map": -1, "state": "success", "try": 1,
         "retries": None},
        {"f": "run", "d": "a", "dag": "dag", "run": "run", "state": "running"},
        {"f": "log", "key": "l"}, {"f": "image", "key": "i"}, {"f": "xcom"}]
    task, = held(tasks={("a", "dag", "run", "t", -1): ("success", 1, 3)})
    assert task["retries"] == 3


def test_an_item_of_a_fingerprint_has_the_content_of_its_value() -> None:
    one = fact("variable", "a", "k", {"x": 1, "y": 2})
    assert (one["f"], one["d"], one["key"]) == ("variable", "a", "k")
    assert one == fact("variable", "a", "k", {"y": 2, "x": 1})
    assert one["c"] != fact("variable", "a", "k", {"x": 1, "y": 3})["c"]


# -- on disk ---------------------------------------------------------------------------------------------------------------


def told() -> Story:
    story = Story()
    story.start("a", targets={"rpo": {"metadata": 60.0}})
    story.ack(99, 1)
    story.ack(105, 2, region="east")
    story.epoch(104, "east", 2)
    story.access["global"] = [{"t": 103.0, "caller": "127.5.130.1", "who": "orchestrator", "service": "iam", "action": "GetRole"}]
    story.links.append({"t": 102, "event": "connect", "caller": "orchestrator", "site": "secondary", "service": "aws"})
    story.failover(100, 101, 106, 140, held({("a", "west/w", 1), ("a", "east/w", 2)}))
    story.probes(107, 142, "a")
    return story


def test_a_story_on_disk_has_the_same_result(tmp_path: Path) -> None:
    from harness.measures import evaluate
    from harness.selftest.planted import prove

    evidence = load(told().save(tmp_path / "run"))
    saved, kept = evaluate(evidence, prove), told().result()
    assert saved.verdict == kept.verdict == "PASS"
    assert saved.model_dump() == kept.model_dump()


def test_a_saved_run_may_lack_a_file_or_have_a_torn_line(tmp_path: Path) -> None:
    story = told()
    story.unstored = {"links"}
    story.torn = {"witness": '{"e":'}
    evidence = load(story.save(tmp_path))
    assert (set(evidence.stored), evidence.has_links) == ({"witness", "usage", "access", "held"}, False)
    assert evidence.gaps == ("1 lines of witness.parquet could not be read when it was stored",)
