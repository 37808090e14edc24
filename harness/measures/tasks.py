"""What became of the task instances that a drill met.

A transition **meets** every task instance that existed at the fault or was begun before the fleet had settled. By the
last look of the run each has ended as exactly one of: **survived** (it succeeded, and was begun once), **retried** (it
succeeded after having been begun again), **lost** (failed for good, failed without ever starting, or gone from the
database), **stuck** (it has not ended, though nothing new is started any more). Counted beside that:

* **duplicated**: more than one side effect reached the outside world, whatever the try numbers and the sites;
* **against retries**: begun more often than its own ``retries`` allow.

Both are counted in what the tasks' executors told the witness: where one of them was not heard (the database has the
success of a try of whose start, by its date, nobody told), there may have been more.

A canary that was due shortly before the last look may still run; and a Dag run that has not ended is stuck as well, one
that has failed without any task instance lost.

It does **not** mean: that a lost task's *work* is lost; only that Airflow will not run it again. Airflow resets what a
dead scheduler left running and starts it again, whatever its ``retries``: that is what *against retries* shows.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from harness.measures.history import History
from harness.measures.result import Tasks
from harness.record.tables import Tables

EXAMPLES = 5
CANARY = "canary"
"""The Dag that runs at an interval until the end."""
YOUNG_CANARIES = 3.0
"""A canary run of the last so many intervals may still be under way at the last look."""
OUTCOMES = ("survived", "retried", "lost", "stuck")

NAMED = "d is not null and dag is not null and run is not null and task is not null"
"""What does not say of which task it is, is a gap (:mod:`gaps`)."""
FOLLOWED = f"""
create or replace table followed as
with lives as (
    select d, dag, run, task, coalesce(map, -1) as map, min(t) as first_heard,
           max(t) filter (e = 'effect') as last_effect,
           count(distinct (n, c, r)) filter (e = 'start') as starts,
           list(distinct c) filter (e = 'start') as dates,
           count(distinct coalesce(cl || '/' || q, t || '/' || r || '/' || n)) filter (e = 'effect') as effects
    from witness where e in ('start', 'effect') and {NAMED} group by all),
known as (
    -- The least that was ever seen: clearing a task raises what it may.
    select d, dag, run, task, coalesce(map, -1) as map, min(look_began) as first_known, min(retries) as retries
    from held join looks using (snapshot) where f = 'ti' group by all),
last_known as (
    select d, dag, run, task, coalesce(map, -1) as map, any_value(state) as state, any_value("try") as tries,
           any_value(c) as date, true as there
    from held where f = 'ti' and snapshot = $last group by all)
select d, dag, run, task, map, last_effect, coalesce(starts, 0) as starts,
       coalesce(effects, 0) as effects, coalesce(state, 'none') as state, coalesce(tries, 0) as tries, retries,
       coalesce(there, false) as there, least(first_heard, first_known) as first,
       state is distinct from 'success' or tries < 1 or list_contains(dates, date)
           or dates is null and effects > 0 as heard
from lives full join known using (d, dag, run, task, map)
    left join last_known using (d, dag, run, task, map)
"""
"""Every task instance that anything is known of, with its state at the last look."""
IN_FLIGHT = f"""
select d, dag, run, task, map, n from (
    select d, dag, run, task, map, arg_max(n, t) as n
    from witness where e = 'start' and r = $source and t <= $at and {NAMED}
    group by d, dag, run, task, map)
    anti join (select d, dag, run, task, map, n from witness
               where e = 'effect' and r = $source and t <= $at) using (d, dag, run, task, map, n)
"""
"""Task instances whose latest try had started and not yet had its effect."""
RUNS = """
select d, dag, run, case when state = 'failed' then 'lost' else 'stuck' end as outcome
from held where f = 'run' and snapshot = $last and dag <> $canary and (state not in ('success', 'failed')
    or state = 'failed' and (d, dag, run) not in (select d, dag, run from held where f = 'ti' and snapshot = $last))
order by d, dag, run
"""
"""Dag runs that have not ended, or that have failed without any task instance: nobody else counts them."""


@dataclass(frozen=True)
class Task:
    """A task instance and how it ended."""

    key: tuple[str, str, str, str, int]
    first: float
    """When it was first heard or read of."""
    outcome: str
    duplicated: bool
    against_retries: bool
    in_flight_until: float | None
    """Since ``first`` up to when it may have been in flight; None: to the end."""
    heard: bool = True
    """False: the database says that a try succeeded of whose start nobody told the witness."""

    def __str__(self) -> str:
        return "/".join(map(str, self.key))


def in_flight(tables: Tables, source: str, at: float) -> set[tuple[str, str, str, str, int]]:
    """Task instances of a site that had started and not yet had their effect at a moment (wall-clock seconds)."""
    return {(r["d"], r["dag"], r["run"], r["task"], r["map"])
            for r in tables.rows(IN_FLIGHT, source=source, at=at)}


def follow(history: History) -> list[Task] | None:
    """Every task instance of the run with its outcome; None where nobody looked into the databases."""
    last = history.last_look
    if last is None:
        return None
    tables = history.tables
    tables.make("looks", {"snapshot": "varchar", "look_began": "double"},
                [[look.snapshot, look.began] for look in history.looks])
    tables.db.execute(FOLLOWED, {"last": last.snapshot})
    young = last.began - YOUNG_CANARIES * history.started.canary_interval_s
    found = []
    for row in tables.rows(
            "select * from followed where first <= $until order by first, d, dag, run, task, map", until=last.began):
        if row["dag"] == CANARY and row["first"] > young and row["state"] not in ("failed", "upstream_failed"):
            continue
        found.append(_task(row))
    return found + [
        Task((row["d"], row["dag"], row["run"], "(Dag run)", -1), 0.0, row["outcome"], False, False, None)
        for row in tables.rows(RUNS, last=last.snapshot, canary=CANARY)]


def of_moves(history: History, followed: list[Task] | None) -> list[Tasks | None]:
    """What each transition met."""
    if followed is None:
        return [None] * len(history.moves)
    found: list[Tasks | None] = []
    for move in history.moves:
        settled = move.settled
        if settled is None:
            found.append(None)
            continue
        flying = in_flight(history.tables, move.source, move.fault_seen)
        # What began after an earlier transition had settled and ended before this fault was met by neither.
        met = [t for t in followed if t.key[0] in move.deployments and t.first <= settled
               and (t.key in flying or t.in_flight_until is None or t.in_flight_until >= move.fault_seen)]
        found.append(count(met, len(flying)))
    return found


def count(followed: Iterable[Task], flying: int = 0) -> Tasks:
    """Counts by outcome, with examples of what is not good."""
    counts: Counter[str] = Counter()
    examples: dict[str, list[str]] = defaultdict(list)
    met = 0
    for task in followed:
        met += task.key[3] != "(Dag run)"
        kinds = [task.outcome, *(["duplicated"] if task.duplicated else []),
                 *(["against_retries"] if task.against_retries else [])]
        for kind in kinds:
            counts[kind] += 1
            if kind not in ("survived", "retried") and len(examples[kind]) < EXAMPLES:
                examples[kind].append(str(task))
    return Tasks(met=met, in_flight=flying, **{name: counts[name] for name in (*OUTCOMES, "duplicated",
                                                                            "against_retries")},
                 examples=dict(examples))


def _task(row: dict[str, Any]) -> Task:
    state, starts, retries = row["state"], row["starts"], row.get("retries")
    if state == "success":
        # The database's own count also holds tries that were queued and never began.
        outcome = "retried" if max(starts, row["tries"]) > 1 else "survived"
    elif not row["there"] or state in ("failed", "upstream_failed", "removed"):
        outcome = "lost"
    elif state == "skipped":
        outcome = "survived"
    else:
        outcome = "stuck"
    ended = row.get("last_effect") if outcome in ("survived", "retried") else None
    return Task((row["d"], row["dag"], row["run"], row["task"], row["map"]), row["first"], outcome,
                duplicated=row["effects"] > 1, against_retries=retries is not None and starts > retries + 1,
                in_flight_until=ended, heard=row.get("heard", False))
