"""What the API's changes do to the records, and which workflows they start."""

from __future__ import annotations

import secrets
import time
import uuid

from cryptography.fernet import Fernet
from dbos import DBOS, SetWorkflowID

from orchestrator import creation, sequence
from orchestrator.admission import Refused, admit_move
from orchestrator.bodies import ClusterCreate, ClusterUpdate, DeploymentCreate
from orchestrator.config import OrchestratorConfig
from orchestrator.store import Cluster, Deployment, FailoverRequest, Store


def create_cluster(store: Store, config: OrchestratorConfig, body: ClusterCreate) -> Cluster:
    """Make the record and start the workflow that looks whether its regions are there.

    Raises:
        Refused: 409 when there is a cluster already, 400 for regions that this orchestrator has no
            adapters for, or DR without its region.
    """
    if store.get(Cluster, config.cluster_id) is not None:
        raise Refused(409, "this orchestrator has its cluster already")
    if body.region != config.primary.name:
        raise Refused(400, f"region: this orchestrator serves {config.primary.name}, not {body.region}")
    if body.isDrEnabled and body.drRegion != config.secondary.name:
        raise Refused(400, f"drRegion: this orchestrator serves {config.secondary.name}, "
                           f"not {body.drRegion}")
    given = body.model_dump(include={"name", "region", "isDrEnabled", "vpcSubnetRange", "dbInstanceType",
                                     "enableReplicationTimeControl", "workspaceIds", "k8sTags"})
    cluster = Cluster(
        id=config.cluster_id, drRegion=config.secondary.name, status="CREATING",
        activeRegion=config.primary.name, writer=config.primary.name,
        workloads={config.primary.name: True, config.secondary.name: False},
        drVpcSubnetRange=body.drVpcSubnetRange or "172.21.0.0/19", **given)
    store.put(cluster, cluster.id)
    DBOS.start_workflow(creation.create_cluster, cluster.id)
    return cluster


def update_cluster(store: Store, config: OrchestratorConfig, cluster_id: str, body: ClusterUpdate, *,
                   force: bool, planned: bool = False) -> Cluster:
    """Change the record; a flag that differs from what is, starts a failover or a failback.

    Raises:
        Refused: see :func:`admission.admit_move`; 400 for a change of ``drRegion`` or for taking DR away.
    """
    with store.transaction():
        cluster = store.get(Cluster, cluster_id)
        assert cluster is not None
        if body.drRegion is not None and body.drRegion != cluster.drRegion:
            raise Refused(400, "drRegion cannot be changed once set")
        if body.enableDr is False and cluster.isDrEnabled:
            raise Refused(400, "disaster recovery cannot be taken away from a cluster that has it")
        wanted = body.isFailedOver
        target = config.secondary.name if wanted else config.primary.name
        # Asking again after a failure is asking for the same move.
        there = cluster.activeRegion == target and cluster.status != "FAILOVER_FAILED"
        moving = wanted is not None and not there
        if moving:
            planned = planned or target == config.primary.name
            admit_move(cluster, target, config, store, force=force, planned=planned)
        changes = {
            "name": body.name, "k8sTags": body.k8sTags, "workspaceIds": body.workspaceIds,
            "isDrEnabled": body.enableDr or None, "drVpcSubnetRange": body.drVpcSubnetRange,
            "enableReplicationTimeControl": body.enableReplicationTimeControl}
        cluster = store.change_cluster(cluster_id, **{
            k: v for k, v in changes.items() if v is not None and v != getattr(cluster, k)})
        if not moving:
            return cluster
        return _begin(store, cluster, target, config, force=force, planned=planned)


def delete_cluster(store: Store, cluster: Cluster) -> None:
    """Forget a cluster that holds nothing.

    Raises:
        Refused: 409 while it has Deployments or is being moved.
    """
    if cluster.status in ("FAILING_OVER", "CREATING"):
        raise Refused(409, f"the cluster is {cluster.status}; wait until that has ended")
    if count := len(store.all(Deployment)):
        raise Refused(409, f"the cluster has {count} Deployment(s); delete them first")
    store.remove(Cluster, cluster.id)


def new_deployment(body: DeploymentCreate) -> Deployment:
    """A Deployment's record, with secrets of its own."""
    database = "airflow_" + body.name.replace("-", "_")
    return Deployment(
        id=f"cm{uuid.uuid4().hex[:22]}", name=body.name, namespace=f"airflow-{body.name}",
        environmentVariables=body.environmentVariables, workspaceId=body.workspaceId,
        secrets={
            "fernet_key": Fernet.generate_key().decode(), "jwt_secret": secrets.token_hex(32),
            "secret_key": secrets.token_hex(16), "admin_password": secrets.token_urlsafe(18),
            "db_name": database, "db_user": database, "db_password": secrets.token_urlsafe(18),
        },
    )


def resume(store: Store) -> None:
    """Start what was written down and not started: the server may have died in between.

    A workflow that was started has the request's id, and is not started twice.
    """
    for request in store.all(FailoverRequest):
        if request.status == "IN_PROGRESS":
            with SetWorkflowID(request.id):
                DBOS.start_workflow(sequence.failover, request.id)
    for deployment in store.all(Deployment):
        if not deployment.provisioned:
            with SetWorkflowID(f"create-{deployment.id}"):
                DBOS.enqueue_workflow(creation.CREATIONS, creation.create_deployment, deployment.id)


def _begin(store: Store, cluster: Cluster, target: str, config: OrchestratorConfig, *,
           force: bool, planned: bool) -> Cluster:
    """Write the request down, then start its workflow under the request's id."""
    kind = "failover" if target == config.secondary.name else "failback"
    request = FailoverRequest(
        id=f"fo-{uuid.uuid4().hex[:12]}", kind=kind, target=target, acceptedAt=time.time(), forced=force,
        planned=planned,
        source=next(name for name in config.regions if name != target))
    store.put(request, request.id)
    changed = store.change_cluster(cluster.id, status="FAILING_OVER")
    with SetWorkflowID(request.id):
        DBOS.start_workflow(sequence.failover, request.id)
    return changed
