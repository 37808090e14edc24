"""The checks of a drill: a registry, one module a family."""

from __future__ import annotations

from harness.engine.checks import (
    carried_image,
    cluster_record,
    identity,
    manifests,
    replication,
    standby,
)
from harness.engine.checks.registry import Check, Moment, Pair
from harness.engine.context import DrillContext

CHECKS: tuple[Check, ...] = (
    *standby.CHECKS, *cluster_record.CHECKS, *manifests.CHECKS, *identity.CHECKS, *replication.CHECKS,
    *carried_image.CHECKS)
EXPECTED: dict[str, Check] = {check.name: check for check in CHECKS if Moment.EXPECTED in check.moments}
"""What a ``hold`` phase can wait for, by the word in the drill file."""

__all__ = ["CHECKS", "EXPECTED", "Check", "Moment", "Pair", "run"]


def run(context: DrillContext, moment: Moment) -> None:
    """Make all checks of a moment, and write down what each saw."""
    for check in CHECKS:
        if moment in check.moments and (seen := check.look(context)) is not None:
            context.look(check.name, *seen)
