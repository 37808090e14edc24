"""Typed events: what a record may hold."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from harness.record.events import (
    KINDS,
    STAMPS,
    Check,
    FaultOutcome,
    FleetUp,
    Probe,
    Recorded,
    RunStarted,
    Sample,
    TransitionCompleted,
    TriggerAccepted,
    UnreadableEvent,
    parse,
)
from harness.record.tables import BULK


def read(kind: str, **data: Any) -> Recorded:
    return parse(kind, data, 7, 1.5, 2.5)


def test_an_event_is_read_back_as_what_was_written() -> None:
    event = FaultOutcome(fault="x", disrupts=True, in_force=3.0, asked=2.0, parameters={"a": [1]}, undo={"b": 2})
    found = read(event.KIND, **event.fields())
    assert found == dataclasses.replace(event, record=7, monotonic=1.5, wall=2.5)


def test_fields_are_without_stamps_and_without_what_is_none() -> None:
    assert TriggerAccepted(at=1.0, source="w", target="e").fields() == {"kind": "", "at": 1.0, "source": "w", "target": "e"}


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_has_a_class_of_its_own_that_says_what_it_is(kind: str) -> None:
    chosen = KINDS[kind]
    assert kind == chosen.KIND
    assert chosen.__doc__
    assert not chosen.__doc__.startswith(chosen.__name__ + "(")
    assert {field.name for field in dataclasses.fields(chosen)} > set(STAMPS) or kind in (
        "load.stopped", "cleanup.intent", "run.ended")


def test_what_is_recorded_by_the_million_is_known() -> None:
    assert set(KINDS) >= BULK


def test_an_unknown_kind_is_refused_with_its_number() -> None:
    with pytest.raises(UnreadableEvent, match=r"record 7 is of a kind that this version does not know: nonsense"):
        read("nonsense")


@pytest.mark.parametrize(("kind", "data"), [
    ("check", {"name": "up"}), ("fault.outcome", {}), ("trigger.accepted", {"at": 1.0, "source": "w"}),
    ("looked", {"snapshot": "s", "began": 1.0}), ("epoch", {"site": "w", "began": 1.0}), ("evidence", {"file": "f"})])
def test_an_event_that_lacks_what_it_must_hold_is_refused(kind: str, data: dict[str, Any]) -> None:
    with pytest.raises(UnreadableEvent, match=rf"record 7 \({kind}\) is not whole"):
        read(kind, **data)


@pytest.mark.parametrize(("kind", "data", "field"), [
    ("check", {"name": "up", "ok": "yes"}, "ok"), ("check", {"name": 5, "ok": True}, "name"),
    ("check", {"name": "up", "ok": 1}, "ok"),
    ("epoch", {"number": 1.5, "site": "w", "began": 1.0}, "number"),
    ("epoch", {"number": True, "site": "w", "began": 1.0}, "number"),
    ("epoch", {"number": 1, "site": "w", "began": "now"}, "began"),
    ("epoch", {"number": 1, "site": "w", "began": False}, "began"),
    *(("epoch", {"number": 1, "site": "w", "began": float(no_time)}, "began") for no_time in ("nan", "inf", "-inf")),
    ("epoch", {"number": 1, "site": "w", "began": 1.0, "deployment": 3}, "deployment"),
    ("trigger.accepted", {"at": 1.0, "source": "w", "target": "e", "deployments": ["a", 1]}, "deployments"),
    ("trigger.accepted", {"at": 1.0, "source": "w", "target": "e", "deployments": "a"}, "deployments"),
    ("fleet.up", {"roles": {"west": 1}}, "roles"), ("fleet.up", {"roles": []}, "roles"),
    ("fleet.up", {"deployments": ["a"]}, "deployments"), ("run.started", {"targets": 5}, "targets"),
])
def test_a_field_of_another_type_is_refused(kind: str, data: dict[str, Any], field: str) -> None:
    with pytest.raises(UnreadableEvent, match=rf"record 7 \({kind}\) is not whole: {field} cannot be read"):
        read(kind, **data)


@pytest.mark.parametrize(("kind", "data", "found"), [
    ("fault.outcome", {"in_force": 3}, FaultOutcome(in_force=3)),  # JSON has one kind of number
    ("check", {"name": "up", "ok": True, "more": 1}, Check(name="up", ok=True)),
    ("run.started", {"rpo_bound_s": None}, RunStarted()), ("fleet.up", {}, FleetUp()),
    ("transition.completed", {"at": 1.0, "steps": [{"name": "x", "at": 1}]},
     TransitionCompleted(at=1.0, steps=[{"name": "x", "at": 1}])),
    ("sample", {"lag": {"state": "streaming", "lag_s": 0.5}, "states": {"running": 3}},
     Sample(lag={"state": "streaming", "lag_s": 0.5}, states={"running": 3})),
    ("probe", {"d": "a", "sent": 1.0}, Probe(d="a", sent=1.0)),
])
def test_what_fits_is_read(kind: str, data: dict[str, Any], found: Recorded) -> None:
    assert read(kind, **data) == dataclasses.replace(found, record=7, monotonic=1.5, wall=2.5)


def test_an_event_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Check(name="up", ok=True).ok = False  # type: ignore[misc]
