"""Recovery time: how long each Deployment could run no task.

**RTO of a Deployment** = t_up - t_fault. t_up is when a probe, sent through the Deployment's own
hostname, first saw the success of a task instance that was *scheduled by the new writer*, that is,
after the fault and after t_promoted. The canary Dag (a one-second task at a short interval) is what
is looked for, so the figure does not depend on how long the load's tasks are. A Deployment that
relapses before it has settled is up only from its last recovery; one that was not seen to come back
is censored ("more than"), never dropped. **RTO of the fleet** is its slowest Deployment.

It does **not** mean: that every task that was running has recovered (see ``tasks``), that the clean-up
is done, or how long a person took to decide. The error is the probe interval: what a probe saw
happened at most one interval before. The canary's own interval and second are part of the figure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness.measures.interval import Interval, percentile
from harness.measures.timeline import Transition
from harness.tables import Tables

RELAPSE_CANARIES = 3.0
"""No new canary success for so many canary intervals is a relapse."""


@dataclass(frozen=True)
class Split:
    """Where the time went: the parts of one Deployment's RTO, in seconds; their sum is the RTO."""

    promotion: float
    """From the fault to the new writer's first commit: request, compute, promotion."""
    scheduler: float
    """From there until a scheduler scheduled the canary: pod start, adoption, the canary's interval."""
    task: float
    """From there until the canary's end: the executor, the task, its state."""
    probe: float
    """From there until a probe saw it."""


@dataclass(frozen=True)
class Recovery:
    """How one Deployment came back. Seconds since t_fault."""

    deployment: str
    rto: Interval
    api: Interval
    """Until its REST API answered every probe again: a figure of its own, not the RTO."""
    split: Split | None = None
    """None where it was never restored."""


@dataclass(frozen=True)
class FleetRecovery:
    """How the fleet came back."""

    deployments: tuple[Recovery, ...]
    fleet: Interval | None
    p50: float | None
    p95: float | None


SIGHTINGS = """
select d, min(sent + ms / 1000) as seen, min(scheduled) as scheduled, min(ended) as ended from probes
where outcome = 'ok' and scheduled > $since and sent > $t_fault and sent < $until
group by d, run order by seen
"""
"""When each canary run that the new writer scheduled was first seen to have succeeded."""
ANSWERS = """
with span as (select * from probes where sent > $t_fault and sent < $until),
bad as (select d, max(sent) filter (outcome <> 'ok') as last from span group by d)
select d, last is not null as failed,
       min(sent + ms / 1000) filter (outcome = 'ok' and sent > last) as back
from span join bad using (d) group by d, last
"""
"""Whether a Deployment's API failed to answer a probe, and the first answer after the last failure."""


def recovery(tables: Tables, transition: Transition, fleet: list[str],
             interval: float, canary: float) -> FleetRecovery:
    """The recovery of every Deployment of the fleet.

    ``interval`` and ``canary``: seconds between its probes, and between its canary runs.
    """
    span = {"t_fault": transition.t_fault, "until": transition.t_settled}
    seen: dict[str, list[dict[str, Any]]] = {name: [] for name in fleet}
    if transition.t_promoted is not None:
        since = max(transition.t_fault, transition.t_promoted)
        for row in tables.rows(SIGHTINGS, since=since, **span):
            seen.setdefault(row["d"], []).append(row)
    answers = {row["d"]: row for row in tables.rows(ANSWERS, **span)}
    found = tuple(
        _recovery(name, _restored(seen[name], transition, RELAPSE_CANARIES * canary), transition,
                  interval, _api(answers.get(name), transition, interval))
        for name in sorted(fleet)
    )
    values = [r.rto.value for r in found]
    slowest = max((r.rto for r in found), key=lambda i: (i.censored, i.value), default=None)
    return FleetRecovery(found, slowest, percentile(values, 0.5), percentile(values, 0.95))


def _recovery(name: str, sighting: dict[str, Any] | None, transition: Transition, interval: float,
              api: Interval) -> Recovery:
    if sighting is None or transition.t_promoted is None:
        never = Interval(transition.t_settled - transition.t_fault, interval, censored=True)
        return Recovery(name, never, api)
    split = Split(
        promotion=transition.t_promoted - transition.t_fault,
        scheduler=sighting["scheduled"] - transition.t_promoted,
        task=sighting["ended"] - sighting["scheduled"], probe=sighting["seen"] - sighting["ended"])
    return Recovery(name, Interval(sighting["seen"] - transition.t_fault, interval), api, split)


def _restored(seen: list[dict[str, Any]], transition: Transition,
              relapse: float) -> dict[str, Any] | None:
    """The sighting since which a Deployment is up, None when it is not."""
    up: dict[str, Any] | None = None
    last = 0.0
    for sighting in seen:
        if up is None or sighting["seen"] - last > relapse:
            up = sighting
        last = sighting["seen"]
    return up if up is not None and transition.t_settled - last <= relapse else None


def _api(answers: dict[str, Any] | None, transition: Transition, interval: float) -> Interval:
    if answers is not None and not answers["failed"]:
        return Interval(0.0, interval)
    if answers is None or "back" not in answers:
        return Interval(transition.t_settled - transition.t_fault, interval, censored=True)
    return Interval(answers["back"] - transition.t_fault, interval)
