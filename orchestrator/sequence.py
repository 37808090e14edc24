"""The DR sequence (XR-12, XR-13), durable: DBOS checkpoints every step and resumes after a crash.

Forward and backward are one workflow: bring the target region up, leave the other one alone.

1. ``quiesce`` (planned only): the region that is left stops its Airflow. It is told through its own
   reconciler, which asks; nobody calls into it.
2. ``provision-database-compute``: a head for the target's storage.
3. ``promote-database``: failover (unplanned) or switchover (planned), polled until confirmed.
4. ``inflate``: regenerate the manifests and apply the active variant in the target.
5. ``move-dns``: the one ingress record.

Cleanup is a workflow of its own, off the critical path: once the left region is back, in step and
deflated, its database compute is removed.

Every step is idempotent: it looks before it acts, and a second run of it changes nothing. Steps
wait by polling a condition up to a deadline; a lost answer is an exception, and DBOS retries the
step with backoff.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import structlog
from botocore.exceptions import BotoCoreError, ClientError
from dbos import DBOS
from kubernetes.client import ApiException
from urllib3.exceptions import HTTPError

from orchestrator.config import OrchestratorConfig
from orchestrator.manifests import Variant, provision_job, render, role_name
from orchestrator.manifests import hostname as hostname_of
from orchestrator.regions import GlobalServices, Region
from orchestrator.store import Cluster, Deployment, FailoverRequest, Report, Store

log = structlog.get_logger()

POLL_S = 0.1
QUIESCE_S = 60.0
"""A planned switchover waits this long for the left region to report its Airflow stopped."""
HEAD_S = 900.0
"""AWS needs 5 to 10 minutes to provision a DB instance."""
PROMOTE_S = 300.0
CLEANUP_S = 6 * 3600.0
"""How long the cleanup waits for a lost region to come back before it gives up."""
CREATIONS, CREATIONS_AT_ONCE = "create-deployment", 6
"""New Deployments wait in a queue and are brought to life a few at a time: eighty at once would only
get in each other's way."""
UNREACHABLE = (BotoCoreError, ClientError, ApiException, HTTPError, OSError)


class StepFailed(Exception):
    """A step did not reach its goal by its deadline; the message says what to do."""


def worth_retrying(error: BaseException) -> bool:
    """A lost answer is; a deadline that has passed is not: it was waited out already."""
    return not isinstance(error, StepFailed)


RETRY: dict[str, Any] = {"retries_allowed": True, "max_attempts": 8, "interval_seconds": 0.5,
                         "backoff_rate": 1.7, "should_retry": worth_retrying}


class Context:
    """What the steps work with. Set once, at start: DBOS runs plain functions."""

    config: OrchestratorConfig
    store: Store
    regions: dict[str, Region]
    services: GlobalServices

    @classmethod
    def set(cls, config: OrchestratorConfig, store: Store) -> None:
        """Build the adapters."""
        cls.config, cls.store = config, store
        cls.regions = {name: Region(config, r) for name, r in config.regions.items()}
        cls.services = GlobalServices(config)


@DBOS.workflow(name="failover")
def failover(request_id: str) -> None:
    """Move the cluster to the request's target region."""
    request = Context.store.get(FailoverRequest, request_id)
    assert request is not None
    planned = request.kind == "failback"
    try:
        if planned:
            quiesce(request_id, request.source)
        provision_database_compute(request_id, request.target)
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
    request = Context.store.get(FailoverRequest, request_id)
    assert request is not None
    remove_left_compute(request_id, request.source, request.target)


@DBOS.workflow(name="create-deployment")
def create_deployment(deployment_id: str) -> None:
    """Bring a new Deployment to life in the active region and prepare the other one."""
    prepare_identity(deployment_id)
    provision_metadata_database(deployment_id)
    apply_deployment(deployment_id)


# -- the steps of a failover ----------------------------------------------------------------


@DBOS.step(name="quiesce", **RETRY)
def quiesce(request_id: str, source: str) -> None:
    """Have the region that is left stop its Airflow, and wait until it says so (XR-08)."""
    with _Step(request_id, "quiesce"):
        with Context.store.transaction():
            cluster = _cluster()
            if cluster.workloads[source]:
                cluster = Context.store.change_cluster(
                    cluster.id, generation=cluster.generation + 1,
                    workloads=dict.fromkeys(cluster.workloads, False))

        def stopped() -> bool:
            report = Context.store.get(Report, source)
            return (report is not None and report.generation >= cluster.generation
                    and report.running_pods == 0)

        _until(stopped, QUIESCE_S, f"{source} did not report its Airflow stopped; is its "
                                   "manifest reconciler running? Send the request again when it is")


@DBOS.step(name="provision-database-compute", **RETRY)
def provision_database_compute(request_id: str, target: str) -> None:
    """A head for the target's headless storage."""
    with _Step(request_id, "provision-database-compute"):
        region = Context.regions[target]
        region.provision_head()
        _until(lambda: region.head_status() == "available", HEAD_S,
               f"the DB instance in {target} did not become available; look at its status in RDS")


@DBOS.step(name="promote-database", **RETRY)
def promote_database(request_id: str, target: str, planned: bool) -> None:
    """Make the target the writer and poll until that is confirmed."""
    with _Step(request_id, "promote-database"):
        region = Context.regions[target]

        def promoted() -> bool:
            if region.is_writer():
                return True
            if not region.change_under_way():
                region.take_over(planned=planned)
            return False

        _until(promoted, PROMOTE_S,
               f"{target} did not become the writer; look at the global cluster's FailoverState")
        Context.store.change_cluster(Context.config.cluster_id, writer=target)


@DBOS.step(name="inflate", **RETRY)
def inflate(request_id: str, target: str) -> None:
    """Regenerate the manifests and apply the active variant in the target."""
    with _Step(request_id, "inflate"):
        with Context.store.transaction():
            cluster = _cluster()
            if not cluster.workloads[target]:
                cluster = Context.store.change_cluster(
                    cluster.id, generation=cluster.generation + 1,
                    workloads={name: name == target for name in cluster.workloads})
        variant = Variant(Context.config.regions[target], active=True)
        deployments = Context.store.all(Deployment)
        Context.regions[target].kubernetes.apply_all(
            render(Context.config, deployments, variant))


@DBOS.step(name="move-dns", **RETRY)
def move_dns(request_id: str, target: str) -> None:
    """Point the one ingress record at the target."""
    with _Step(request_id, "move-dns"):
        Context.services.point_ingress_at(Context.config.regions[target].ingress_address)


@DBOS.step(name="finish")
def finish(request_id: str) -> None:
    """Write the outcome into the cluster record."""
    request = Context.store.get(FailoverRequest, request_id)
    assert request is not None
    Context.store.change_cluster(
        Context.config.cluster_id, status="CREATED", activeRegion=request.target,
        isFailedOver=request.target == Context.config.secondary.name)
    Context.store.put(request.model_copy(update={"status": "SUCCEEDED", "endedAt": time.time()}),
                      request_id)
    log.info("failover finished", request=request_id, active=request.target)


@DBOS.step(name="fail")
def fail(request_id: str, why: str) -> None:
    """Write down which step failed; the same request can be sent again."""
    request = Context.store.get(FailoverRequest, request_id)
    assert request is not None
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
    with _Step(request_id, "cleanup"):

        def tidy() -> bool:
            cluster = _cluster()
            if cluster.activeRegion != target or cluster.status != "CREATED":
                return True  # the cluster has moved again; this cleanup is no longer due
            report = Context.store.get(Report, source)
            stopped = (report is not None and report.generation >= cluster.generation
                       and report.running_pods == 0)
            try:
                if not stopped or not Context.regions[target].in_sync():
                    return False
                Context.regions[source].remove_head()
            except UNREACHABLE:
                return False
            return True

        _until(tidy, CLEANUP_S, f"{source} did not come back", poll=1.0)


# -- the steps of a new Deployment --------------------------------------------------------------


@DBOS.step(name="prepare-identity", **RETRY)
def prepare_identity(deployment_id: str) -> None:
    """IAM roles for both regions and the hostname: made now so that no failover needs to (XR-09)."""
    deployment = _deployment(deployment_id)
    for region in Context.config.regions:
        Context.services.ensure_role(role_name(deployment, region))
    Context.services.add_hostname(hostname_of(deployment, Context.config))


@DBOS.step(name="provision-metadata-database", **RETRY)
def provision_metadata_database(deployment_id: str) -> None:
    """Clone the migrated template in the active region, by a Job there."""
    deployment = _deployment(deployment_id)
    active = _cluster().activeRegion
    kube = Context.regions[active].kubernetes
    job = provision_job(Context.config, deployment, Variant(Context.config.regions[active], True))
    kube.apply_all(job)
    meta = job[-1]["metadata"]
    _until(lambda: kube.job_outcome(meta["namespace"], meta["name"]) is not None, 300,
           f"the job {meta['name']} did not end; look at its pod's log")
    if kube.job_outcome(meta["namespace"], meta["name"]) == "Failed":
        raise StepFailed(f"the job {meta['name']} failed; look at its pod's log")
    kube.delete_job(meta["namespace"], meta["name"])


@DBOS.step(name="apply-deployment", **RETRY)
def apply_deployment(deployment_id: str) -> None:
    """Apply the active variant where Airflow runs and the standby variant in the other region."""
    cluster = _cluster()
    for name, region in Context.config.regions.items():
        variant = Variant(region, active=cluster.workloads[name])
        Context.regions[name].kubernetes.apply_all(
            render(Context.config, [_deployment(deployment_id)], variant))


# -- helpers --------------------------------------------------------------------------------


class _Step:
    """Times a step for the API and keeps its error."""

    def __init__(self, request: str, name: str) -> None:
        self._request, self._name = request, name

    def __enter__(self) -> None:
        Context.store.step_started(self._request, self._name)
        log.info("step begins", request=self._request, step=self._name)

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        Context.store.step_ended(self._request, self._name, str(error) if error else None)
        log.info("step ended", request=self._request, step=self._name,
                 error=str(error) if error else None)


def _until(
    condition: Callable[[], bool], deadline: float, why: str, poll: float = POLL_S
) -> None:
    """Poll until the condition holds.

    Raises:
        StepFailed: when it does not by the deadline (seconds).
    """
    end = time.monotonic() + deadline
    while not condition():
        if time.monotonic() > end:
            raise StepFailed(why)
        time.sleep(poll)


def _cluster() -> Cluster:
    cluster = Context.store.get(Cluster, Context.config.cluster_id)
    assert cluster is not None
    return cluster


def _deployment(deployment_id: str) -> Deployment:
    deployment = Context.store.get(Deployment, deployment_id)
    assert deployment is not None
    return deployment
