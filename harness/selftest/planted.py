"""Planted violations: the proof, in every run, that its measures would have seen what they did not report.

A part of the run's own evidence (one Deployment, a few of its writes) is copied beside it, one violation of each
kind is planted in the copy, and the measures are asked again. Each must find its own; one that does not is named,
and the run is inconclusive. Planted are: a write that is lost, one that is corrupted, one in another Deployment's
database, a row that nobody attempted, a row that is there twice, a task with two side effects, a write from a site
that did not reign, a task that is stuck, a Deployment that relapses, a site that is not heard.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from harness.measures import conservation, history, rto, split_brain, tasks
from harness.measures.figures import MeasureFailed, measured
from harness.measures.hearing import SILENT_BEATS
from harness.measures.history import History
from harness.measures.result import Planted, Proof
from harness.measures.rto import RELAPSE_CANARIES
from harness.record.events import FleetUp
from harness.record.evidence import Evidence
from harness.record.tables import Tables

WRITER = "planted/w"
ELSEWHERE = "planted-elsewhere"
"""A site and a Deployment that there are not."""
SAMPLE = 200
"""Ledger rows, task instances and the like that are copied with the Deployment."""
EMPTY = ("samples", "links", "access", "usage")
"""Tables in which nothing is planted."""


@dataclass(frozen=True)
class Plot:
    """Where the violations are planted."""

    deployment: str
    site: str
    """That reigns at the end."""
    other: str
    at: float
    """Shortly before the last look."""
    look: str
    until: float
    """The end of what the last look saw."""
    interval: float
    canary: float
    deaf: str
    """The site that is not heard any more: the one that had power for longest without a break."""
    powered_s: float
    """For how long."""


def prove(past: History) -> Proof | None:
    """Plant and look; None where there is nothing to plant in: no fleet, or no look.

    A measure that does not come to its end has not found what was planted, and is named.
    """
    if not past.fleet or past.last_look is None:
        return None
    try:
        found = measured("selftest", lambda: _planted(past.evidence, _plot(past)))
    except MeasureFailed as error:
        found = [Planted(violation=f"any, for {error}", measure=error.measure, found=False)]
    return Proof(planted=found)


def _planted(evidence: Evidence, plot: Plot) -> list[Planted]:
    with _copy(evidence.tables, plot):
        up = next(e for e in evidence.events if isinstance(e, FleetUp))
        alone = replace(up, deployments=[{"name": plot.deployment}])
        events = [alone if e is up else e for e in evidence.events]
        # The violations are planted in the last look only; to look at the others would cost as much each.
        return _ask(replace(evidence, events=events, snapshots=(plot.look,)), plot)


def _plot(past: History) -> Plot:
    last = past.last_look
    assert last is not None
    name = past.fleet[0]
    site = past.site_at_end(name)
    other = next((s for s in past.roles if s != site), ELSEWHERE)
    reigns = past.epochs[name]
    since = reigns[-1].last if reigns else 0.0
    deaf = max((site, *past.roles), key=lambda each: _powered(past, each, last.began))
    return Plot(name, site, other, max(since + 0.001, last.began - 1.0), last.snapshot,
                last.began + past.started.probe_interval_s, past.started.probe_interval_s,
                past.started.canary_interval_s, deaf, _powered(past, deaf, last.began))


def _powered(past: History, site: str, until: float) -> float:
    """For how long a site had power at most without a break, since the fleet was up."""
    up = past.evidence.first(FleetUp)
    began, longest = until if up is None else up.wall, 0.0
    for outage in sorted((outage for outage in past.outages if outage.site == site), key=lambda each: each.began):
        longest = max(longest, min(outage.began, until) - began)
        began = max(began, outage.ended)
    return max(longest, until - began)


@contextmanager
def _copy(tables: Tables, plot: Plot) -> Iterator[None]:
    """A schema with a part of the evidence and the violations, in which unqualified names are found first."""
    db = tables.db
    threads = tables.value("select current_setting('threads')")
    # A few hundred rows: to share them out would take longer than to go through them.
    db.execute("set threads = 1; drop schema if exists planted cascade; create schema planted;"
               + ";".join(f"create table planted.{table} as select * from main.{table} where false" for table in EMPTY))
    mine = {"d": plot.deployment, "some": SAMPLE}
    db.execute("create table planted.held as"
               " select * from main.held where d = $d and f <> 'row' limit $some", mine)
    # Of a site that is deaf nothing is heard.
    db.execute("create table planted.witness as (select * from main.witness where d = $d limit $some)"
               " union all select * from main.witness where e = 'beat' and r is distinct from $deaf",
               mine | {"deaf": plot.deaf})
    since = _relapse(plot)
    db.execute("""
        create table planted.probes as select * from main.probes where d = $d and sent <= $since union all by name
        select 0 as n, $d as d, $since + i * $every as sent, 1.0 as ms, 0.0 as late_ms, 'failed' as outcome
        from range(1, greatest(2, ceil(($until - $since) / $every)::integer)) as steps(i)""",
        {"d": plot.deployment, "since": since, "until": plot.until, "every": max(plot.interval, 0.1)})
    try:
        _insert(tables, "planted.witness", [told for plant in PLANTS for told in plant(plot).told])
        _insert(tables, "planted.held", [fact for plant in PLANTS for fact in plant(plot).held])
        db.execute("set search_path = 'planted'")
        yield
    finally:
        db.execute(f"set search_path = 'main'; drop schema planted cascade; set threads = {threads}")


def _relapse(plot: Plot) -> float:
    """From when on every probe fails."""
    return plot.until - 2 * (RELAPSE_CANARIES * plot.canary + plot.interval)


def _insert(tables: Tables, table: str, rows: list[dict[str, Any]]) -> None:
    """All rows at once: a statement for each would cost more than all the measures do."""
    names = list({name: None for row in rows for name in row})
    records = [{name: row.get(name) for name in names} for row in rows]
    tables.db.execute(f"insert into {table} by name select unnest(row) from (select unnest($rows) as row)",
                      {"rows": records})


# -- planting ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Violation:
    """What is planted: records of the witness, and facts of the last look."""

    told: list[dict[str, Any]]
    held: list[dict[str, Any]]


def _tell(plot: Plot, event: str, **fields: Any) -> dict[str, Any]:
    return {"e": event, "d": plot.deployment, "r": plot.site, "t": plot.at, **fields}


def _hold(plot: Plot, fact: str, **fields: Any) -> dict[str, Any]:
    return {"snapshot": plot.look, "f": fact, "d": plot.deployment, **fields}


def _written(plot: Plot, number: int, content: int, **fields: Any) -> list[dict[str, Any]]:
    return [_tell(plot, event, s="ledger", wr=WRITER, n=number, c=content, **fields) for event in ("try", "ack")]


def _row(plot: Plot, number: int, content: int, **fields: Any) -> dict[str, Any]:
    return _hold(plot, "row", wr=WRITER, n=number, c=content, **{"o": plot.deployment, **fields})


def _ti(plot: Plot, task: str, state: str) -> Violation:
    key = {"dag": "planted", "run": "planted", "task": task, "map": -1}
    return Violation([_tell(plot, "start", n=1, c=1, **key)],
                     [_hold(plot, "ti", state=state, retries=2, c=1, **{"try": 1}, **key)])


def _lost(plot: Plot) -> Violation:
    return Violation(_written(plot, 1, 1), [])


def _corrupted(plot: Plot) -> Violation:
    return Violation(_written(plot, 2, 1), [_row(plot, 2, 2)])


def _misplaced(plot: Plot) -> Violation:
    return Violation(_written(plot, 3, 1), [_row(plot, 3, 1, d=ELSEWHERE)])


def _phantom(plot: Plot) -> Violation:
    return Violation([], [_row(plot, 4, 1)])


def _duplicated(plot: Plot) -> Violation:
    return Violation(_written(plot, 5, 1), [_row(plot, 5, 1), _row(plot, 5, 1)])


def _twice(plot: Plot) -> Violation:
    ended = _ti(plot, "twice", "success")
    effects = [_tell(plot, "effect", n=1, dag="planted", run="planted", task="twice", map=-1, cl="planted", q=number)
               for number in (1, 2)]
    return Violation(ended.told + effects, ended.held)


def _split(plot: Plot) -> Violation:
    return Violation(_written(plot, 6, 1, r=plot.other), [_row(plot, 6, 1)])


def _stuck(plot: Plot) -> Violation:
    return _ti(plot, "stuck", "running")


PLANTS: tuple[Callable[[Plot], Violation], ...] = (
    _lost, _corrupted, _misplaced, _phantom, _duplicated, _twice, _split, _stuck)
"""All but two: a site that is deaf and a Deployment that relapses miss records instead (:func:`_copy`)."""


# -- looking -------------------------------------------------------------------------------------


def _ask(copy: Evidence, plot: Plot) -> list[Planted]:
    """Whether each measure finds what was planted for it."""
    past = measured("history", lambda: history.of(copy))
    measured("conservation", lambda: conservation.account(past))
    measured("split_brain", lambda: split_brain.find(past))
    fates = {row["ident"]: row["fate"] for row in past.tables.rows(
        "select ident, fate from fates where ident like $planted union all"
        " select ident, fate from strange where ident like $planted", planted=f"% of {WRITER}%")}
    followed = {task.key[3]: task for task in measured("tasks", lambda: tasks.follow(past)) or []
                if task.key[1] == "planted"}
    split = past.tables.value("select count(*) from intrusions where not possible and what like $planted",
                              planted=f"%{WRITER} 6%")

    def row(number: int, fate: str) -> bool:
        return any(ident.startswith(f"row {number} of ") and found == fate for ident, found in fates.items())

    up_at_end = measured("rto", lambda: rto.up_at_end(past))
    found = [("lost", "conservation", row(1, "lost")), ("corrupted", "conservation", row(2, "corrupted")),
             ("misplaced", "conservation", row(3, "misplaced")), ("phantom", "conservation", row(4, "phantom")),
             ("duplicated", "conservation", row(5, "duplicated")),
             ("task duplicated", "tasks", "twice" in followed and followed["twice"].duplicated),
             ("split brain", "split_brain", split == 1),
             ("stuck", "tasks", "stuck" in followed and followed["stuck"].outcome == "stuck"),
             ("relapsed", "rto", up_at_end.get(plot.deployment) is False)]
    beats = past.started.beat_interval_s
    # One that comes back has as long to speak again as a silence takes to be one.
    if beats and plot.powered_s > 2 * SILENT_BEATS * beats:
        found.append(("deaf", "hearing", any(s.site == plot.deaf for s in past.silences)))
    return [Planted(violation=what, measure=measure, found=seen) for what, measure, seen in found]
