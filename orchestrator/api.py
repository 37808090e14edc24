"""The Astro-shaped HTTP API of the orchestrator, and what its agents in the regions ask.

Field names, status values and error bodies follow the Astro platform API v1beta1. Two additions
are ours: ``POST .../deployments`` makes a Deployment of the fleet, and ``GET .../failovers`` shows
each request with its steps.
"""

from __future__ import annotations

import hmac
import secrets
import threading
import time
import uuid
from typing import Annotated, Any

from cryptography.fernet import Fernet
from dbos import DBOS, SetWorkflowID
from fastapi import Depends, FastAPI, Header, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException as StarletteHTTPException

from orchestrator import sequence
from orchestrator.config import OrchestratorConfig
from orchestrator.manifests import Variant, hostname, render
from orchestrator.store import Cluster, Deployment, FailoverRequest, Report, Store, timestamp

PREFIX = "/platform/v1beta1/organizations/{organization}"
HEALTH_CACHE_S = 0.5


class ClusterUpdate(BaseModel):
    """Body of ``POST /clusters/{id}``."""

    model_config = ConfigDict(extra="forbid")

    clusterType: str
    name: str
    k8sTags: list[dict[str, Any]]
    workspaceIds: list[str] | None = None
    isFailedOver: bool | None = None
    enableDr: bool | None = None
    enableReplicationTimeControl: bool | None = None
    drRegion: str | None = None
    drVpcSubnetRange: str | None = None


class DeploymentCreate(BaseModel):
    """Body of ``POST /deployments``."""

    model_config = ConfigDict(extra="forbid")

    name: str
    clusterId: str
    environmentVariables: list[dict[str, Any]] = []


class AgentReport(BaseModel):
    """Body of a reconciler's report."""

    generation: int
    running_pods: int


def build(config: OrchestratorConfig, store: Store) -> FastAPI:
    """The application over a store whose cluster record exists."""
    app = FastAPI(title="dr-drill reference orchestrator", version="v1beta1")
    readiness = _Readiness(config, store)

    def api_caller(organization: str, authorization: Annotated[str, Header()] = "") -> None:
        _check(authorization, config.api_token)
        if organization != config.organization_id:
            raise HTTPException(404, f"no organization {organization}")

    def agent(authorization: Annotated[str, Header()] = "") -> None:
        _check(authorization, config.agent_token)

    def cluster_or_404(cluster_id: str) -> Cluster:
        found = store.get(Cluster, cluster_id)
        if found is None:
            raise HTTPException(404, f"no cluster {cluster_id}")
        return found

    guarded = [Depends(api_caller)]

    @app.get(PREFIX + "/clusters", dependencies=guarded)
    def list_clusters(limit: Annotated[int, Query(ge=1, le=1000)] = 20,
                      offset: Annotated[int, Query(ge=0)] = 0) -> dict[str, Any]:
        found = [_shown(c, config, store, readiness) for c in store.all(Cluster)]
        return _page("clusters", found, limit, offset)

    @app.get(PREFIX + "/clusters/{cluster_id}", dependencies=guarded)
    def get_cluster(cluster_id: str) -> dict[str, Any]:
        return _shown(cluster_or_404(cluster_id), config, store, readiness)

    @app.post(PREFIX + "/clusters/{cluster_id}", dependencies=guarded)
    def update_cluster(cluster_id: str, body: ClusterUpdate) -> dict[str, Any]:
        with store.transaction():
            cluster = cluster_or_404(cluster_id)
            if body.drRegion is not None and body.drRegion != cluster.drRegion:
                raise HTTPException(400, "drRegion cannot be changed once set")
            cluster = store.change_cluster(cluster_id, name=body.name)
            # Asking again after a failure is asking for the same move.
            wanted = body.isFailedOver
            target = config.secondary.name if wanted else config.primary.name
            moved = cluster.activeRegion == target and cluster.status != "FAILOVER_FAILED"
            if wanted is not None and not moved:
                if cluster.status == "FAILING_OVER":
                    raise HTTPException(409, "a failover is in progress; wait until it has ended")
                cluster = _accept(store, cluster, target, config)
        return _shown(cluster, config, store, readiness)

    @app.get(PREFIX + "/clusters/{cluster_id}/failovers", dependencies=guarded)
    def list_failovers(cluster_id: str) -> dict[str, Any]:
        cluster_or_404(cluster_id)
        found = sorted(store.all(FailoverRequest), key=lambda r: r.acceptedAt)
        return {"failovers": [r.model_dump() | {"steps": store.steps(r.id)} for r in found]}

    @app.get(PREFIX + "/deployments", dependencies=guarded)
    def list_deployments(
        deploymentIds: Annotated[list[str] | None, Query()] = None,
        names: Annotated[list[str] | None, Query()] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 20, offset: Annotated[int, Query(ge=0)] = 0,
    ) -> dict[str, Any]:
        found = [
            _deployment_shown(d, config, store, readiness) for d in store.all(Deployment)
            if (not deploymentIds or d.id in deploymentIds) and (not names or d.name in names)
        ]
        return _page("deployments", found, limit, offset)

    @app.post(PREFIX + "/deployments", dependencies=guarded)
    def create_deployment(body: DeploymentCreate) -> dict[str, Any]:
        cluster_or_404(body.clusterId)
        with store.transaction():
            existing = next((d for d in store.all(Deployment) if d.name == body.name), None)
            deployment = existing or _new_deployment(body)
            store.put(deployment, deployment.id)
        with SetWorkflowID(f"create-{deployment.id}"):
            DBOS.enqueue_workflow(sequence.CREATIONS, sequence.create_deployment, deployment.id)
        return _deployment_shown(deployment, config, store, readiness)

    @app.get("/agent/clusters/{cluster_id}/regions/{region}", dependencies=[Depends(agent)])
    def wanted_state(cluster_id: str, region: str, have: int = 0) -> dict[str, Any]:
        cluster = cluster_or_404(cluster_id)
        if region not in config.regions:
            raise HTTPException(404, f"no region {region}")
        active = cluster.workloads[region]
        manifests: list[Any] = []
        if have != cluster.generation:
            variant = Variant(config.regions[region], active)
            manifests = render(config, store.all(Deployment), variant)
        return {"generation": cluster.generation, "active": active, "manifests": manifests}

    @app.post("/agent/clusters/{cluster_id}/regions/{region}", dependencies=[Depends(agent)])
    def reported(cluster_id: str, region: str, body: AgentReport) -> dict[str, Any]:
        cluster_or_404(cluster_id)
        store.put(Report(region=region, generation=body.generation,
                         running_pods=body.running_pods, at=time.time()), region)
        return {}

    @app.get("/healthz")
    def healthz() -> dict[str, bool]:
        return {"ok": True}

    @app.exception_handler(StarletteHTTPException)
    async def refused(request: Request, error: StarletteHTTPException) -> JSONResponse:
        return _error(request, error.status_code, str(error.detail))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return _error(request, 400, f"{where}: {first['msg']}")

    return app


def _accept(store: Store, cluster: Cluster, target: str, config: OrchestratorConfig) -> Cluster:
    """Write the request down, then start its workflow under the request's id."""
    kind = "failover" if target == config.secondary.name else "failback"
    request = FailoverRequest(
        id=f"fo-{uuid.uuid4().hex[:12]}", kind=kind, target=target, acceptedAt=time.time(),
        source=next(name for name in config.regions if name != target))
    store.put(request, request.id)
    changed = store.change_cluster(cluster.id, status="FAILING_OVER")
    with SetWorkflowID(request.id):
        DBOS.start_workflow(sequence.failover, request.id)
    return changed


def _new_deployment(body: DeploymentCreate) -> Deployment:
    database = "airflow_" + body.name.replace("-", "_")
    return Deployment(
        id=f"cm{uuid.uuid4().hex[:22]}", name=body.name, namespace=f"airflow-{body.name}",
        environmentVariables=body.environmentVariables,
        secrets={
            "fernet_key": Fernet.generate_key().decode(), "jwt_secret": secrets.token_hex(32),
            "secret_key": secrets.token_hex(16), "admin_password": secrets.token_urlsafe(18),
            "db_name": database, "db_user": database, "db_password": secrets.token_urlsafe(18),
        },
    )


class _Readiness:
    """Which Deployments are ready in the active region, asked at most twice a second."""

    def __init__(self, config: OrchestratorConfig, store: Store) -> None:
        self._config, self._store = config, store
        self._lock = threading.Lock()
        self._at, self._region = 0.0, ""
        self._ready: dict[str, set[str]] = {}

    def components(self, region: str) -> dict[str, set[str]]:
        """Namespace to ready components in a region; empty when it does not answer."""
        with self._lock:
            if region != self._region or time.monotonic() - self._at > HEALTH_CACHE_S:
                try:
                    self._ready = sequence.Context.regions[region].kubernetes.ready_components()
                except sequence.UNREACHABLE:
                    self._ready = {}
                self._at, self._region = time.monotonic(), region
            return dict(self._ready)


def _shown(
    cluster: Cluster, config: OrchestratorConfig, store: Store, readiness: _Readiness
) -> dict[str, Any]:
    details = []
    for region in config.regions:
        report = store.get(Report, region)
        if report is None or time.time() - report.at > 15:
            details.append({"code": "REGION_SILENT", "component": region, "severity": "CRITICAL",
                            "description": f"the reconciler of {region} has not reported lately"})
    return {
        "id": cluster.id, "name": cluster.name, "type": "DEDICATED", "cloudProvider": "AWS",
        "region": cluster.region, "drRegion": cluster.drRegion, "isDrEnabled": True,
        "isFailedOver": cluster.isFailedOver,
        "failoverInProgress": cluster.status == "FAILING_OVER",
        "enableReplicationTimeControl": True, "status": cluster.status,
        "healthStatus": {"value": "UNHEALTHY" if details else "HEALTHY", "details": details},
        "organizationId": config.organization_id, "dbInstanceType": "db.r6g.large",
        "vpcSubnetRange": "172.20.0.0/19", "drVpcSubnetRange": "172.21.0.0/19",
        "metadata": {"activeRegion": cluster.activeRegion}, "nodePools": [],
        "createdAt": cluster.createdAt, "updatedAt": cluster.updatedAt,
    }


def _deployment_shown(
    deployment: Deployment, config: OrchestratorConfig, store: Store, readiness: _Readiness
) -> dict[str, Any]:
    cluster = store.get(Cluster, config.cluster_id)
    assert cluster is not None
    ready = readiness.components(cluster.activeRegion).get(deployment.namespace, set())
    host = hostname(deployment, config)
    return {
        "id": deployment.id, "name": deployment.name, "namespace": deployment.namespace,
        "clusterId": cluster.id, "clusterName": cluster.name,
        "status": "HEALTHY" if {"scheduler", "api-server"} <= ready else "DEPLOYING",
        "apiUrl": f"http://{host}/api/v2", "webServerUrl": f"http://{host}",
        "airflowVersion": "3.3.2", "astroRuntimeVersion": "", "executor": "SYNTHETIC",
        "environmentVariables": deployment.environmentVariables,
        "createdAt": deployment.createdAt, "updatedAt": timestamp(),
    }


def _page(name: str, found: list[Any], limit: int, offset: int) -> dict[str, Any]:
    return {name: found[offset:offset + limit], "limit": limit, "offset": offset,
            "totalCount": len(found)}


def _check(authorization: str, token: str) -> None:
    if not hmac.compare_digest(authorization.encode(), f"Bearer {token}".encode()):
        raise HTTPException(401, "the token is missing or wrong")


def _error(request: Request, code: int, message: str) -> JSONResponse:
    body = {"message": message, "requestId": uuid.uuid4().hex, "statusCode": code}
    return JSONResponse(body, status_code=code)
