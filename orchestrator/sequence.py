"""The DR sequence (XR-12, XR-13), durable: DBOS checkpoints every step and resumes after a crash.

Forward and backward are one workflow: bring the target region up, leave the other one alone.

1. ``quiesce`` (planned only): the region that is left stops its Airflow; tasks that run come to their end,
   within the time that is configured for that. It is told through its own agent, which asks, or by its
   bucket; nobody calls into it.
2. ``provision-database-compute``: a head for the target's storage.
3. ``fence-old-writer`` (unplanned only): the region that is left stops its Airflow, told in either way
   (reconciler, bucket) or by itself; then the database fences its old writer, or waits until that has
   stopped by itself (the bound of XR-03). These waits have a step of their own because they are no work.
4. ``promote-database``: failover (unplanned) or switchover (planned), polled until confirmed.
5. ``inflate``: regenerate the manifests and apply the active variant in the target.
6. ``move-dns``: the one ingress record.

Cleanup is a workflow of its own, off the critical path: once the left region is back, in step and
deflated, its database compute is removed.

Every step is idempotent: it looks before it acts, and a second run of it changes nothing. Steps
wait by polling a condition up to a deadline; a lost answer is an exception, and DBOS retries the
step with backoff.
"""

from __future__ import annotations

import time

import structlog
from dbos import DBOS

from orchestrator.durable import (
    RETRY,
    UNREACHABLE,
    Context,
    Step,
    crash_point,
    the_cluster,
    the_request,
    until,
)
from orchestrator.fencing import stop_left_airflow, stopping
from orchestrator.manifests import Variant, render
from orchestrator.store import Deployment, Report

log = structlog.get_logger()

QUIESCE_S = 60.0
"""A planned switchover waits this long for the left region to report its Airflow stopped, on top of the time
that running tasks are given."""
HEAD_S = 900.0
"""AWS needs 5 to 10 minutes to provision a DB instance."""
FENCE_S = 120.0
"""On top of the bound that a writer which cannot be reached is given to stop by itself."""
PROMOTE_S = 300.0
DNS_S = 1800.0
CLEANUP_AFTER_S = 10.0
"""The region that has just taken over is left alone for so long. By then whoever follows the move has seen that it
ended, and does not take the cleanup's calls into the region that was left for the failover's own (XR-10)."""
CLEANUP_S = 6 * 3600.0
"""How long the cleanup waits for a lost region to come back before it gives up."""
PLANNED = ["quiesce", "provision-database-compute", "promote-database", "inflate", "move-dns"]
UNPLANNED = ["provision-database-compute", "fence-old-writer", "promote-database", "inflate", "move-dns"]
"""The steps on the critical path, in their order."""


@DBOS.workflow(name="failover")
def failover(request_id: str) -> None:
    """Move the cluster to the request's target region."""
    request = the_request(request_id)
    planned = request.planned
    try:
        if planned:
            quiesce(request_id, request.source, request.target)
        provision_database_compute(request_id, request.target)
        if not planned:
            fence_old_writer(request_id, request.source, request.target)
        promote_database(request_id, request.target, planned)
        inflate(request_id, request.target)
        move_dns(request_id, request.target)
        finish(request_id)
    except Exception as error:
        fail(request_id, str(error))
        return
    DBOS.start_workflow(cleanup, request_id)


@DBOS.workflow(name="cleanup")
def cleanup(request_id: str) -> None:
    """Off the critical path: tidy the region that was left, once it is back."""
    request = the_request(request_id)
    DBOS.sleep(CLEANUP_AFTER_S)
    remove_left_compute(request_id, request.source, request.target)


# -- the steps of a failover ----------------------------------------------------------------


@DBOS.step(name="quiesce", **RETRY)
def quiesce(request_id: str, source: str, target: str) -> None:
    """Have the region that is left stop its Airflow, and wait until it says so (XR-08)."""
    with Step(request_id, "quiesce"):
        has_stopped = stopping(source, target, drain=True)
        crash_point("quiesce:in")
        until(has_stopped, Context.config.drain_seconds + QUIESCE_S,
              f"{source} did not say that its Airflow has stopped; is its agent running? "
              "Send the request again when it is")


@DBOS.step(name="provision-database-compute", **RETRY)
def provision_database_compute(request_id: str, target: str) -> None:
    """A head for the target's headless storage."""
    with Step(request_id, "provision-database-compute"):
        region = Context.regions[target]
        region.provision_head()
        crash_point("provision-database-compute:in")

        def available() -> bool:
            status = region.head_status()
            if status is None:  # the one that was there was just being removed
                region.provision_head()
            return status == "available"

        until(available, HEAD_S,
               f"the DB instance in {target} did not become available; look at its status in RDS")


@DBOS.step(name="fence-old-writer", **RETRY)
def fence_old_writer(request_id: str, source: str, target: str) -> None:
    """Wait until the region that is left can act no more: neither its Airflow nor its database.

    First Airflow (XR-08), because its tasks act on the outside world also without a database; then begin the
    failover of the database, and wait until its old writer can acknowledge nothing.
    """
    with Step(request_id, "fence-old-writer"):
        region = Context.regions[target]
        if region.is_writer():
            return
        if region.change_status() is None:
            stop_left_airflow(source, target)
            region.take_over(planned=False)
        crash_point("fence-old-writer:in")
        until(lambda: region.change_status() != "pending", FENCE_S + (Context.config.rpo_bound or 0.0),
              "the old writer is neither fenced nor past its bound; look at the RDS events")


@DBOS.step(name="promote-database", **RETRY)
def promote_database(request_id: str, target: str, planned: bool) -> None:
    """Make the target the writer and poll until that is confirmed."""
    with Step(request_id, "promote-database"):
        region = Context.regions[target]

        def promoted() -> bool:
            if region.is_writer():
                return True
            if region.change_status() is None:
                region.take_over(planned=planned)
                crash_point("promote-database:in")
            return False

        until(promoted, PROMOTE_S,
               f"{target} did not become the writer; look at the global cluster's FailoverState")
        Context.store.change_cluster(Context.config.cluster_id, writer=target)


@DBOS.step(name="inflate", **RETRY)
def inflate(request_id: str, target: str) -> None:
    """Regenerate the manifests and apply the active variant in the target."""
    with Step(request_id, "inflate"):
        with Context.store.transaction():
            cluster = the_cluster()
            if not cluster.workloads[target]:
                cluster = Context.store.change_cluster(
                    cluster.id, generation=cluster.generation + 1,
                    workloads={name: name == target for name in cluster.workloads})
        crash_point("inflate:in")
        variant = Variant(Context.config.regions[target], active=True)
        deployments = Context.store.all(Deployment)
        Context.regions[target].kubernetes.apply_all(
            render(Context.config, deployments, variant))


@DBOS.step(name="move-dns", **RETRY)
def move_dns(request_id: str, target: str) -> None:
    """Point the one ingress record at the target."""
    with Step(request_id, "move-dns"):
        address = Context.config.regions[target].ingress_address

        def moved() -> bool:
            try:
                Context.services.point_ingress_at(address)
            except UNREACHABLE as error:
                log.warning("Route 53 cannot be changed yet", error=str(error))
                return False
            return True

        # Its control plane lives in one region: when that is the one that is lost, it comes back.
        until(moved, DNS_S, "Route 53 could not be changed; send the request again when it answers",
              poll=1.0)
        crash_point("move-dns:in")


@DBOS.step(name="finish")
def finish(request_id: str) -> None:
    """Write the outcome into the cluster record."""
    request = the_request(request_id)
    Context.store.change_cluster(
        Context.config.cluster_id, status="CREATED", activeRegion=request.target,
        isFailedOver=request.target == Context.config.secondary.name)
    Context.store.put(request.model_copy(update={"status": "SUCCEEDED", "endedAt": time.time()}),
                      request_id)
    log.info("failover finished", request=request_id, active=request.target)


@DBOS.step(name="fail")
def fail(request_id: str, why: str) -> None:
    """Write down which step failed; the same request can be sent again."""
    request = the_request(request_id)
    failed = next((s for s in reversed(Context.store.steps(request_id)) if s["error"]), None)
    step, why = (failed["name"], failed["error"]) if failed else ("?", why)
    Context.store.change_cluster(Context.config.cluster_id, status="FAILOVER_FAILED")
    Context.store.put(request.model_copy(update={
        "status": "FAILED", "endedAt": time.time(), "error": f"step {step}: {why}"}), request_id)
    log.error("failover failed", request=request_id, step=step, why=why)


@DBOS.step(name="remove-left-compute", retries_allowed=True, max_attempts=100,
           interval_seconds=1.0, backoff_rate=1.2)
def remove_left_compute(request_id: str, source: str, target: str) -> None:
    """Once the left region follows and runs no Airflow, remove its database compute."""
    with Step(request_id, "cleanup"):

        def tidy() -> bool:
            cluster = the_cluster()
            if cluster.activeRegion != target or cluster.status != "CREATED":
                return True  # the cluster has moved again; this cleanup is no longer due
            report = Context.store.get(Report, source)
            stopped = (report is not None and report.generation >= cluster.generation
                       and report.running_pods == 0)
            try:
                if not stopped or not Context.regions[target].in_sync():
                    return False
                return Context.regions[source].remove_head()
            except UNREACHABLE:
                return False

        until(tidy, CLEANUP_S, f"{source} did not come back", poll=1.0)
