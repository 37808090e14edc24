"""The platform's shapes: how records look in answers."""

from __future__ import annotations

import threading
import time
from typing import Any

from orchestrator import health
from orchestrator.config import OrchestratorConfig
from orchestrator.curated import CURATED
from orchestrator.durable import UNREACHABLE, Context
from orchestrator.manifests import hostname, role_name
from orchestrator.store import Cluster, Deployment, Report, Store

HEALTH_CACHE_S = 0.5


class Readiness:
    """Which Deployments are ready in the active region, asked at most twice a second."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._at, self._region = 0.0, ""
        self._ready: dict[str, set[str]] = {}

    def components(self, region: str) -> dict[str, set[str]]:
        """Namespace to ready components in a region; empty when it does not answer."""
        with self._lock:
            if region != self._region or time.monotonic() - self._at > HEALTH_CACHE_S:
                try:
                    self._ready = Context.regions[region].kubernetes.ready_components()
                except UNREACHABLE:
                    self._ready = {}
                self._at, self._region = time.monotonic(), region
            return dict(self._ready)


def cluster_shown(cluster: Cluster, config: OrchestratorConfig, store: Store) -> dict[str, Any]:
    """A cluster, with the health of both regions and what each is good for right now."""
    found = health.issues(cluster, config, store)
    return {
        "id": cluster.id, "name": cluster.name, "type": "DEDICATED", "cloudProvider": "AWS",
        "region": cluster.region, "drRegion": cluster.drRegion if cluster.isDrEnabled else None,
        "vpcSubnetRange": cluster.vpcSubnetRange,
        "drVpcSubnetRange": cluster.drVpcSubnetRange if cluster.isDrEnabled else None,
        "dbInstanceType": cluster.dbInstanceType, "isDrEnabled": cluster.isDrEnabled,
        "isFailedOver": cluster.isFailedOver,
        "failoverInProgress": cluster.status == "FAILING_OVER",
        "enableReplicationTimeControl": cluster.enableReplicationTimeControl,
        "status": cluster.status, "healthStatus": health.shown(found),
        "organizationId": config.organization_id,
        "metadata": {
            "activeRegion": cluster.activeRegion, "healthSeverity": health.severity(found),
            "regions": {name: _region_shown(name, cluster, store) for name in config.regions},
            "failbackBlockedBy": (health.catching_up(cluster.region, store)
                                  if cluster.isFailedOver else None),
        },
        "nodePools": [], "workspaceIds": cluster.workspaceIds,
        "createdAt": cluster.createdAt, "updatedAt": cluster.updatedAt,
    }


def deployment_shown(deployment: Deployment, cluster: Cluster, config: OrchestratorConfig,
                     readiness: Readiness) -> dict[str, Any]:
    """A Deployment; HEALTHY once its scheduler and API server are ready in the active region."""
    ready = readiness.components(cluster.activeRegion).get(deployment.namespace, set())
    host = hostname(deployment, config)
    role = role_name(deployment, config.secondary.name)
    return {
        "id": deployment.id, "name": deployment.name, "namespace": deployment.namespace,
        "workspaceId": deployment.workspaceId,
        "clusterId": cluster.id, "clusterName": cluster.name,
        "status": "HEALTHY" if {"scheduler", "api-server"} <= ready else "DEPLOYING",
        "apiUrl": f"http://{host}/api/v2", "webServerUrl": f"http://{host}",
        "airflowVersion": "3.3.2", "astroRuntimeVersion": "", "executor": "SYNTHETIC",
        "environmentVariables": [
            {**v, "value": ""} if v.get("isSecret") else v for v in deployment.environmentVariables],
        "drWorkloadIdentity": f"arn:aws:iam::123456789012:role/{role}",
        "drOidcIssuerUrl": "", "drExternalIPs": [],
        "createdAt": deployment.createdAt, "updatedAt": deployment.updatedAt,
    }


def page(name: str, found: list[Any], limit: int, offset: int) -> dict[str, Any]:
    """One page of a list."""
    return {name: found[offset:offset + limit], "limit": limit, "offset": offset,
            "totalCount": len(found)}


def _region_shown(region: str, cluster: Cluster, store: Store) -> dict[str, Any]:
    report = store.get(Report, region)
    return {
        "workloads": "inflated" if cluster.workloads[region] else "deflated",
        "generation": report.generation if report else None,
        "runningPods": report.running_pods if report else None,
        "reportedSecondsAgo": round(time.time() - report.at, 1) if report else None,
        "drift": report.drift if report else [],
        "plugins": [plugin.shown(active=cluster.workloads[region],
                                 failing=report.failing.get(plugin.name) if report else "no report yet")
                    for plugin in CURATED],
        **(report.facts.model_dump() if report else {"database": None, "storage": None}),
    }
