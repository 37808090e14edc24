"""What a component of a site is told when it starts: one JSON file per site.

Secrets are in the file (mode 0600), never in an argument list, where ``ps`` would show them.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from harness.environments.embedded.addresses import Block, Caller, Service, Site
from harness.environments.embedded.principals import OBSERVER, ORCHESTRATOR, WORKLOAD
from harness.environments.embedded.private import write_private


@dataclass(frozen=True)
class SiteConfig:
    """One site of one run: its place, its names, and the secrets of its servers.

    ``directory`` is the site's own directory (where all its processes run). ``kube_token``,
    ``control_token`` and ``aws_access_key`` are the site's workloads'; the orchestrator and the observer
    have their own, so that a server knows who calls. An empty credential is not in use.
    """

    environment: str
    directory: str
    block: int
    site: int
    region: str
    cluster_id: str
    kube_token: str = field(repr=False)
    control_token: str = field(repr=False)
    aws_access_key: str = field(repr=False)
    aws_secret_key: str = field(repr=False)
    postgres_password: str = field(repr=False)
    replication_password: str = field(repr=False)
    kube_orchestrator_token: str = field(default="", repr=False)
    kube_observer_token: str = field(default="", repr=False)
    observer_control_token: str = field(default="", repr=False)
    aws_orchestrator_key: str = field(default="", repr=False)
    aws_observer_key: str = field(default="", repr=False)
    image_socket: str = ""
    """Where the node agent gets its warm Airflow process from."""
    simulated_head_delay: float = 0.0
    postgres_hold: int | None = None
    """The descriptor, which the AWS endpoint is given, of what holds its PostgreSQL's address; see ``holds``."""

    @property
    def path(self) -> Path:
        """The site's directory."""
        return Path(self.directory)

    @property
    def role(self) -> Site:
        """Which failure domain this is."""
        return Site(self.site)

    @property
    def peer(self) -> Site:
        """The other region."""
        return Site.SECONDARY if self.role is Site.PRIMARY else Site.PRIMARY

    @property
    def aws_keys(self) -> dict[str, str]:
        """Who may call the AWS endpoint, with their access keys."""
        return {WORKLOAD: self.aws_access_key, ORCHESTRATOR: self.aws_orchestrator_key,
                OBSERVER: self.aws_observer_key}

    @property
    def kube_tokens(self) -> dict[str, str]:
        """Who may call the Kubernetes API, with their bearer tokens."""
        return {WORKLOAD: self.kube_token, ORCHESTRATOR: self.kube_orchestrator_token,
                OBSERVER: self.kube_observer_token}

    @property
    def control_tokens(self) -> dict[str, str]:
        """Who may make the control calls of the AWS endpoint, with their tokens."""
        return {WORKLOAD: self.control_token, OBSERVER: self.observer_control_token}

    def own(self, service: Service) -> str:
        """The address of a service of this site."""
        return Block(self.block).service(self.role, service)

    def to_peer(self, service: Service) -> str:
        """The front of the link from this region to the other region's service."""
        return Block(self.block).link(Caller(self.site), self.peer, service)

    def to_outside(self, service: Service) -> str:
        """The front of the link from this region to a service outside both."""
        return Block(self.block).link(Caller(self.site), Site.OUTSIDE, service)

    def save(self, path: Path, owner: int | None = None) -> None:
        """Write the configuration so that only its owner (None: we) can read it."""
        write_private(path, json.dumps(asdict(self), indent=1), owner)

    @classmethod
    def load(cls, path: str | Path) -> SiteConfig:
        """Read what :meth:`save` wrote."""
        return cls(**json.loads(Path(path).read_text()))
