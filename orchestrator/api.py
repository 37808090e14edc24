"""The Astro-shaped HTTP API of the orchestrator, and what its agents in the regions ask.

Field names, status values and error bodies follow the Astro platform API v1beta1. Ours are, beside
it: ``POST`` and ``DELETE .../deployments`` (the fleet), ``GET .../failovers`` (each request with its
steps), ``GET .../clusters/{id}/manual-work`` (what a failover does not carry over), the query
parameters ``force`` (an administrator's) and ``planned`` (a switchover) of a cluster's update,
and ``/metrics``.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import structlog
from dbos import DBOS, SetWorkflowID
from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as StarletteHTTPException

from loadgen.wire.asgi import BodyLimit
from orchestrator import creation, metrics
from orchestrator.access import AGENTS, REQUEST_ID, Access, TokenFirst
from orchestrator.admission import Refused
from orchestrator.bodies import AgentReport, ClusterCreate, ClusterUpdate, DeploymentCreate
from orchestrator.carried import manual_work
from orchestrator.changes import create_cluster, delete_cluster, new_deployment, update_cluster
from orchestrator.config import OrchestratorConfig
from orchestrator.manifests import Variant, render
from orchestrator.shapes import Readiness, cluster_shown, deployment_shown, page
from orchestrator.store import Cluster, Deployment, FailoverRequest, Report, Store

PREFIX = "/platform/v1beta1/organizations/{organization}"
BODY_MOST = 1024 * 1024
"""Bytes of a request."""
Limit = Annotated[int, Query(ge=1, le=1000)]
Offset = Annotated[int, Query(ge=0)]
log = structlog.get_logger()


def build(config: OrchestratorConfig, store: Store) -> FastAPI:
    """The application over a store."""
    app = FastAPI(title="dr-drill reference orchestrator", version="v1beta1")
    readiness = Readiness()

    def caller(request: Request, organization: str) -> None:
        if request.state.access < Access.WRITE and request.method != "GET":
            raise HTTPException(403, "this token may read and change nothing")
        if organization != config.organization_id:
            raise HTTPException(404, f"no organization {organization}")

    def cluster_or_404(cluster_id: str) -> Cluster:
        found = store.get(Cluster, cluster_id)
        if found is None:
            raise HTTPException(404, f"no cluster {cluster_id}")
        return found

    guarded = [Depends(caller)]

    # -- clusters ---------------------------------------------------------------------------

    @app.get(PREFIX + "/clusters", dependencies=guarded)
    def list_clusters(limit: Limit = 20, offset: Offset = 0) -> dict[str, Any]:
        return page("clusters", [cluster_shown(c, config, store) for c in store.all(Cluster)],
                    limit, offset)

    @app.post(PREFIX + "/clusters", dependencies=guarded)
    def create(body: ClusterCreate) -> dict[str, Any]:
        return cluster_shown(create_cluster(store, config, body), config, store)

    @app.get(PREFIX + "/clusters/{cluster_id}", dependencies=guarded)
    def get_cluster(cluster_id: str) -> dict[str, Any]:
        return cluster_shown(cluster_or_404(cluster_id), config, store)

    @app.post(PREFIX + "/clusters/{cluster_id}", dependencies=guarded)
    def update(request: Request, cluster_id: str, body: ClusterUpdate,
               force: bool = False, planned: bool = False) -> dict[str, Any]:
        cluster_or_404(cluster_id)
        if (force or body.enableDr) and request.state.access < Access.ADMIN:
            raise HTTPException(403, "only an administrator's token may force a move or enable DR")
        changed = update_cluster(store, config, cluster_id, body, force=force, planned=planned)
        return cluster_shown(changed, config, store)

    @app.delete(PREFIX + "/clusters/{cluster_id}", dependencies=guarded, status_code=204)
    def delete(cluster_id: str) -> None:
        delete_cluster(store, cluster_or_404(cluster_id))

    @app.get(PREFIX + "/clusters/{cluster_id}/failovers", dependencies=guarded)
    def list_failovers(cluster_id: str, limit: Limit = 1000, offset: Offset = 0) -> dict[str, Any]:
        cluster_or_404(cluster_id)
        found = sorted(store.all(FailoverRequest), key=lambda r: r.acceptedAt)
        return page("failovers", [r.model_dump() | {"steps": store.steps(r.id)} for r in found],
                    limit, offset)

    @app.get(PREFIX + "/clusters/{cluster_id}/manual-work", dependencies=guarded)
    def list_manual_work(cluster_id: str, limit: Limit = 1000, offset: Offset = 0) -> dict[str, Any]:
        cluster = cluster_or_404(cluster_id)
        # Before a failover: what will have to be done there; after it: what has to be done here.
        region = cluster.activeRegion if cluster.isFailedOver else cluster.drRegion
        found = [{"deploymentId": d.id, "deploymentName": d.name, "region": region,
                  "items": manual_work(d, region)} for d in store.all(Deployment)]
        return page("deployments", found, limit, offset)

    # -- Deployments ------------------------------------------------------------------------

    @app.get(PREFIX + "/deployments", dependencies=guarded)
    def list_deployments(
        deploymentIds: Annotated[list[str] | None, Query()] = None,
        names: Annotated[list[str] | None, Query()] = None,
        workspaceIds: Annotated[list[str] | None, Query()] = None,
        limit: Limit = 20, offset: Offset = 0,
    ) -> dict[str, Any]:
        cluster = cluster_or_404(config.cluster_id)
        found = [
            deployment_shown(d, cluster, config, readiness) for d in store.all(Deployment)
            if (not deploymentIds or d.id in deploymentIds) and (not names or d.name in names)
            and (not workspaceIds or d.workspaceId in workspaceIds)
        ]
        return page("deployments", found, limit, offset)

    @app.post(PREFIX + "/deployments", dependencies=guarded)
    def create_deployment(body: DeploymentCreate) -> dict[str, Any]:
        cluster = cluster_or_404(body.clusterId)
        with store.transaction():
            existing = next((d for d in store.all(Deployment) if d.name == body.name), None)
            deployment = existing or new_deployment(body)
            store.put(deployment, deployment.id)
        with SetWorkflowID(f"create-{deployment.id}"):
            DBOS.enqueue_workflow(creation.CREATIONS, creation.create_deployment, deployment.id)
        return deployment_shown(deployment, cluster, config, readiness)

    @app.delete(PREFIX + "/deployments/{deployment_id}", dependencies=guarded, status_code=204)
    def delete_deployment(deployment_id: str) -> None:
        if store.get(Deployment, deployment_id) is None:
            raise HTTPException(404, f"no Deployment {deployment_id}")
        with store.transaction():
            store.remove(Deployment, deployment_id)
            # The reconcilers prune what is not wanted any more; the metadata database stays.
            cluster = cluster_or_404(config.cluster_id)
            store.change_cluster(cluster.id, generation=cluster.generation + 1)

    # -- the agents in the regions -----------------------------------------------------------

    @app.get(AGENTS + "clusters/{cluster_id}/regions/{region}")
    def wanted_state(cluster_id: str, region: str, have: int = 0) -> dict[str, Any]:
        cluster = cluster_or_404(cluster_id)
        if region not in config.regions:
            raise HTTPException(404, f"no region {region}")
        active = cluster.workloads[region]
        manifests: list[Any] = []
        if have != cluster.generation:
            variant = Variant(config.regions[region], active)
            manifests = render(config, store.all(Deployment), variant)
        return {"generation": cluster.generation, "active": active, "manifests": manifests,
                "drain": _may_drain(store, region), "rpoBound": config.rpo_bound}

    @app.post(AGENTS + "clusters/{cluster_id}/regions/{region}")
    def reported(cluster_id: str, region: str, body: AgentReport) -> dict[str, Any]:
        cluster_or_404(cluster_id)
        store.put(Report(region=region, at=time.time(), **body.model_dump()), region)
        return {}

    # -- the server itself --------------------------------------------------------------------

    @app.get("/healthz")
    def healthz() -> dict[str, bool]:
        return {"ok": True}

    @app.get("/metrics")
    def prometheus() -> Response:
        return Response(metrics.exposition(config, store), media_type=metrics.CONTENT_TYPE)

    _handle_errors(app)
    app.add_middleware(BodyLimit, most=BODY_MOST)
    app.add_middleware(TokenFirst, config=config)  # the last one added is the first one asked
    return app


def _may_drain(store: Store, region: str) -> bool:
    """Whether a region's Airflow is being left as planned, so that what runs there may come to its end."""
    return any(request.planned and request.source == region and request.status == "IN_PROGRESS"
               for request in store.all(FailoverRequest))


def _handle_errors(app: FastAPI) -> None:
    @app.middleware("http")
    async def with_request_id(
        request: Request, call_next: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        request.state.id = uuid.uuid4().hex
        structlog.contextvars.bind_contextvars(request_id=request.state.id)
        answer = await call_next(request)
        answer.headers[REQUEST_ID] = request.state.id
        if request.method != "GET" and not request.url.path.startswith(AGENTS):
            log.info("request", method=request.method, path=request.url.path, status=answer.status_code)
        return answer

    @app.exception_handler(StarletteHTTPException)
    async def failed(request: Request, error: StarletteHTTPException) -> JSONResponse:
        return _error(request, error.status_code, str(error.detail))

    @app.exception_handler(Refused)
    async def refused(request: Request, error: Refused) -> JSONResponse:
        return _error(request, error.status, str(error))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return _error(request, 400, f"{where}: {first['msg']}")


def _error(request: Request, code: int, message: str) -> JSONResponse:
    return JSONResponse({"message": message, "requestId": request.state.id, "statusCode": code},
                        status_code=code)
