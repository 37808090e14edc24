"""The phase ``heal``: take back what was broken in a region, and wait until it follows the active one."""

from __future__ import annotations

from typing import Any

from harness.engine import checks, undo
from harness.engine.checks import Moment, carried_image, replication
from harness.engine.context import SLOW_POLL_S, DrillContext, PhaseFailed
from harness.record.events import HealImage


def run(context: DrillContext, spec: Any) -> None:
    """Take back what stands broken in a region, and wait until it follows the active one."""
    context.pushed_image = carried_image.push(context)
    context.journal.append(HealImage(key=context.pushed_image))
    undo.revert(context, context.standing, site=spec.region)

    def never() -> Exception:
        reason = f"the {spec.region} region did not become a follower within {spec.timeout:.0f} s"
        if (seen := replication.reversed_direction(context)) is not None:
            context.look("reverse-replication", False, f"{seen[1]}; {reason}")
        return PhaseFailed(reason)

    context.wait(lambda: replication.follows(context), spec.timeout, never, poll=SLOW_POLL_S)
    checks.run(context, Moment.HEALED)
