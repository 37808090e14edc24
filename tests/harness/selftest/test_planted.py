"""Violations planted in a copy of the run's own evidence: the measures must find every one, and are named if not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness.measures import conservation, hearing, history, rto, split_brain, tasks
from harness.measures.result import Proof
from harness.selftest import planted
from harness.testing import Story, held
from tests.harness.measures.runs import fleet_of, outage, reign, round_trip, transition

ALL = {"lost", "corrupted", "misplaced", "phantom", "duplicated", "task duplicated", "split brain", "stuck", "relapsed",
       "deaf"}


def proven(story: Story) -> Proof:
    found = planted.prove(history.of(story.evidence()))
    assert found is not None
    return found


def missed(story: Story) -> dict[str, str]:
    return {p.violation: p.measure for p in proven(story).planted if not p.found}


def quiet() -> Story:
    """A run without a fault: nothing moves."""
    story = Story()
    story.start("a")
    reign(story, "west", 90, 140)
    story.settle(140, held())
    return story


def sparse() -> Story:
    """A run in which nobody told the witness anything, and nobody was probed."""
    story = outage()
    story.witness.clear()
    story.events = [event for event in story.events if event.kind != "probe"]
    return story


def failed() -> Story:
    """A run in which everything went wrong that is planted."""
    story = outage("a", "b", told=False)
    story.snapshots["settled-1"] = held({("a", "nobody/w", 1)}, tasks={("a", "wide", "run1", "t", -1): ("running", 1)})
    for at in range(120, 142, 2):
        story.probe(at, "a", ok=False)
    story.ack(120, 1)
    story.silence("east", 110, 999)
    return story


@pytest.mark.parametrize("story", [outage, round_trip, quiet, sparse, failed, lambda: outage("a", "b", "c", told=False)])
def test_every_violation_is_planted_and_found_in_any_run(story: Any) -> None:
    found = proven(story())
    assert {p.violation for p in found.planted} == ALL
    assert all(p.found for p in found.planted)


def test_a_run_too_short_for_a_silence_plants_none() -> None:
    story = Story()
    story.start("a")
    story.settle(30, held())
    assert {p.violation for p in proven(story).planted} == ALL - {"deaf"}
    assert missed(story) == {}


def test_the_site_that_is_not_heard_any_more_is_one_that_had_power_long_enough_to_be_missed() -> None:
    """A short region outage with its failback left the active site never more than some seconds with power."""
    story = round_trip()
    plot = planted._plot(history.of(story.evidence()))
    longest = {site: planted._powered(history.of(story.evidence()), site, plot.at) for site in ("west", "east")}
    assert longest["east"] > longest["west"]
    assert (plot.site, plot.deaf) == ("west", "east")
    assert missed(story) == {}


def test_a_run_whose_sites_send_no_beats_plants_no_silence() -> None:
    story = outage()
    story.events[0].data["beat_interval_s"] = 0.0
    assert {p.violation for p in proven(story).planted} == ALL - {"deaf"}


@pytest.mark.parametrize("lacking", ["fleet.up", "settled"])
def test_without_a_fleet_or_a_look_there_is_nothing_to_plant_in(lacking: str) -> None:
    story = outage()
    story.events = [event for event in story.events if event.kind != lacking]
    if lacking == "settled":
        story.snapshots.clear()
    assert planted.prove(history.of(story.evidence())) is None


def test_the_evidence_itself_stays_as_it_was() -> None:
    evidence = outage("a", "b").evidence()
    counts = [f"select count(*) from {table}" for table in ("witness", "held", "probes", *planted.EMPTY)]
    before = [evidence.tables.value(count) for count in counts]
    schemas = evidence.tables.value("select count(*) from duckdb_schemas()")
    threads = evidence.tables.value("select current_setting('threads')")
    planted.prove(history.of(evidence))
    assert [evidence.tables.value(count) for count in counts] == before
    assert evidence.tables.value("select count(*) from duckdb_schemas()") == schemas
    assert evidence.tables.value("select current_schema()") == "main"
    assert evidence.tables.value("select current_setting('threads')") == threads


def test_a_fleet_of_any_size_is_proven_on_one_deployment_with_a_few_of_its_writes() -> None:
    story = Story()
    story.start("a", "b")
    reign(story, "west", 0, 1000)
    transition(story, 1000, "west", "east")
    asked: list[int] = []
    evidence = story.evidence()
    plot = planted._plot(history.of(evidence))
    with planted._copy(evidence.tables, plot):
        asked.append(evidence.tables.value(
            "select count(*) from witness where e <> 'beat' and dag is distinct from 'planted' and wr is distinct from $mine",
            mine=planted.WRITER))
        assert evidence.tables.value("select count(distinct d) from witness where d is not null") == 1
    assert asked == [planted.SAMPLE]
    assert fleet_of(story) == ["a", "b"]


def test_violations_are_planted_where_the_deployment_is_to_run_shortly_before_the_last_look() -> None:
    plot = planted._plot(history.of(round_trip().evidence()))
    assert (plot.deployment, plot.site, plot.other, plot.look, plot.at) == ("a", "west", "east", "settled-2", 239.0)
    assert (plot.until, plot.interval, plot.canary) == (242.0, 2.0, 10.0)


def test_where_the_last_epoch_began_at_the_look_violations_are_planted_after_that() -> None:
    story = Story()
    story.start("a")
    story.request(101, "west", "east")
    story.epoch(139.5, "east", 2, error=0)
    story.settle(140, held())
    assert planted._plot(history.of(story.evidence())).at == pytest.approx(139.501)


# -- a measure that is broken is found out --------------------------------------------------------------------------


def blind_conservation(name: str) -> Any:
    """A conservation that never sees one kind of violation."""

    def breaking(patch: pytest.MonkeyPatch) -> None:
        real = conservation.account

        def account(past: Any) -> None:
            real(past)
            past.tables.db.execute(f"delete from fates where fate = '{name}'; delete from strange where fate = '{name}'")

        patch.setattr(conservation, "account", account)

    return breaking


def no_split(patch: pytest.MonkeyPatch) -> None:
    real = split_brain.find

    def find(past: Any) -> None:
        real(past)
        past.tables.db.execute("delete from intrusions")

    patch.setattr(split_brain, "find", find)


def uncertain_split(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(split_brain, "INTRUSIONS", split_brain.INTRUSIONS.replace(
        "select distinct kind, d, r, t, possible,", "select distinct kind, d, r, t, true as possible,"))


def following(**changes: Any) -> Any:
    """Tasks that all end as something else."""

    def breaking(patch: pytest.MonkeyPatch) -> None:
        real = tasks.follow
        patch.setattr(tasks, "follow", lambda past: [replace(task, **changes) for task in real(past) or []])

    return breaking


def all_up(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(rto, "up_at_end", lambda past: dict.fromkeys(past.fleet, True))


def all_heard(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(hearing, "silences", lambda *_: [])


@pytest.mark.parametrize(("breaking", "violation", "measure"), [
    (blind_conservation("lost"), "lost", "conservation"), (blind_conservation("corrupted"), "corrupted", "conservation"),
    (blind_conservation("misplaced"), "misplaced", "conservation"), (blind_conservation("phantom"), "phantom", "conservation"),
    (blind_conservation("duplicated"), "duplicated", "conservation"), (no_split, "split brain", "split_brain"),
    (uncertain_split, "split brain", "split_brain"), (following(duplicated=False), "task duplicated", "tasks"),
    (following(outcome="survived"), "stuck", "tasks"), (all_up, "relapsed", "rto"), (all_heard, "deaf", "hearing")])
def test_a_measure_that_misses_its_violation_makes_the_run_inconclusive_and_is_named(
    breaking: Any, violation: str, measure: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    breaking(monkeypatch)
    story = outage()
    assert missed(story) == {violation: measure}
    result = story.result()
    assert (result.verdict, result.exit_code) == ("INCONCLUSIVE", 3)
    assert result.gaps == [f"the measure {measure} does not see a planted violation: {violation}"]


@pytest.mark.parametrize(("module", "name", "measure"), [
    (conservation, "account", "conservation"), (split_brain, "find", "split_brain"), (tasks, "follow", "tasks"),
    (rto, "up_at_end", "rto"), (history, "of", "history")])
def test_a_measure_that_crashes_has_not_found_what_was_planted(
    module: Any, name: str, measure: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: Any) -> None:
        raise ValueError("a bug")

    past = history.of(outage().evidence())
    monkeypatch.setattr(module, name, crash)
    proof = planted.prove(past)
    assert proof is not None
    found = proof.planted
    assert [(p.measure, p.found) for p in found] == [(measure, False)]
    assert "ValueError: a bug" in found[0].violation


def test_a_plant_that_cannot_be_planted_is_the_selftests_own_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(_: planted.Plot) -> None:
        raise ValueError("a bug")

    monkeypatch.setattr(planted, "PLANTS", (crash,))
    evidence = outage().evidence()
    found = planted.prove(history.of(evidence))
    assert found is not None
    assert [(p.measure, p.found) for p in found.planted] == [("selftest", False)]
    assert evidence.tables.value("select current_schema()") == "main"


PLANTED = {"_twice": {"task duplicated"}, "_split": {"split brain"}}


@pytest.mark.parametrize("plant", planted.PLANTS, ids=lambda plant: plant.__name__)
def test_each_violation_is_found_only_because_it_was_planted(plant: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planted, "PLANTS", tuple(each for each in planted.PLANTS if each is not plant))
    assert set(missed(outage())) == PLANTED.get(plant.__name__, {plant.__name__.removeprefix("_")})


def test_a_relapse_is_found_only_because_probes_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planted, "_relapse", lambda plot: plot.until)
    assert set(missed(outage())) == {"relapsed"}


def test_a_silence_is_found_only_because_beats_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    real = planted._plot
    monkeypatch.setattr(planted, "_plot", lambda past: replace(real(past), deaf="a site that there is not"))
    assert set(missed(outage())) == {"deaf"}
