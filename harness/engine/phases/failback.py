"""The phase ``failback``."""

from __future__ import annotations

from typing import Any

from harness.engine.context import DrillContext
from harness.engine.transitions import move


def run(context: DrillContext, spec: Any) -> None:
    """Ask for a failback and wait until the orchestrator has finished it."""
    context.t_fault = None  # nothing broke: the outage begins with the request
    move(context, "failback", spec)
