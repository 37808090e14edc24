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

    def undo(self, parameters: RegionOutageParameters) -> Mapping[str, Any]:
        """Give the region its power back."""
        return {"restore-region": parameters.region}

    def inject(
        self, environment: Environment, parameters: RegionOutageParameters
    ) -> Mapping[str, Any]:
        """Kill the region and look whether anything of it still lives."""
        evidence = environment.kill_region(parameters.region)
        if environment.region_alive(parameters.region):
            raise FaultFailed(f"processes of the {parameters.region} region survived SIGKILL")
        return evidence
