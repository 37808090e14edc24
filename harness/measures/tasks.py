"""What became of the tasks that were running when the fault struck.

Each task instance that had begun (its start reached the witness) and not yet had its effect by
t_fault ended as one of: **survived** (the same try succeeded), **retried** (a later try succeeded),
**lost** (it failed, or the database does not know it any more), **stuck** (it had not ended when the
drill settled), **duplicated** (two of its tries both had their side effect).

It does **not** mean: that a lost task's *work* is lost; only that Airflow will not run it again.
Tasks that were only queued at t_fault are not in flight and not counted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from harness.measures.timeline import Transition
from harness.tables import Tables

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


IN_FLIGHT = """
select d, dag, run, task, map, n from (
    select d, dag, run, task, map, arg_max(n, t) as n, max(t) as t
    from witness where e = 'start' and r = $source and t <= $at
    group by d, dag, run, task, map)
    anti join (select d, dag, run, task, map, n from witness
               where e = 'effect' and r = $source and t <= $at) using (d, dag, run, task, map, n)
"""
"""Task instances whose latest try had started and not yet had its effect."""


def in_flight(tables: Tables, source: str, at: float) -> set[Key]:
    """Task instances of a region that had started and not yet had their effect at a moment."""
    return {(r["d"], r["dag"], r["run"], r["task"], r["map"])
            for r in tables.rows(IN_FLIGHT, source=source, at=at)}


def outcomes(tables: Tables, transition: Transition, settled: str) -> TaskOutcomes:
    """How every task in flight at t_fault ended; ``settled``: the snapshot taken afterwards."""
    rows = tables.rows(f"""
        with began as ({IN_FLIGHT}),
        effects as (
            select d, dag, run, task, map, count(distinct n) as tries from witness
            where e = 'effect' and t <= $settled_at group by all),
        held_tasks as (
            select d, dag, run, task, map, coalesce(state, 'none') as state, "try" from held
            where f = 'ti' and snapshot = $settled)
        select began.*, state, "try", coalesce(tries, 0) as effects
        from began left join held_tasks using (d, dag, run, task, map)
            left join effects using (d, dag, run, task, map)
        order by d, dag, run, task, map""",
        source=transition.source, at=transition.t_fault, settled=settled,
        settled_at=transition.t_settled)
    counts = dict.fromkeys(OUTCOMES, 0)
    examples: dict[str, list[Key]] = {}
    for row in rows:
        outcome = _outcome(row.get("state", "gone"), row.get("try", 0), row["n"], row["effects"])
        counts[outcome] += 1
        if outcome in ("lost", "stuck", "duplicated") and len(examples.get(outcome, [])) < EXAMPLES:
            examples.setdefault(outcome, []).append(
                (row["d"], row["dag"], row["run"], row["task"], row["map"]))
    return TaskOutcomes(len(rows), counts, examples)


def failed(tables: Tables, settled: str) -> int:
    """Task instances that a snapshot holds as ended without success."""
    return int(tables.value(
        "select count(*) from held where f = 'ti' and snapshot = $settled"
        " and list_contains($gone, state)",
        settled=settled, gone=list(GONE)))


def _outcome(state: str, tries: int, began: int, effects: int) -> str:
    if effects > 1:
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
