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

from harness.journal import Event
from harness.measures.interval import Interval, percentile
from harness.measures.timeline import Transition

RELAPSE_CANARIES = 3.0
"""No new canary success for so many canary intervals is a relapse."""


@dataclass(frozen=True)
class Recovery:
    """How one Deployment came back. Seconds since t_fault."""

    deployment: str
    rto: Interval
    api: Interval
    """Until its REST API answered every probe again: a figure of its own, not the RTO."""


@dataclass(frozen=True)
class FleetRecovery:
    """How the fleet came back."""

    deployments: tuple[Recovery, ...]
    fleet: Interval | None
    p50: float | None
    p95: float | None


def recovery(probes: list[Event], transition: Transition, fleet: list[str],
             interval: float, canary: float) -> FleetRecovery:
    """The recovery of every Deployment of the fleet.

    ``interval`` and ``canary``: seconds between its probes, and between its canary runs.
    """
    by_name: dict[str, list[Event]] = {name: [] for name in fleet}
    for probe in probes:
        if probe["d"] in by_name and transition.t_fault < probe["sent"] < transition.t_settled:
            by_name[probe["d"]].append(probe)
    found = tuple(
        Recovery(name, _restored(seen, transition, interval, RELAPSE_CANARIES * canary),
                 _api(seen, transition, interval))
        for name, seen in sorted(by_name.items())
    )
    values = [r.rto.value for r in found]
    slowest = max((r.rto for r in found), key=lambda i: (i.censored, i.value), default=None)
    return FleetRecovery(found, slowest, percentile(values, 0.5), percentile(values, 0.95))


def _restored(probes: list[Event], transition: Transition, interval: float,
              relapse: float) -> Interval:
    never = Interval(transition.t_settled - transition.t_fault, interval, censored=True)
    if transition.t_promoted is None:
        return never
    since = max(transition.t_fault, transition.t_promoted)
    up: float | None = None
    last_new, last_run = 0.0, None
    for probe in probes:
        canary = probe.get("canary")
        if probe["outcome"] != "ok" or not canary or canary["scheduled"] <= since:
            continue
        seen = probe["sent"] + probe["ms"] / 1000
        if canary["run"] != last_run:
            if up is None or seen - last_new > relapse:
                up = seen
            last_new, last_run = seen, canary["run"]
    if up is None or transition.t_settled - last_new > relapse:
        return never
    return Interval(up - transition.t_fault, interval)


def _api(probes: list[Event], transition: Transition, interval: float) -> Interval:
    failing = [i for i, probe in enumerate(probes) if probe["outcome"] != "ok"]
    if not probes or (failing and failing[-1] == len(probes) - 1):
        return Interval(transition.t_settled - transition.t_fault, interval, censored=True)
    if not failing:
        return Interval(0.0, interval)
    first = probes[failing[-1] + 1]
    return Interval(first["sent"] + first["ms"] / 1000 - transition.t_fault, interval)
