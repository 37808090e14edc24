"""``region-outage``: every process of a region dies at once, as when its power fails.

SIGKILL to all: no shutdown hook runs, no buffer is flushed, no connection is closed in order, and
the bytes that were on the region's links are lost. What was written to its disks stays there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.environments.base import Environment
from harness.faults.base import FaultFailed, Parameters, Role


class RegionOutageParameters(Parameters):
    """``{region: primary}``: which region loses its power."""

    region: Role


class RegionOutage:
    """The loss of a whole region."""

    name = "region-outage"
    parameters: type[Parameters] = RegionOutageParameters
    disrupts = True
    cuts_links = False

    def undo(self, parameters: RegionOutageParameters) -> Mapping[str, Any]:
        """Give the region its power back."""
        return {"restore-region": parameters.region}

    def concerns(self, undo: Mapping[str, Any], site: str) -> bool:
        """The region that has lost its power."""
        return bool(undo["restore-region"] == site)

    def revert(self, environment: Environment, undo: Mapping[str, Any]) -> Mapping[str, Any]:
        """Start the region's parts on what they left on disk; a region that lives is left alone."""
        role = undo["restore-region"]
        return {"lives": True} if environment.region_alive(role) else environment.restore_region(role)

    def inject(
        self, environment: Environment, parameters: RegionOutageParameters
    ) -> Mapping[str, Any]:
        """Kill the region and look whether anything of it still lives."""
        evidence = environment.kill_region(parameters.region)
        if environment.region_alive(parameters.region):
            raise FaultFailed(f"processes of the {parameters.region} region survived SIGKILL")
        return evidence
