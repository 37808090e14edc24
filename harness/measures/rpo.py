"""What a transition lost: acknowledged before the fault, and not there once the fleet had settled.

**RPO of a stream** = t_fault - the acknowledgement of the oldest write that the transition lost, with the count. It
is known no better than what was observed:

* where no older acknowledged write of the same reign survives, it is *at least* that (everything that was watched is
  gone), and met by no bound: the history is too short to say more. What an earlier reign had written never had to take
  the way of this one: its survival says nothing;
* where nothing is lost, it is at most the time since the last acknowledgement before the fault, plus the time by which
  the witness may have missed one (:mod:`hearing`);
* where nothing was acknowledged, it is not known.

The time between asking for the fault and seeing it is part of its error, and so is what the site's clock may be off by
(:mod:`clocks`). A transition may also lose what an earlier reign had written: it counts like the rest.

Each Deployment has its own, the fleet's is the largest. Writes that the old writer acknowledged *after* the fault (a
writer that lives on behind a partition does), and that the new one never had, are **stranded**: by its definition the
RPO does not count them, conservation does.

It does **not** mean: what *would* have been lost at another moment (see :mod:`exposure`), nor anything about writes
that were never acknowledged. What is absent after the transition but there again at the end of the run counts here
*and* as recovered later.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from harness.measures import clocks, conservation
from harness.measures.conservation import EXAMPLES, STREAMS
from harness.measures.history import History
from harness.measures.interval import Interval, slowest
from harness.measures.result import Loss
from harness.measures.timeline import Move
from harness.record.tables import Tables

CLOCK_ERROR_S = 0.01
"""The time between an event and its time stamp."""
REIGNS = {"move": "integer", "d": "varchar", "r": "varchar", "since": "double", "until": "double", "seen": "double"}
TOLD = """
with told as (
    select 'metadata' as stream, d, r, t from ({ledger})
    union all select 'metadata', d, r, t from airflow_acks
    union all select s, d, r, t from object_acks)
"""
"""Every acknowledged write once; ``ledger``: the ledger's."""
ACKED = """,
once as (
    select stream, d, r, t from told
    union all select stream, d, r, t from fates where (stream, ident, t) in (select s, key, t from superseded))
select move, stream, once.d, count(*) filter (t <= seen) as acknowledged, max(t) filter (t <= seen) as last
from once join reigns on reigns.r = once.r and reigns.d = once.d
where t > since and t <= until group by all
"""
"""What the site that is left had acknowledged in its last reign, what it lost and was written again included."""
LOST = """
select move, stream, fates.d, part,
       count(*) filter (t <= seen) as lost, min(t) filter (t <= seen) as oldest,
       count(*) filter (t <= seen and not (fates.r = reigns.r and t > since)) as earlier,
       count(*) filter (t <= seen and fate = 'recovered_later') as recovered,
       count(*) filter (t > seen) as stranded, max(t) filter (t > seen) as last_stranded,
       list(concat_ws(' ', fates.d, ident) order by t, ident)[:$some] as examples
from fates join reigns on reigns.move = fates.lost_at and reigns.d = fates.d
where fate in ('lost', 'recovered_later') and (t <= seen or fates.r = reigns.r and t <= until) group by all
"""
"""What was lost at the transition: before the fault, in any reign; and after it, by the site that is left."""
OLDER = """
select distinct edges.move, stream, d from told join edges using (stream, d) join reigns using (move, d)
    anti join (select stream, d, t from fates where fate <> 'recovered_later') using (stream, d, t)
where t < oldest and (oldest <= since or reigns.r = told.r and t > since)
"""
"""Of which Deployments some older acknowledged write survives: of the reign of the oldest that was lost, or before."""
FLEET = ""
"""In place of a Deployment: of writes that belong to none (images)."""


def losses(history: History) -> list[dict[str, dict[str, Loss]]]:
    """For each transition, by stream, by Deployment; images have one entry, under ``""``.

    :func:`~harness.measures.conservation.account` must have been called.
    """
    tables = history.tables
    rows: list[tuple[int, str, str, float, float, float]] = []
    for move in history.moves:
        spans = [(history.reign_before(name, move), _end_of_reign(history, name, move)) for name in move.deployments]
        rows += [(move.index, name, move.source, *span, move.fault_seen)
                 for name, span in zip(move.deployments, spans, strict=True)]
        rows.append((move.index, FLEET, move.source, min((since for since, _ in spans), default=0.0),
                     max((until for _, until in spans), default=0.0), move.fault_seen))
    tables.make("reigns", REIGNS, rows)
    told = TOLD.format(ledger=conservation.ledger_acks(history))
    acked = {(row["move"], row["stream"], row["d"]): row for row in tables.rows(told + ACKED)}
    lost: dict[tuple[int, str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in tables.rows(LOST, some=EXAMPLES):
        lost[row["move"], row["stream"], row["d"]].append(row)
    older = _older(tables, told, lost)
    found: list[dict[str, dict[str, Loss]]] = []
    for move in history.moves:
        names = {"metadata": move.deployments, "task-logs": move.deployments, "images": (FLEET,)}
        found.append({stream: {
            name: _loss(history, move, acked.get((move.index, stream, name), {}),
                        lost.get((move.index, stream, name), []), (move.index, stream, name) in older)
            for name in names[stream]} for stream in STREAMS})
    return found


def survivors(history: History, move: Move, since: float) -> set[str]:
    """The Deployments of which every look shows some metadata that the site that is left acknowledged since then.

    Up to the fault, that is: what was written earlier was replicated earlier.
    """
    told = TOLD.format(ledger=conservation.ledger_acks(history))
    return {row["d"] for row in history.tables.rows(
        told + "select distinct d from told anti join (select d, t from fates where stream = 'metadata') using (d, t)"
        " where stream = 'metadata' and r = $site and t > $since and t <= $until",
        site=move.source, since=since, until=move.fault_seen)}


def of_fleet(by_deployment: dict[str, Loss]) -> Loss:
    """The sum of all Deployments, and the largest of their windows; one that is not known makes it unknown."""
    losses = list(by_deployment.values())
    windows = [loss.rpo for loss in losses]
    known = [window for window in windows if window is not None]
    rpo = slowest(known)
    if rpo is not None and len(known) < len(windows):
        rpo = Interval.at_least(rpo.low)
    parts: dict[str, int] = defaultdict(int)
    for loss in losses:
        for part, count in loss.parts.items():
            parts[part] += count
    return Loss(
        acknowledged=sum(x.acknowledged for x in losses), lost=sum(x.lost for x in losses),
        recovered_later=sum(x.recovered_later for x in losses), rpo=rpo,
        stranded=sum(x.stranded for x in losses), stranded_s=max((x.stranded_s for x in losses), default=0.0),
        parts=dict(parts), examples=[e for x in losses for e in x.examples][:EXAMPLES])


def _end_of_reign(history: History, name: str, move: Move) -> float:
    epoch = history.epoch_of(name, move)
    return epoch.last if epoch is not None else move.until


def _older(tables: Tables, told: str,
           lost: dict[tuple[int, str, str], list[dict[str, Any]]]) -> set[tuple[int, str, str]]:
    oldest = [[*key, min(row["oldest"] for row in rows if "oldest" in row)]
              for key, rows in lost.items() if any("oldest" in row for row in rows)]
    if not oldest:
        return set()
    tables.make("edges", {"move": "integer", "stream": "varchar", "d": "varchar", "oldest": "double"}, oldest)
    return {(row["move"], row["stream"], row["d"]) for row in tables.rows(told + OLDER)}


def _loss(history: History, move: Move, acked: dict[str, Any], rows: list[dict[str, Any]],
          older_survives: bool) -> Loss:
    acknowledged = int(acked.get("acknowledged", 0)) + sum(row["earlier"] for row in rows)
    oldest = min((row["oldest"] for row in rows if "oldest" in row), default=None)
    stranded = max((row["last_stranded"] for row in rows if "last_stranded" in row), default=None)
    settled = move.snapshot is not None
    return Loss(
        acknowledged=acknowledged, lost=sum(row["lost"] for row in rows),
        recovered_later=sum(row["recovered"] for row in rows),
        rpo=_window(history, move, acked.get("last"), oldest, older_survives) if settled else None,
        stranded=sum(row["stranded"] for row in rows),
        stranded_s=0.0 if stranded is None else stranded - move.fault_seen,
        parts={row["part"]: row["lost"] for row in rows if row["lost"]},
        examples=[example for row in rows for example in row["examples"]][:EXAMPLES])


def _window(history: History, move: Move, last: float | None, oldest: float | None,
            older_survives: bool) -> Interval | None:
    error = CLOCK_ERROR_S + clocks.doubts(history.offsets).get(move.source, 0.0)
    if oldest is None:
        # Nothing is lost. What was not heard of may have been, from the last acknowledgement on.
        return None if last is None else Interval(low=0.0, high=_since(last, move.fault_seen, error) + history.blind_s)
    low = max(0.0, move.fault_asked - oldest - error)
    return Interval(low=low, high=_since(oldest, move.fault_seen, error)) if older_survives else Interval.at_least(low)


def _since(one: float, other: float, error: float) -> float:
    return max(0.0, other - one) + error
