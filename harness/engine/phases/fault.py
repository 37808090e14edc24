"""The phase ``fault``: break something."""

from __future__ import annotations

import time
from typing import Any

from harness.engine.context import Aborted, DrillContext
from harness.engine.snapshots import take_snapshot
from harness.engine.standing import Standing
from harness.environments.base import EnvironmentFailed
from harness.faults import FAULTS, FaultFailed
from harness.record.events import FaultIntent, FaultOutcome, LoadAtFault

AT_FAULT_S = 120.0
"""How long the load may take to be at the asked size again, immediately before a fault."""


def run(context: DrillContext, spec: Any) -> None:
    """Break something: intent and undo first, then the act, then what was seen."""
    name, parameters = spec.chosen
    chosen = FAULTS[name]
    disrupts = chosen.disrupts and getattr(parameters, "disrupts", True)
    if disrupts:
        take_snapshot(context, "before")
        _wait_for_full_load(context)
    undo = dict(chosen.undo(parameters))
    # A random moment within a probe's interval: a fault in step with the probes would always
    # be seen equally fast.
    time.sleep(context.chance.uniform(0, context.drill.probes.interval))
    shown = parameters.model_dump(by_alias=True, exclude_none=True)
    context.journal.append(FaultIntent(fault=name, parameters=shown, undo=undo), durable=True)
    context.standing.append(Standing(name, undo))
    began = time.time()
    try:
        seen = chosen.inject(context.environment, parameters)
    except FaultFailed as error:
        raise EnvironmentFailed(f"fault {name}: {error}") from error
    in_force = time.time()
    context.journal.append(FaultOutcome(
        fault=name, disrupts=disrupts, asked=began, in_force=in_force, parameters=shown, undo=undo,
        seen=dict(seen)), durable=True)
    if disrupts:
        context.t_fault = in_force
    context.progress.say(f"{name} {shown}: in force after {(in_force - began) * 1000:.0f} ms")


def _wait_for_full_load(context: DrillContext) -> None:
    """Counted in the metadata databases, immediately before the fault."""
    asked, counter = context.drill.fleet.concurrent_tasks, context.sampler.counter
    counted = 0

    def full() -> bool:
        nonlocal counted
        counted = counter.count()[0]["running"]
        return counted >= asked

    context.wait(full, AT_FAULT_S, lambda: Aborted(
        f"the load fell to {counted} of {asked} running tasks before the fault"))
    context.journal.append(LoadAtFault(running=counted), durable=True)
