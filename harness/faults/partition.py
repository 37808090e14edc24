"""``partition``: a region lives on, cut off from the other region, from the world, or from both.

One way or both ways. What happens inside the region goes on: that is what makes it worse than an
outage, and what fencing is for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, StrictBool

from harness.environments.base import Environment
from harness.faults.base import FaultFailed, Parameters, Role
from harness.faults.mending import MEND, concern, mend

FAR_ENDS = {"everything": ("other", "outside"), "other-region": ("other",), "outside": ("outside",),
            "orchestrator": ("orchestrator",)}


class PartitionParameters(Parameters):
    """``{region: primary, from: everything, direction: both}``."""

    region: Role
    source: Literal["everything", "other-region", "outside", "orchestrator"] = Field(
        default="everything", alias="from")
    direction: Literal["both", "out", "in"] = "both"
    """``out``: what the region says is not heard; ``in``: it hears nothing."""
    disrupts: StrictBool = True
    """Whether service is expected to be lost by it (then it sets t_fault)."""

    @property
    def links(self) -> list[tuple[str, str]]:
        """The directions that are cut."""
        other = "secondary" if self.region == "primary" else "primary"
        found: list[tuple[str, str]] = []
        for end in FAR_ENDS[self.source]:
            far = other if end == "other" else end
            if self.direction in ("both", "out"):
                found.append((self.region, far))
            if self.direction in ("both", "in"):
                found.append((far, self.region))
        return found


class Partition:
    """A region that nobody, or only some, can reach."""

    name = "partition"
    parameters: type[Parameters] = PartitionParameters
    disrupts = True
    cuts_links = True

    def undo(self, parameters: PartitionParameters) -> Mapping[str, Any]:
        """Mend all its links."""
        return {MEND: [f"{source}->{target}" for source, target in parameters.links]}

    def concerns(self, undo: Mapping[str, Any], site: str) -> bool:
        """The sites at either end of its links."""
        return concern(undo, site)

    def revert(self, environment: Environment, undo: Mapping[str, Any]) -> Mapping[str, Any]:
        """Mend the links."""
        return mend(environment, undo)

    def inject(self, environment: Environment, parameters: PartitionParameters) -> Mapping[str, Any]:
        """Cut the links and read back what the network now does."""
        seen: Mapping[str, Any] = {}
        for source, target in parameters.links:
            seen = environment.set_link(source, target, cut=True)
        missing = [f"{s}->{t}" for s, t in parameters.links if f"{s}->{t}" not in seen.get("links", {})]
        if missing:
            raise FaultFailed(f"the network does not report as cut: {', '.join(missing)}")
        return seen
