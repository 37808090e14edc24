"""``orchestrator-crash``: the orchestrator dies by SIGKILL at chosen points of its sequence.

At each point it dies once, and is started again as a supervisor would. The points are armed before
the request is sent; a point that is never passed is reported, not passed over.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import Field, field_validator

from harness.common.quoting import shown
from harness.environments.base import Environment
from harness.faults.base import FaultFailed, Parameters

_POINT = re.compile(r"[a-z][a-z-]{0,60}:(before|in|after)")


class OrchestratorCrashParameters(Parameters):
    """``{at: ["promote-database:before", "promote-database:in", "promote-database:after"]}``."""

    at: tuple[str, ...] = Field(min_length=1, max_length=100)

    @field_validator("at")
    @classmethod
    def _are_points(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if wrong := [point for point in value if not _POINT.fullmatch(point)]:
            raise ValueError(f"a point is a step and before, in or after ('inflate:in'), not {shown(wrong[0])}")
        return value


class OrchestratorCrash:
    """An orchestrator that does not live through its own work."""

    name = "orchestrator-crash"
    parameters: type[Parameters] = OrchestratorCrashParameters
    disrupts = False
    cuts_links = False

    def undo(self, parameters: OrchestratorCrashParameters) -> Mapping[str, Any]:
        """Disarm what is left."""
        return {"disarm-orchestrator": True}

    def concerns(self, undo: Mapping[str, Any], site: str) -> bool:
        """Every site: the orchestrator stands outside them."""
        return True

    def revert(self, environment: Environment, undo: Mapping[str, Any]) -> Mapping[str, Any]:
        """Disarm the points that are left."""
        return environment.arm_orchestrator(())

    def inject(
        self, environment: Environment, parameters: OrchestratorCrashParameters
    ) -> Mapping[str, Any]:
        """Arm the points and read them back."""
        seen = environment.arm_orchestrator(parameters.at)
        if list(seen.get("armed", ())) != list(parameters.at):
            raise FaultFailed(f"armed are {seen.get('armed')}, not {parameters.at}")
        return seen
