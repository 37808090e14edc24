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
COPIED = ("witness", "held", "probes", "samples", "links", "access", "usage")


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
        for plant in PLANTS:
            plant(evidence.tables, plot)
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
    """A schema with a part of the evidence, in which unqualified names are found first."""
    db = tables.db
    db.execute("drop schema if exists planted cascade; create schema planted")
    for table in COPIED:
        db.execute(f"create table planted.{table} as select * from main.{table} where false")
    mine = {"d": plot.deployment, "some": SAMPLE}
    db.execute("insert into planted.witness select * from main.witness where d = $d limit $some", mine)
    db.execute("insert into planted.witness select * from main.witness where e = 'beat'")
    db.execute("insert into planted.held select * from main.held where d = $d and f <> 'row' limit $some", mine)
    db.execute("insert into planted.probes select * from main.probes where d = $d",
               {"d": plot.deployment})
    db.execute("set search_path = 'planted'")
    try:
        yield
    finally:
        db.execute("set search_path = 'main'; drop schema planted cascade")


# -- planting ----------------------------------------------------------------------------------


def _tell(tables: Tables, event: str, plot: Plot, **fields: Any) -> None:
    record = {"e": event, "d": plot.deployment, "r": plot.site, "t": plot.at, **fields}
    names = ", ".join(record)
    tables.db.execute(f"insert into witness ({names}) values ({', '.join('$' + n for n in record)})", record)


def _hold(tables: Tables, plot: Plot, fact: str, **fields: Any) -> None:
    record = {"snapshot": plot.look, "f": fact, "d": plot.deployment, **fields}
    names = ", ".join(f'"{name}"' for name in record)
    marks = ", ".join(f"${name}_" for name in record)
    tables.db.execute(f"insert into held ({names}) values ({marks})", {f"{k}_": v for k, v in record.items()})


def _written(tables: Tables, plot: Plot, number: int, content: int, **fields: Any) -> None:
    for event in ("try", "ack"):
        _tell(tables, event, plot, s="ledger", wr=WRITER, n=number, c=content, **fields)


def _row(tables: Tables, plot: Plot, number: int, content: int, **fields: Any) -> None:
    _hold(tables, plot, "row", wr=WRITER, n=number, c=content, **{"o": plot.deployment, **fields})


def _ti(tables: Tables, plot: Plot, task: str, state: str) -> None:
    key = {"dag": "planted", "run": "planted", "task": task, "map": -1}
    _tell(tables, "start", plot, n=1, c=1, **key)
    _hold(tables, plot, "ti", state=state, retries=2, c=1, **{"try": 1}, **key)


def _lost(tables: Tables, plot: Plot) -> None:
    _written(tables, plot, 1, 1)


def _corrupted(tables: Tables, plot: Plot) -> None:
    _written(tables, plot, 2, 1)
    _row(tables, plot, 2, 2)


def _misplaced(tables: Tables, plot: Plot) -> None:
    _written(tables, plot, 3, 1)
    _row(tables, plot, 3, 1, d=ELSEWHERE)


def _phantom(tables: Tables, plot: Plot) -> None:
    _row(tables, plot, 4, 1)


def _duplicated(tables: Tables, plot: Plot) -> None:
    _written(tables, plot, 5, 1)
    _row(tables, plot, 5, 1)
    _row(tables, plot, 5, 1)
    _ti(tables, plot, "twice", "success")
    for number in (1, 2):
        _tell(tables, "effect", plot, n=1, dag="planted", run="planted", task="twice", map=-1, cl="planted", q=number)


def _split(tables: Tables, plot: Plot) -> None:
    _written(tables, plot, 6, 1, r=plot.other)
    _row(tables, plot, 6, 1)


def _stuck(tables: Tables, plot: Plot) -> None:
    _ti(tables, plot, "stuck", "running")


def _relapsed(tables: Tables, plot: Plot) -> None:
    """From some time before the end on, every probe fails."""
    since = plot.until - 2 * (RELAPSE_CANARIES * plot.canary + plot.interval)
    tables.db.execute("delete from probes where sent > $since", {"since": since})
    tables.db.execute("""
        insert into probes by name
        select 0 as n, $d as d, $since + i * $every as sent, 1.0 as ms, 0.0 as late_ms, 'failed' as outcome
        from range(1, greatest(2, ceil(($until - $since) / $every)::integer)) as steps(i)""",
        {"d": plot.deployment, "since": since, "until": plot.until, "every": max(plot.interval, 0.1)})


def _deaf(tables: Tables, plot: Plot) -> None:
    tables.db.execute("delete from witness where e = 'beat' and r = $r", {"r": plot.deaf})


PLANTS: tuple[Callable[[Tables, Plot], None], ...] = (
    _lost, _corrupted, _misplaced, _phantom, _duplicated, _split, _stuck, _relapsed, _deaf)


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
