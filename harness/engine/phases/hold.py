"""The phase ``hold``: let things go on as they are."""

from __future__ import annotations

import time
from typing import Any

from harness.engine.checks import EXPECTED
from harness.engine.context import SLOW_POLL_S, DrillContext


def run(context: DrillContext, spec: Any) -> None:
    """Watch over the environment for a while, and look for what is expected; what it saw is written down."""
    until = time.monotonic() + spec.duration
    seen: tuple[bool, str] | None = False, "not seen"

    def over() -> bool:
        nonlocal seen
        if spec.expect and spec.expect != "up":
            seen = EXPECTED[spec.expect].look(context)
        return (seen is not None and seen[0]) or time.monotonic() >= until

    context.wait(over, spec.duration + 60, lambda: None, poll=SLOW_POLL_S)
    if spec.expect == "up":
        up, all_of_them = context.up_since(0.0), len(context.fleet.members)
        seen = up == all_of_them, f"{up} of {all_of_them} Deployments run tasks"
    if spec.expect and seen is not None:
        context.look(spec.expect, *seen)
