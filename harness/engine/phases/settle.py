"""The phase ``settle``: wait until the fleet is whole again, and look at everything."""

from __future__ import annotations

import time
from typing import Any

from harness.engine import checks
from harness.engine.checks import Moment
from harness.engine.context import SLOW_POLL_S, DrillContext
from harness.engine.snapshots import take_snapshot
from harness.faults import FAULTS
from harness.measures import tasks
from harness.record.events import Settled, SettleTimeout

QUIET_S = 6.0
"""A Deployment is up again when a canary scheduled by the new writer has succeeded; the fleet has
settled when that is still so this much later."""
LOOKED_AT_A_SECOND = 10
"""Metadata databases that are looked at while settling; of a larger fleet each less often."""


def run(context: DrillContext, spec: Any) -> None:
    """Wait until every Deployment runs tasks again and every task in flight has ended; then look at everything.

    In the last phase of a drill the load comes to its end as well, once the fleet is up: then *all* tasks must have
    ended, so that each has an outcome.
    """
    since = time.time()
    moved = context.t_fault is not None
    keys: set[tuple[str, ...]] = set()
    if moved:
        witness = context.fleet.witness_tables()
        # The new writer's first acknowledgement ends the wait for a canary of the old reign.
        keys = {tuple(map(str, key)) for region in context.environment.regions.values()
                for key in tasks.in_flight(witness, region.name, context.t_fault or since)}
    quiet_since: float | None = None
    waiting = "every Deployment to be up"

    def settled() -> bool:
        nonlocal quiet_since, keys, waiting
        if (up := context.up_since(context.restored_from)) < len(context.fleet.members):
            quiet_since, waiting = None, f"{len(context.fleet.members) - up} Deployments to be up"
            return False
        quiet_since = quiet_since or time.monotonic()
        if time.monotonic() - quiet_since < QUIET_S:
            return False
        if context.last:
            context.stop_load()
        keys = context.sampler.counter.unfinished(keys)
        running = context.sampler.counter.load_unfinished() if context.last else 0
        waiting = f"{len(keys)} tasks of before, {running} others and copies between the buckets"
        return not keys and not running and _logs_replicated(context)

    def give_up() -> None:
        context.journal.append(SettleTimeout(seconds=spec.timeout, missing=f"waited for {waiting}"))
        context.progress.say(f"settling timed out: waited for {waiting}; what has not recovered counts as it stands")

    context.wait(settled, spec.timeout, give_up,
               poll=SLOW_POLL_S * max(1.0, len(context.fleet.members) / LOOKED_AT_A_SECOND))
    if context.last:
        context.stop_load()
    if moved:
        checks.run(context, Moment.SETTLED)
    context.journal.append(Settled(snapshot=take_snapshot(context, "settled"), since=since), durable=True)
    context.t_fault = None


def _logs_replicated(context: DrillContext) -> bool:
    """Whether the active region waits for nothing to be copied (when its peer can be reached)."""
    other = "secondary" if context.active == "primary" else "primary"
    cut = any(FAULTS[standing.fault].cuts_links for standing in context.standing)
    if cut or not context.environment.region_alive(other):
        return True
    return bool(context.environment.pending_objects(context.active)["OperationsPendingReplication"] == 0)
