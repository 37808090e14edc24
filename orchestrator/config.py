"""What the orchestrator is told when it starts: where the two regions are, and its secrets."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class RegionConfig(BaseModel):
    """One region as the orchestrator reaches it, and the facts that its manifests depend on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    aws_endpoint: str
    kubeconfig: Path
    db_cluster_id: str
    db_instance_id: str
    database_host: str
    """The regional cluster endpoint that workloads of this region use."""
    ingress_address: str
    """What the ingress DNS record points at while this region is active."""
    log_bucket: str
    workload_aws_endpoint: str
    """The region's AWS endpoint as its own workloads reach it."""
    workload_env: dict[str, str] = Field(default_factory=dict)
    """Further environment variables of every Airflow container in this region."""


class OrchestratorConfig(BaseModel):
    """Everything; read from a JSON file of mode 0600."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = "127.0.0.1"
    port: int
    store: Path
    organization_id: str
    cluster_id: str
    cluster_name: str
    primary: RegionConfig
    secondary: RegionConfig
    global_cluster_id: str
    global_aws_endpoint: str
    hosted_zone_id: str
    domain: str
    dns_ttl: int = 5
    """Of the ingress record, the one that a failover moves; seconds."""
    aws_access_key: str = Field(repr=False)
    """The orchestrator's own: the servers' logs tell its calls from those of the workloads by it."""
    aws_secret_key: str = Field(repr=False)
    workload_aws_access_key: str = Field(repr=False)
    """What Airflow's containers call AWS with."""
    workload_aws_secret_key: str = Field(repr=False)
    api_token: str = Field(repr=False)
    read_token: str = Field(default="", repr=False)
    """May look and change nothing; empty: there is none."""
    admin_token: str = Field(default="", repr=False)
    """May do what ``api_token`` may, and force what is refused to that."""
    agent_token: str = Field(repr=False)
    """What the reconcilers in the regions authenticate with."""
    task_seconds: float = 30.0
    drain_seconds: float = Field(default=30.0, ge=0)
    """How long a planned move lets running tasks come to their end; 0: no longer than it takes to report one
    that has had its effect."""
    rpo_bound: float | None = None
    """``rds.global_db_rpo`` of the metadata databases, seconds; None: off."""
    crash_file: Path | None = None
    """Where a drill arms the points at which this server is to die; see :func:`durable.crash_point`."""

    @property
    def regions(self) -> dict[str, RegionConfig]:
        """Both regions by name."""
        return {self.primary.name: self.primary, self.secondary.name: self.secondary}

    @classmethod
    def load(cls, path: str | Path) -> OrchestratorConfig:
        """Read and check the file.

        Raises:
            pydantic.ValidationError: naming each wrong or missing field.
        """
        return cls.model_validate(json.loads(Path(path).read_text()))
