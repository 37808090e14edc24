"""When what happened: the moments from which every other figure is counted.

* **t_fault**: when the fault was in force, *seen to be*, not asked for. A planned transition has no
  fault; its t_fault is its t_trigger.
* **t_trigger**: when the orchestrator accepted the request.
* **t_promoted**: the first commit acknowledged by the new writer, as the witness heard it.

It does **not** mean: when somebody decided to fail over. The time a person or a monitor needs
before the request is not in any figure here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from harness.evidence import Evidence
from harness.journal import Event


@dataclass(frozen=True)
class Transition:
    """One move of the active region, in wall-clock seconds."""

    kind: str
    source: str
    target: str
    t_fault: float
    t_asked: float
    """When the request was sent: the orchestrator may act on it before its acceptance is heard."""
    t_trigger: float
    t_promoted: float | None
    t_completed: float | None
    """When the orchestrator was done with its critical path."""
    t_settled: float
    """The end of the settle phase after it, or of the run."""
    t_next: float
    """When the next transition's fault comes, or the end of the run."""
    snapshot: str | None
    steps: tuple[dict[str, Any], ...]
    planned: bool


def transitions(evidence: Evidence) -> list[Transition]:
    """All transitions of a run, in order."""
    events = evidence.events
    triggers = [e for e in events if e.kind == "trigger.accepted"]
    end = events[-1].wall if events else 0.0
    found: list[Transition] = []
    for index, trigger in enumerate(triggers):
        since = triggers[index - 1].number if index else 0
        until = triggers[index + 1].number if index + 1 < len(triggers) else events[-1].number + 1
        fault = _last(e for e in events if e.kind == "fault.outcome" and e["disrupts"]
                      and since < e.number < trigger.number)
        t_fault = fault["in_force"] if fault else trigger["at"]
        asked = _last(e for e in events if e.kind == "trigger.intent" and since < e.number < trigger.number)
        after = [e for e in events if trigger.number < e.number < until]
        settled = next((e for e in after if e.kind == "settled"), None)
        completed = next((e for e in after if e.kind == "transition.completed"), None)
        promoted = evidence.tables.value(
            "select min(t) from witness where e = 'ack' and r = $target and t > $t_fault",
            target=trigger["target"], t_fault=t_fault)
        found.append(Transition(
            kind=trigger["kind"], source=trigger["source"], target=trigger["target"],
            t_fault=t_fault, t_asked=asked.wall if asked else trigger["at"], t_trigger=trigger["at"],
            t_promoted=promoted,
            t_completed=completed["at"] if completed else None,
            t_settled=settled.wall if settled else end, t_next=end,
            snapshot=settled.get("snapshot") if settled else None,
            steps=tuple(completed["steps"]) if completed else (), planned=fault is None,
        ))
    starts = [t.t_fault for t in found]
    return [
        Transition(**{**t.__dict__, "t_next": starts[i + 1] if i + 1 < len(starts) else end})
        for i, t in enumerate(found)
    ]


def _last(events: Iterable[Event]) -> Event | None:
    found = None
    for event in events:
        found = event
    return found
