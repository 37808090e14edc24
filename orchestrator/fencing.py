"""How the Airflow of a region that is left comes to an end, so that external systems never see two (XR-08).

Its database is fenced by the database service; but a task acts on the outside world also without one. A
failover therefore waits until the region has said, in either way, that its Airflow has stopped, or until it
must have stopped by itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

from orchestrator.durable import UNREACHABLE, Context, the_cluster, until
from orchestrator.health import SILENT_S
from orchestrator.store import Report

log = structlog.get_logger()
LEASE_MARGIN_S = 3.0
"""On top of the bound that Airflow in a region which nobody reaches is given to stop by itself."""


def stopping(source: str, target: str, *, drain: bool) -> Callable[[], bool]:
    """Tell the region that is left to stop its Airflow; the condition that it has said so.

    Nobody calls into it: its agent asks; where that cannot, the order crosses with the buckets, and so does
    the answer. ``drain``: what runs there may come to its end. Safe to be done again.
    """
    generation = _no_airflow_from_now_on(source)
    orders, ordered = Context.regions[target].orders, False

    def has_stopped() -> bool:
        nonlocal ordered
        if _reports_stopped(source, generation):
            return True
        try:
            if not ordered:
                orders.stop(source, generation, drain=drain)
                ordered = True
            return orders.answered(source) >= generation
        except UNREACHABLE as error:
            log.warning("the bucket cannot be used", region=target, error=str(error))
            return False

    return has_stopped


def stop_left_airflow(source: str, target: str) -> None:
    """Have the region that is left stop its Airflow, or wait until it must have stopped by itself.

    A region that no word reaches stops within the bound of its last contact. Then the failover goes on: what
    is lost must not hold up what is left.
    """
    asked, has_stopped = time.time(), stopping(source, target, drain=False)
    lease = LEASE_MARGIN_S + (SILENT_S if Context.config.rpo_bound is None else Context.config.rpo_bound)

    def over() -> bool:
        if has_stopped():
            return True
        if time.time() > min(asked, _last_contact(source, target)) + lease:
            log.warning("going on without an answer from the region that is left", region=source)
            return True
        return False

    until(over, 2 * lease, f"{source} could not be waited out", poll=0.3)


def _no_airflow_from_now_on(source: str) -> int:
    """Write down that Airflow is to run nowhere while it moves; the generation that says so."""
    with Context.store.transaction():
        cluster = the_cluster()
        if cluster.workloads[source]:
            cluster = Context.store.change_cluster(
                cluster.id, generation=cluster.generation + 1,
                workloads=dict.fromkeys(cluster.workloads, False))
    return cluster.generation


def _reports_stopped(source: str, generation: int) -> bool:
    report = Context.store.get(Report, source)
    return report is not None and report.generation >= generation and report.running_pods == 0


def _last_contact(source: str, target: str) -> float:
    """When the region that is left can last have heard anything: the control plane, or the other database."""
    left, other = Context.store.get(Report, source), Context.store.get(Report, target)
    if other is None or time.time() - other.at > SILENT_S:
        return time.time()  # nobody here knows how long the databases have been apart
    return max(left.at if left else 0.0, other.at - other.in_contact_s)
