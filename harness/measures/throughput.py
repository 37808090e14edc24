"""Throughput: task instances that the fleet ended with success, a second, before a transition and after it.

**Before** is the last minute before the fault; **after** is from when the last Deployment was up again until the
fleet had settled. Both count acknowledged successes, canaries left out. It does **not** mean the fleet's capacity:
the load's users keep so many tasks running as they were asked for, and no more.
"""

from __future__ import annotations

from harness.measures.history import History
from harness.measures.interval import Interval
from harness.measures.result import Throughput
from harness.measures.tasks import CANARY
from harness.measures.timeline import Move

BEFORE_S = 60.0
LEAST_S = 5.0
"""A shorter span says nothing."""


def throughput(history: History, move: Move, rto: Interval | None) -> Throughput:
    """Before and after one transition; None where there was nothing, or too little, to count."""
    before = _rate(history, move.source, move.fault_seen - BEFORE_S, move.fault_seen)
    after = None
    if rto is not None and rto.high is not None and move.settled is not None:
        after = _rate(history, move.target, move.fault_seen + rto.high, move.settled)
    return Throughput(before=before, after=after)


def _rate(history: History, site: str, since: float, until: float) -> float | None:
    if until - since < LEAST_S:
        return None
    count, first = history.tables.one("""
        select count(*) filter (t >= $since), min(t) from witness
        where e = 'ack' and s = 'airflow' and k = 'state' and r = $site and dag <> $canary and t < $until""",
        since=since, until=until, site=site, canary=CANARY)
    if first is None or until - max(since, first) < LEAST_S:
        return None
    return round(float(count) / (until - max(since, float(first))), 3)
