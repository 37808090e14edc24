"""What the orchestrator is told when it starts: where the two regions are, and its secrets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

FILE_MOST = 1024 * 1024
"""Bytes of a configuration file."""
TOKENS = ("read_token", "api_token", "admin_token", "agent_token")
Token = Annotated[str, Field(min_length=16, pattern="^[!-~]+$")]
"""Long enough not to be guessed, and of characters that a header can carry: visible ones of ASCII."""
Secret = Annotated[str, Field(min_length=1)]


class InvalidConfig(Exception):
    """A configuration cannot be used; the message is one line: which key, and what is wrong with it."""


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
    workload_env: dict[str, str] = Field(default_factory=dict, repr=False)
    """Further environment variables of every Airflow container in this region."""


class OrchestratorConfig(BaseModel):
    """Everything; read from a JSON file of mode 0600."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: Annotated[str, Field(pattern="^[!-~]+$")] = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)]
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
    aws_access_key: Secret = Field(repr=False)
    """The orchestrator's own: the servers' logs tell its calls from those of the workloads by it."""
    aws_secret_key: Secret = Field(repr=False)
    workload_aws_access_key: Secret = Field(repr=False)
    """What Airflow's containers call AWS with."""
    workload_aws_secret_key: Secret = Field(repr=False)
    api_token: Token = Field(repr=False)
    read_token: Token | None = Field(default=None, repr=False)
    """May look and change nothing; None: there is none."""
    admin_token: Token | None = Field(default=None, repr=False)
    """May do what ``api_token`` may, and force what is refused to that; None: there is none."""
    agent_token: Token = Field(repr=False)
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

    @model_validator(mode="after")
    def _tokens_differ(self) -> Self:
        held: dict[str, str] = {}
        for name in TOKENS:
            token = getattr(self, name)
            if token is not None and (other := held.setdefault(token, name)) != name:
                raise ValueError(f"{name} must not be the same as {other}")
        return self

    @classmethod
    def load(cls, path: str | Path) -> OrchestratorConfig:
        """Read and check the file.

        Raises:
            InvalidConfig: when it cannot be read, or naming each wrong or missing key (never its value).
        """
        try:
            if not Path(path).is_file():
                raise InvalidConfig(f"{path} is not a file")
            if Path(path).stat().st_size > FILE_MOST:
                raise InvalidConfig(f"{path} is longer than {FILE_MOST} bytes: it is no configuration")
            found = json.loads(Path(path).read_text())
        except OSError as error:
            raise InvalidConfig(f"{path} cannot be read: {error.strerror}") from error
        except (ValueError, RecursionError) as error:
            raise InvalidConfig(f"{path} is not JSON: {error}") from error
        try:
            return cls.model_validate(found)
        except ValidationError as error:
            raise InvalidConfig(f"{path}: " + "; ".join(_shown(problem["loc"], problem["msg"]) for problem in
                                                        error.errors(include_input=False))) from None


def _shown(place: tuple[int | str, ...], problem: str) -> str:
    key = ".".join(str(part) for part in place)
    return ": ".join(part for part in (key, problem.removeprefix("Value error, ")) if part)
