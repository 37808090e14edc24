"""What the plugins of one region's agent know together."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Protocol

from orchestrator.facts import RegionFacts


@dataclass
class RegionView:
    """Each field is written by one plugin and read by the others."""

    told: bool = False
    """Whether the control plane has said, since the agent started, what this region is to be, and it is."""
    active: bool = False
    """Whether Airflow is to run here (manifest reconciler)."""
    wanted: list[dict[str, Any]] = field(default_factory=list)
    """The manifests that this region is to hold (manifest reconciler)."""
    facts: RegionFacts = field(default_factory=RegionFacts)
    """The region's database and buckets (observability)."""
    in_contact: float = field(default_factory=time.monotonic)
    """When the database was last known to be in contact with the other region's (observability)."""
    missing_roles: list[str] = field(default_factory=list)
    """IAM roles of this region's Deployments that are not there (IAM controller)."""
    failing: dict[str, str] = field(default_factory=dict)
    """Plugin to what its last turn failed with (agent)."""


class Duty(Protocol):
    """What a plugin does, again and again."""

    def turn(self) -> None:
        """One turn; it decides itself whether anything is due."""
