"""A new Deployment: its identity in both regions, its metadata database, its manifests."""

from __future__ import annotations

import structlog
from dbos import DBOS

from orchestrator.durable import RETRY, Context, StepFailed, the_cluster, the_deployment, until
from orchestrator.manifests import Variant, provision_job, render, role_name
from orchestrator.manifests import hostname as hostname_of

log = structlog.get_logger()

CREATIONS, CREATIONS_AT_ONCE = "create-deployment", 6
"""New Deployments wait in a queue and are brought to life a few at a time: eighty at once would only
get in each other's way."""


@DBOS.workflow(name="create-deployment")
def create_deployment(deployment_id: str) -> None:
    """Bring a new Deployment to life in the active region and prepare the other one."""
    prepare_identity(deployment_id)
    provision_metadata_database(deployment_id)
    apply_deployment(deployment_id)


@DBOS.step(name="prepare-identity", **RETRY)
def prepare_identity(deployment_id: str) -> None:
    """IAM roles for both regions and the hostname: made now so that no failover needs to (XR-09)."""
    deployment = the_deployment(deployment_id)
    for region in Context.config.regions:
        Context.services.ensure_role(role_name(deployment, region))
    Context.services.add_hostname(hostname_of(deployment, Context.config))


@DBOS.step(name="provision-metadata-database", **RETRY)
def provision_metadata_database(deployment_id: str) -> None:
    """Clone the migrated template in the active region, by a Job there."""
    deployment = the_deployment(deployment_id)
    active = the_cluster().activeRegion
    kube = Context.regions[active].kubernetes
    job = provision_job(Context.config, deployment, Variant(Context.config.regions[active], True))
    kube.apply_all(job)
    meta = job[-1]["metadata"]
    until(lambda: kube.job_outcome(meta["namespace"], meta["name"]) is not None, 300,
           f"the job {meta['name']} did not end; look at its pod's log")
    if kube.job_outcome(meta["namespace"], meta["name"]) == "Failed":
        raise StepFailed(f"the job {meta['name']} failed; look at its pod's log")
    kube.delete_job(meta["namespace"], meta["name"])


@DBOS.step(name="apply-deployment", **RETRY)
def apply_deployment(deployment_id: str) -> None:
    """Apply the active variant where Airflow runs and the standby variant in the other region."""
    deployment = the_deployment(deployment_id).model_copy(update={"provisioned": True})
    Context.store.put(deployment, deployment_id)
    cluster = the_cluster()
    for name, region in Context.config.regions.items():
        variant = Variant(region, active=cluster.workloads[name])
        Context.regions[name].kubernetes.apply_all(
            render(Context.config, [deployment], variant))


# -- a new cluster ------------------------------------------------------------------------------


@DBOS.workflow(name="create-cluster")
def create_cluster(cluster_id: str) -> None:
    """Look whether the regions of a new cluster are there; CREATED, or CREATE_FAILED."""
    try:
        reach_regions(cluster_id)
    except Exception as error:
        log.error("cluster not created", cluster=cluster_id, why=str(error))
        Context.store.change_cluster(cluster_id, status="CREATE_FAILED")
        return
    Context.store.change_cluster(cluster_id, status="CREATED")


@DBOS.step(name="reach-regions", **RETRY)
def reach_regions(cluster_id: str) -> None:
    """Ask each region's Kubernetes and database, and point the ingress record at the active one."""
    cluster = the_cluster()
    for name, region in Context.regions.items():
        if cluster.isDrEnabled or name == cluster.region:
            region.kubernetes.airflow_pods()
            region.change_status()
    Context.services.point_ingress_at(Context.config.regions[cluster.activeRegion].ingress_address)
