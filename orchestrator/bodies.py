"""The bodies of requests, under the platform's names."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from orchestrator.facts import RegionFacts


class Body(BaseModel):
    """An unknown field is an error: a misspelt flag must not be passed over."""

    model_config = ConfigDict(extra="forbid")


class ClusterCreate(Body):
    """Body of ``POST /clusters``."""

    type: Literal["DEDICATED"] = "DEDICATED"
    cloudProvider: Literal["AWS"] = "AWS"
    name: str
    region: str
    vpcSubnetRange: str = "172.20.0.0/19"
    dbInstanceType: str = "db.r6g.large"
    isDrEnabled: bool = False
    drRegion: str | None = None
    drVpcSubnetRange: str | None = None
    enableReplicationTimeControl: bool = True
    workspaceIds: list[str] = []
    k8sTags: list[dict[str, Any]] = []


class ClusterUpdate(Body):
    """Body of ``POST /clusters/{id}``."""

    clusterType: Literal["DEDICATED"]
    name: str
    k8sTags: list[dict[str, Any]]
    workspaceIds: list[str] | None = None
    isFailedOver: bool | None = None
    enableDr: bool | None = None
    enableReplicationTimeControl: bool | None = None
    drRegion: str | None = None
    drVpcSubnetRange: str | None = None


class DeploymentCreate(Body):
    """Body of ``POST /deployments``."""

    name: str
    clusterId: str
    workspaceId: str = "default"
    environmentVariables: list[dict[str, Any]] = []


class AgentReport(Body):
    """Body of a region's agent's report."""

    generation: int
    running_pods: int
    drift: list[str] = []
    in_contact_s: float = 0.0
    """How long ago the region's database was last known to be in contact with the other region's."""
    facts: RegionFacts = RegionFacts()
    missing_roles: list[str] = []
    failing: dict[str, str] = {}
    """Plugin of the curated set to what it failed with."""
