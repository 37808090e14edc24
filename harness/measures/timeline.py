"""When what happened: the moments from which every other figure is counted.

* **t_fault**: when the fault was in force, *seen to be*, not asked for; the time between asking and seeing is
  its error. A transition belongs to the fault of *its own* outage: the first disrupting one before its request
  that had not been healed, nor answered by a transition that came to its end. Where there is none, the transition
  is planned, and its t_fault is its t_request.
* **t_request**: when the orchestrator accepted the request. It may have begun to act as soon as that was sent: the
  time between sending and acceptance is the error of a planned transition's t_fault.
* **t_epoch**: when the new writer's reign began, by the database's own word (:mod:`epochs`).

It does **not** mean: when somebody decided to fail over. The time a person or a monitor needs before the
request is not in any figure here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.record.events import (
    FaultIntent,
    FaultOutcome,
    FleetUp,
    Looked,
    Recorded,
    Settled,
    TransitionCompleted,
    TriggerAccepted,
    TriggerIntent,
    UndoOutcome,
)
from harness.record.evidence import Evidence


@dataclass(frozen=True)
class Move:
    """One transition as the journal tells it. Times are wall-clock seconds of the harness."""

    index: int
    kind: str
    source: str
    target: str
    deployments: tuple[str, ...]
    """Those that move."""
    fault_asked: float
    fault_seen: float
    """The fault was brought about between these two."""
    asked: float
    """When the request was sent: the orchestrator may act on it before its acceptance is heard."""
    accepted: float
    planned: bool
    completed: TransitionCompleted | None
    settled: float | None
    """The end of the first settle phase after it."""
    snapshot: str | None
    """The look that was taken then."""
    until: float
    """When the next transition's fault (or, for the same fault, its request) comes, or the end of the record."""

    @property
    def seen_complete(self) -> float | None:
        """When the harness itself saw that the transition had ended."""
        return None if self.completed is None else self.completed.wall


@dataclass(frozen=True)
class Look:
    """The databases and buckets of the active site, read at a moment."""

    order: int
    snapshot: str
    began: float
    site: str
    before: bool
    """Whether it was taken before a transition, to compare with."""
    move: int | None
    """The latest transition before it."""
    ended: float


@dataclass(frozen=True)
class Outage:
    """A span in which a site had no power."""

    site: str
    began: float
    ended: float


def moves(evidence: Evidence, fleet: Sequence[str]) -> list[Move]:
    """All transitions of a run, in order of their requests."""
    events = evidence.events
    accepted = [e for e in events if isinstance(e, TriggerAccepted)]
    end = events[-1].wall if events else 0.0
    found: list[Move] = []
    for index, trigger in enumerate(accepted):
        deployments = tuple(trigger.deployments or fleet)
        later = next((e for e in accepted[index + 1:] if set(e.deployments or fleet) & set(deployments)), None)
        after = [e for e in events if e.record > trigger.record and (later is None or e.record < later.record)]
        since = accepted[index - 1].record if index else 0
        intent = next((e for e in reversed(events) if isinstance(e, TriggerIntent)
                       and since < e.record < trigger.record), None)
        # One that failed half-way leaves its fault to the next request, and so does one that left a Deployment behind.
        answered = min((max((a.record for a, m in zip(accepted, found, strict=False)
                             if m.completed is not None and name in m.deployments), default=0)
                        for name in deployments), default=0)
        fault = _own_fault([e for e in events if answered < e.record < trigger.record])
        taken = [m.completed for m in found]
        settled = next((e for e in after if isinstance(e, Settled)), None)
        planned = fault is None if trigger.planned is None else trigger.planned and fault is None
        sent = min(intent.wall, trigger.at) if intent else trigger.at
        seen = trigger.at if fault is None else fault.in_force
        asked = sent if fault is None else seen if fault.asked is None else min(fault.asked, seen)
        found.append(Move(
            index=index, kind=trigger.kind, source=trigger.source, target=trigger.target, deployments=deployments,
            fault_asked=asked, fault_seen=seen, asked=sent, accepted=trigger.at,
            planned=planned, settled=settled.wall if settled else None,
            completed=next((e for e in after if isinstance(e, TransitionCompleted) and e not in taken
                            and (e.deployments is None or set(e.deployments) == set(deployments))), None),
            snapshot=settled.snapshot if settled else None, until=end))
    return [Move(**{**vars(m), "until": _until(m, found[m.index + 1:], end)}) for m in found]


def _until(move: Move, later: Sequence[Move], end: float) -> float:
    after = next((m for m in later if set(m.deployments) & set(move.deployments)), None)
    if after is None:
        return end
    return after.fault_asked if after.fault_asked > move.accepted else after.asked


def _own_fault(before: Sequence[Recorded]) -> FaultOutcome | None:
    """The disrupting fault that was still in force; ``before``: the events since one was answered."""
    standing: list[FaultOutcome] = []
    for event in before:
        if isinstance(event, FaultOutcome) and event.disrupts:
            standing.append(event)
        elif isinstance(event, UndoOutcome):
            standing = [fault for fault in standing if not _heals(event, fault, before)]
    # The outage began with the first of those that are still in force.
    return standing[0] if standing else None


def _heals(undone: UndoOutcome, fault: FaultOutcome, events: Sequence[Recorded]) -> bool:
    undo = fault.undo or next((e.undo for e in reversed(events) if isinstance(e, FaultIntent)
                               and e.record < fault.record and e.fault == fault.fault), {})
    return bool(undo) and undo == undone.undo


def looks(evidence: Evidence, found: Sequence[Move]) -> list[Look]:
    """All looks of a run, in order; each with the latest transition before it."""
    times = {e.snapshot: (e.began, e.ended, e.site) for e in evidence.of(Looked)}
    settled = {e.snapshot: e.wall for e in evidence.of(Settled) if e.snapshot}
    made: list[Look] = []
    for order, name in enumerate(evidence.snapshots):
        at = settled.get(name, 0.0)
        began, ended, site = times.get(name, (at, at, ""))
        move = max((m.index for m in found if m.accepted < began), default=None)
        made.append(Look(order, name, began, site, name not in settled, move, ended))
    return made


def standing(evidence: Evidence) -> list[tuple[float, float]]:
    """When something was broken that is not meant to disrupt anything: from the asking to when it was taken back."""
    events, found = evidence.events, []
    for fault in evidence.of(FaultOutcome):
        if not fault.disrupts:
            undone = next((e for e in evidence.of(UndoOutcome) if e.record > fault.record and _heals(e, fault, events)),
                          None)
            found.append((fault.in_force if fault.asked is None else fault.asked,
                          undone.wall if undone is not None else events[-1].wall))
    return found


def outages(evidence: Evidence) -> list[Outage]:
    """When which site had no power, as the harness caused it."""
    up = evidence.first(FleetUp)
    regions = {role: region for region, role in (up.roles if up else {}).items()}
    end = evidence.events[-1].wall if evidence.events else 0.0
    open_: dict[str, float] = {}
    found: list[Outage] = []
    for event in evidence.events:
        if isinstance(event, FaultOutcome) and event.fault == "region-outage":
            role = event.parameters.get("region") or event.undo.get("restore-region") or "primary"
            open_[regions.get(role, role)] = event.asked if event.asked is not None else event.in_force
        elif isinstance(event, UndoOutcome) and "restore-region" in event.undo:
            site = regions.get(event.undo["restore-region"], event.undo["restore-region"])
            if site in open_:
                found.append(Outage(site, open_.pop(site), event.wall))
    return found + [Outage(site, began, end) for site, began in open_.items()]
