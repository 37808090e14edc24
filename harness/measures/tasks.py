"""What became of the tasks that were running when the fault struck.

Each task instance that had begun (its start reached the witness) and not yet had its effect by
t_fault ended as one of: **survived** (the same try succeeded), **retried** (a later try succeeded),
**lost** (it failed, or the database does not know it any more), **stuck** (it had not ended when the
drill settled), **duplicated** (two of its tries both had their side effect).

It does **not** mean: that a lost task's *work* is lost; only that Airflow will not run it again.
Tasks that were only queued at t_fault are not in flight and not counted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from harness.evidence import Record, Snapshot
from harness.measures.timeline import Transition

Key = tuple[str, str, str, str, int]
OUTCOMES = ("survived", "retried", "lost", "stuck", "duplicated")
EXAMPLES = 5
GONE = ("failed", "upstream_failed", "removed", "skipped")


@dataclass(frozen=True)
class TaskOutcomes:
    """Counts by outcome, with examples of those that are not good."""

    in_flight: int
    counts: dict[str, int]
    examples: dict[str, list[Key]] = field(default_factory=dict)


def key_of(record: Record) -> Key:
    """The task instance that a record is about."""
    return record["d"], record["dag"], record["run"], record["task"], record["map"]


def in_flight(records: Iterable[Record], source: str, at: float) -> dict[Key, int]:
    """Task instances of a region that had started and not yet had their effect: with their try."""
    running: dict[Key, int] = {}
    for record in records:
        if record.get("r") != source or record["t"] > at:
            continue
        if record["e"] == "start":
            running[key_of(record)] = record["n"]
        elif record["e"] == "effect" and running.get(key_of(record)) == record["n"]:
            del running[key_of(record)]
    return running


def outcomes(records: Iterable[Record], transition: Transition, settled: Snapshot) -> TaskOutcomes:
    """How every task in flight at t_fault ended."""
    records = list(records)
    began = in_flight(records, transition.source, transition.t_fault)
    effects: dict[Key, set[int]] = defaultdict(set)
    for record in records:
        if record["e"] == "effect" and record["t"] <= transition.t_settled:
            effects[key_of(record)].add(record["n"])
    counts = dict.fromkeys(OUTCOMES, 0)
    examples: dict[str, list[Key]] = {}
    for key, number in began.items():
        state, tries = settled.tasks.get(key, ("gone", 0))
        outcome = _outcome(state, tries, number, effects[key])
        counts[outcome] += 1
        if outcome in ("lost", "stuck", "duplicated") and len(examples.get(outcome, [])) < EXAMPLES:
            examples.setdefault(outcome, []).append(key)
    return TaskOutcomes(len(began), counts, examples)


def _outcome(state: str | None, tries: int, began: int, effects: set[int]) -> str:
    if len(effects) > 1:
        return "duplicated"
    if state == "success":
        return "survived" if tries <= began else "retried"
    if state == "gone" or state in GONE:
        return "lost"
    return "stuck"


def as_json(found: TaskOutcomes) -> dict[str, Any]:
    """The figures as the report prints them."""
    return {"in_flight": found.in_flight, **found.counts,
            "examples": {name: ["/".join(map(str, key)) for key in keys]
                         for name, keys in found.examples.items()}}
