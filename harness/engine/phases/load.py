"""The phase ``load``: put the fleet under load."""

from __future__ import annotations

import time
from typing import Any

from harness.engine.context import Aborted, DrillContext
from harness.record.events import LoadReached


def run(context: DrillContext, spec: Any) -> None:
    """Start the load; wait until it runs at the asked size, then hold it there."""
    asked = context.drill.fleet.concurrent_tasks
    context.start_load(asked)
    best = 0

    def saturated() -> bool:
        nonlocal best
        best = max(best, context.sampler.running())
        return context.sampler.running() >= asked

    def never() -> Exception:
        return Aborted(f"the load reached {best} of {asked} running tasks within {spec.timeout:.0f} s")

    context.wait(saturated, spec.timeout, never)
    context.journal.append(LoadReached(running=context.sampler.running()))
    context.progress.say(f"{context.sampler.running()} tasks run at once")
    held_until = time.monotonic() + spec.hold
    context.wait(lambda: time.monotonic() >= held_until, spec.hold + 60, never)
