"""The phase ``failover``."""

from __future__ import annotations

from typing import Any

from harness.engine.context import DrillContext
from harness.engine.transitions import move


def run(context: DrillContext, spec: Any) -> None:
    """Ask for a failover and wait until the orchestrator has finished it."""
    move(context, "failover", spec)
