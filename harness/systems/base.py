"""Whom a drill asks to fail over: the driver protocol.

A driver knows one orchestrator's API and nothing of the drill. It never reports what the system
did: that is read from the network, the databases and the witness.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Kind = Literal["failover", "failback"]


class OrchestratorFailed(Exception):
    """The orchestrator refused a request, or says that a failover failed."""


@dataclass(frozen=True)
class ClusterState:
    """The cluster as its orchestrator shows it."""

    status: str
    is_failed_over: bool
    region: str
    dr_region: str
    raw: dict[str, Any] = field(repr=False)

    @property
    def settled(self) -> bool:
        """Whether no change is under way."""
        return self.status not in ("UPDATING", "FAILING_OVER", "CREATING")


@dataclass(frozen=True)
class FleetMember:
    """One Deployment as its orchestrator shows it."""

    id: str
    name: str
    namespace: str
    status: str
    hostname: str
    cluster_id: str = ""


class Orchestrator(Protocol):
    """A driver."""

    def create_deployments(self, names: Sequence[str], environment: Mapping[str, str],
                           secret: Collection[str] = ()) -> None:
        """Have the fleet's Deployments made (asynchronously), each with these variables.

        ``secret``: the names of those whose values the platform must show to nobody.
        """

    def deployments(self) -> list[FleetMember]:
        """All Deployments of the cluster."""

    def cluster(self) -> ClusterState:
        """The cluster record."""

    def trigger(self, kind: Kind, *, planned: bool = False) -> None:
        """Ask for a failover (``planned``: a switchover) or a failback; returns once it is accepted.

        Raises:
            OrchestratorFailed: when it is refused.
        """

    def manual_work(self) -> dict[str, list[str]]:
        """Deployment name to what a failover leaves to people; empty where it is not told."""

    def metrics(self) -> str:
        """What it exposes to Prometheus; empty where it exposes nothing."""

    def clusters(self) -> list[ClusterState]:
        """All clusters of the organization."""

    def history(self) -> list[dict[str, Any]]:
        """Requests with the steps that the orchestrator says it took, where it says so."""
