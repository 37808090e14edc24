"""Recovery time: how long each Deployment could run no task.

**RTO of a Deployment** = t_up - t_fault. t_up is the success of the first task instance that was *scheduled in the new
epoch*, as a probe saw it through the Deployment's own hostname, when that led to the site where it is to run. The
canary Dag (a one-second task at a short interval) is what is looked for, so the figure does not depend on how long the
load's tasks are. A Deployment that relapses before the fleet has settled is up only from its last recovery; one that
was watched and not seen to come back was **never restored**. **RTO of the fleet** is its slowest Deployment.

A probe sees a success some time after it happened: the error of a sighting is the probes' interval (or the time since
the probe before, where that is longer), the time that this answer took, and how late this probe was sent; to it comes
the time between asking for the fault and seeing it. Probes that stopped are a gap, not an outage: of a Deployment that
nobody watched, nothing is known.

It does **not** mean: that every task that was running has recovered (:mod:`tasks`), that the clean-up is done, or how
long a person took to decide. The canary's own interval and second are part of the figure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any

from harness.measures import timeline
from harness.measures.history import History
from harness.measures.interval import Interval
from harness.measures.result import Recovery, Split
from harness.measures.timeline import Move

RELAPSE_CANARIES = 3.0
"""No new canary success for so many canary intervals is a relapse."""
UNWATCHED_PROBES = 3.0
"""No probe for so many probe intervals (and the time-out of one) is a span that nobody watched."""
PROBE_TIMEOUT_S = 8.0
"""After so long a probe that was sent is given up, and written down."""

SIGHTINGS = """
with spaced as (
    select *, lag(sent) over (partition by d order by sent) as before from probes where sent < $until)
select d, run, min_by(sent + ms / 1000, sent) as seen, min(scheduled) as scheduled, min(ended) as ended,
       min_by(greatest($interval + (ms + late_ms) / 1000, sent + ms / 1000 - before), sent) as doubt
from spaced
where outcome = 'ok' and scheduled is not null and sent > $since
    and (len($known) = 0 or list_contains($there, address))
group by d, run order by seen
"""
"""When each canary run was first seen to have succeeded, by probes whose hostname led to the right site."""
ANSWERS = """
with span as (select * from probes where sent > $since and sent < $until),
bad as (select d, max(sent) filter (outcome <> 'ok') as last from span group by d)
select d, last, min(sent + ms / 1000) filter (outcome = 'ok' and sent > last) as back
from span join bad using (d) group by d, last
"""
"""When a Deployment's API last failed to answer a probe, and its first answer after that."""
WATCHED = """
select d, max(gap) as gap from (
    select d, sent - lag(sent, 1, $since) over (partition by d order by sent) as gap from probes
    where sent > $since and sent < $until
    union all
    select d, $until - max(sent) from probes where sent > $since and sent < $until group by d)
group by d
"""
"""The longest time between two probes of a Deployment."""


LAST_TWO = """
select d, bool_and(outcome <> 'ok') as failing from (
    select d, outcome from probes where sent < $until
    qualify row_number() over (partition by d order by sent desc) <= 2)
group by d
"""
STRETCHES = """
with marked as (
    select d, sent, outcome, lag(sent) over before as previous, count(*) filter (outcome = 'ok') over before as oks
    from probes where sent < $until window before as (partition by d order by sent)),
news as (
    select d, min(sent) as seen from probes
    where sent < $until and outcome = 'ok' and scheduled is not null group by d, run
    union all select distinct d, $until from probes where outcome = 'ok' and scheduled is not null and sent < $until)
select d, 'unwatched' as what, previous as first, sent as last from marked
union all
select d, 'unwatched', max(sent), $until from marked group by d
union all
select d, 'failing', min(sent), max(sent) from marked where outcome <> 'ok' group by d, oks
union all
select d, 'idle', lag(seen) over (partition by d order by seen), seen from news
"""
"""Stretches of time in which a Deployment was not probed, answered no probe well, or showed no new canary success."""

Span = tuple[float, float]
"""From when to when, in wall-clock seconds."""


@dataclass(frozen=True)
class Sighting:
    """A canary's success, as a probe saw it. Wall-clock seconds; ``doubt``: by how much earlier it may have been."""

    seen: float
    scheduled: float
    ended: float
    doubt: float


def recoveries(history: History) -> list[dict[str, Recovery]]:
    """For each transition, how each Deployment that it moves came back."""
    return [_of(history, move) for move in history.moves]


def up_at_end(history: History) -> dict[str, bool | None]:
    """Whether each Deployment ran tasks when the fleet was last watched; None: nobody watched it."""
    settled = [m for m in history.looks if not m.before]
    if not settled:
        return dict.fromkeys(history.fleet)
    # The look itself takes a while; probes go on through it.
    until = settled[-1].began + history.started.probe_interval_s
    span = RELAPSE_CANARIES * history.started.canary_interval_s + history.started.probe_interval_s
    watched = _watched(history, _gaps(history, until - span, until))
    # Its last two probes failed: a canary that was seen a moment ago does not make it up.
    failing = {row["d"]: row["failing"] for row in history.tables.rows(LAST_TWO, until=until)}
    found: dict[str, bool | None] = {}
    by_site: dict[str, dict[str, list[Sighting]]] = {}
    for name in history.fleet:
        site = history.site_at_end(name)
        if site not in by_site:
            by_site[site] = _sightings(history, site, until - 2 * span, until)
        fresh = [s for s in by_site[site].get(name, ()) if s.seen >= until - span and s.scheduled >= until - 2 * span]
        found[name] = not failing.get(name, False) if fresh else False if watched.get(name) else None
    return found


def up_between(history: History) -> dict[str, bool | None]:
    """Whether each Deployment was up while nothing moved it; None: there is a time in which nobody watched it.

    It was not, if its probes failed for longer than a relapse takes to be seen, or showed no new success of a canary
    for so long (unless something stood that the drill had broken without meaning to disrupt anything: commits may wait
    then). From a disrupting fault, or a request, to the settled fleet it is the recovery time of a transition of this
    very Deployment; between the last look and the end of the record nobody promises anything.
    """
    settled = [look for look in history.looks if not look.before]
    if not settled:
        return {}
    interval = history.started.probe_interval_s
    relapse = RELAPSE_CANARIES * history.started.canary_interval_s + interval
    # The success before a stretch may be older than the probe that saw it, the one after it younger.
    longest = {"failing": relapse, "idle": relapse + 2 * interval, "unwatched": _unwatched_s(history)}
    parts: dict[tuple[str, str], list[Span]] = defaultdict(list)
    for row in history.tables.rows(STRETCHES, until=settled[-1].began):
        if "first" in row and row["last"] - row["first"] > longest[row["what"]]:
            parts[row["d"], row["what"]] += _without([(row["first"], row["last"])], _moving(history, row["d"]))
    standing = timeline.standing(history.evidence)
    up: dict[str, bool | None] = {}
    for name in history.fleet:
        parts[name, "idle"] = _without(parts[name, "idle"], [*standing, *parts[name, "unwatched"]])
        seen = {what for what, most in longest.items() if any(b - a > most for a, b in parts[name, what])}
        up[name] = False if seen & {"failing", "idle"} else None if seen else True
    return up


def _moving(history: History, name: str) -> list[Span]:
    """The times in which a Deployment is on its way, or has been struck by what it is moved for."""
    return [(min(m.fault_asked, m.asked), m.settled if m.settled is not None else m.until)
            for m in history.moves if name in m.deployments]


def _without(parts: list[Span], taken: Iterable[Span]) -> list[Span]:
    """What is left of some spans of time without others."""
    for began, ended in taken:
        parts = [part for a, b in parts for part in ((a, min(b, began)), (max(a, ended), b)) if part[1] > part[0]]
    return parts


def _of(history: History, move: Move) -> dict[str, Recovery]:
    until = move.settled if move.settled is not None else move.until
    seen = _sightings(history, move.target, move.fault_seen, until)
    answers = {row["d"]: row for row in history.tables.rows(ANSWERS, since=move.fault_seen, until=until)}
    gaps = _gaps(history, move.fault_seen, until)
    watched = _watched(history, gaps)
    found = {}
    for name in move.deployments:
        epoch = history.epoch_of(name, move)
        relapse = RELAPSE_CANARIES * history.started.canary_interval_s
        # Scheduled in the new epoch for certain, and perhaps: by the old writer while it was being left.
        up, perhaps = (_restored([s for s in seen.get(name, ()) if s.scheduled > since], until, relapse)
                       for since in ((epoch.last, epoch.first) if epoch is not None else (inf, inf)))
        api = _api(answers[name], move, gaps[name]) if watched.get(name) else None
        if up and epoch is not None:
            first = up[0]
            # A probe that was sent earlier may have been answered later.
            least = min(s.seen - s.doubt for s in (*up, *perhaps))
            rto = Interval(low=max(0.0, least - move.fault_seen), high=first.seen - move.fault_asked)
            split = Split(promotion_s=epoch.last - move.fault_seen, scheduler_s=first.scheduled - epoch.last,
                          task_s=first.ended - first.scheduled, probe_s=first.seen - first.ended)
            found[name] = Recovery(rto=rto, restored=True, api=api, split=split)
        elif watched.get(name):
            found[name] = Recovery(rto=Interval.at_least(until - move.fault_seen), restored=False, api=api)
        else:
            found[name] = Recovery(rto=None, restored=False, api=api)
    return found


def _sightings(history: History, site: str, since: float, until: float) -> dict[str, list[Sighting]]:
    there = [address for address, name in history.addresses.items() if name == site]
    found: dict[str, list[Sighting]] = defaultdict(list)
    for row in history.tables.rows(SIGHTINGS, since=since, until=until, there=there,
                                   interval=history.started.probe_interval_s, known=list(history.addresses)):
        found[row["d"]].append(Sighting(row["seen"], row["scheduled"], row["ended"], row["doubt"]))
    return found


def _gaps(history: History, since: float, until: float) -> dict[str, float]:
    """The longest time without a probe of each Deployment that was probed at all."""
    return {row["d"]: row["gap"] for row in history.tables.rows(WATCHED, since=since, until=until)}


def _watched(history: History, gaps: Mapping[str, float]) -> dict[str, bool]:
    """Which Deployments were probed all the time."""
    return {name: gap <= _unwatched_s(history) for name, gap in gaps.items()}


def _unwatched_s(history: History) -> float:
    """The longest time between two probes that is no gap."""
    return UNWATCHED_PROBES * history.started.probe_interval_s + PROBE_TIMEOUT_S


def _restored(seen: list[Sighting], until: float, relapse: float) -> list[Sighting]:
    """The sightings since a Deployment is up; none when it is not."""
    up: list[Sighting] = []
    for sighting in seen:
        if up and sighting.seen - up[-1].seen > relapse:
            up = []
        up.append(sighting)
    return up if up and until - up[-1].seen <= relapse else []


def _api(answers: Mapping[str, Any], move: Move, gap: float) -> Interval:
    """Until every probe was answered; ``gap``: the longest time between two of them."""
    if "last" not in answers:
        return Interval(low=0.0, high=gap)
    low = answers["last"] - move.fault_seen
    return Interval(low=low, high=answers["back"] - move.fault_asked if "back" in answers else None)
