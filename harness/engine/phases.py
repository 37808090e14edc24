"""The phases of a drill, by the name that a drill file uses.

A phase acts, looks, and writes both into the journal. It decides nothing about the result.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from harness.engine import checks as looks
from harness.engine import transitions as moves
from harness.engine.context import SLOW_POLL_S, Aborted, PhaseFailed, Stage
from harness.engine.snapshots import take_look
from harness.environments.base import EnvironmentFailed
from harness.faults import FAULTS, FaultFailed
from harness.measures import tasks
from harness.record.events import (
    FaultIntent,
    FaultOutcome,
    HealImage,
    LoadAtFault,
    LoadReached,
    Settled,
    SettleTimeout,
    UndoIntent,
    UndoOutcome,
)

QUIET_S = 6.0
"""A Deployment is up again when a canary scheduled by the new writer has succeeded; the fleet has
settled when that is still so this much later."""
AT_FAULT_S = 120.0
"""How long the load may take to be at the asked size again, immediately before a fault."""
LOOKED_AT_A_SECOND = 10
"""Metadata databases that are looked at while settling; of a larger fleet each less often."""


def load(stage: Stage, spec: Any) -> None:
    """Start the load; wait until it runs at the asked size, then hold it there."""
    asked = stage.drill.fleet.concurrent_tasks
    stage.start_load(asked)
    best = 0

    def saturated() -> bool:
        nonlocal best
        best = max(best, stage.sampler.running())
        return stage.sampler.running() >= asked

    def never() -> Exception:
        return Aborted(f"the load reached {best} of {asked} running tasks within {spec.timeout:.0f} s")

    stage.wait(saturated, spec.timeout, never)
    stage.journal.append(LoadReached(running=stage.sampler.running()))
    stage.progress.say(f"{stage.sampler.running()} tasks run at once")
    held_until = time.monotonic() + spec.hold
    stage.wait(lambda: time.monotonic() >= held_until, spec.hold + 60, never)


def fault(stage: Stage, spec: Any) -> None:
    """Break something: intent and undo first, then the act, then what was seen."""
    name, parameters = spec.chosen
    chosen = FAULTS[name]
    disrupts = chosen.disrupts and getattr(parameters, "disrupts", True)
    if disrupts:
        take_look(stage, "before")
        _wait_for_full_load(stage)
    undo = dict(chosen.undo(parameters))
    # A random moment within a probe's interval: a fault in step with the probes would always
    # be seen equally fast.
    time.sleep(stage.chance.uniform(0, stage.drill.probes.interval))
    shown = parameters.model_dump(by_alias=True, exclude_none=True)
    stage.journal.append(FaultIntent(fault=name, parameters=shown, undo=undo), durable=True)
    stage.undo.append(undo)
    began = time.time()
    try:
        seen = chosen.inject(stage.environment, parameters)
    except FaultFailed as error:
        raise EnvironmentFailed(f"fault {name}: {error}") from error
    in_force = time.time()
    stage.journal.append(FaultOutcome(
        fault=name, disrupts=disrupts, asked=began, in_force=in_force, parameters=shown, undo=undo,
        seen=dict(seen)), durable=True)
    if disrupts:
        stage.t_fault = in_force
    stage.progress.say(f"{name} {shown}: in force after {(in_force - began) * 1000:.0f} ms")


def settle(stage: Stage, spec: Any) -> None:
    """Wait until every Deployment runs tasks again and every task in flight has ended; then look at everything.

    In the last phase of a drill the load comes to its end as well, once the fleet is up: then *all* tasks must have
    ended, so that each has an outcome.
    """
    since = time.time()
    moved = stage.t_fault is not None
    keys: set[tuple[str, ...]] = set()
    if moved:
        witness = stage.fleet.witness_tables()
        # The new writer's first acknowledgement ends the wait for a canary of the old reign.
        keys = {tuple(map(str, key)) for region in stage.environment.regions.values()
                for key in tasks.in_flight(witness, region.name, stage.t_fault or since)}
    quiet_since: float | None = None
    waiting = "every Deployment to be up"

    def settled() -> bool:
        nonlocal quiet_since, keys, waiting
        if (up := stage.up_since(stage.restored_from)) < len(stage.fleet.members):
            quiet_since, waiting = None, f"{len(stage.fleet.members) - up} Deployments to be up"
            return False
        quiet_since = quiet_since or time.monotonic()
        if time.monotonic() - quiet_since < QUIET_S:
            return False
        if stage.last:
            stage.stop_load()
        keys = stage.sampler.counter.unfinished(keys)
        running = stage.sampler.counter.load_unfinished() if stage.last else 0
        waiting = f"{len(keys)} tasks of before, {running} others and copies between the buckets"
        return not keys and not running and _logs_replicated(stage)

    def give_up() -> None:
        stage.journal.append(SettleTimeout(seconds=spec.timeout, missing=f"waited for {waiting}"))
        stage.progress.say(f"settling timed out: waited for {waiting}; what has not recovered counts as it stands")

    stage.wait(settled, spec.timeout, give_up,
               poll=SLOW_POLL_S * max(1.0, len(stage.fleet.members) / LOOKED_AT_A_SECOND))
    if stage.last:
        stage.stop_load()
    if moved:
        stage.look("identity", *stage.fleet.identity_kept(stage.active))
        stage.look("carried-over", *stage.fleet.carried_over(stage.active))
        if (left := looks.one_region(stage.fleet, stage.environment, stage.active)) is not None:
            stage.look("one-region", *left)
    stage.journal.append(Settled(snapshot=take_look(stage, "settled"), since=since), durable=True)
    stage.t_fault = None


def heal(stage: Stage, spec: Any) -> None:
    """Take back what was broken in a region, and wait until it follows the active one."""
    active, environment = stage.active, stage.environment
    image = looks.push_image(environment, active, environment.identifier)
    stage.journal.append(HealImage(key=image))
    for undo in reversed(stage.undo):
        _undo_one(stage, undo)
    stage.undo.clear()

    def look_back(ready: bool) -> None:
        if active != "primary":
            lag = dict(environment.replication_lag(active))
            stage.look("reverse-replication", ready and lag.get("state") == "streaming",
                       f"{environment.region_name(active)} to the other region: {lag}"
                       + ("" if ready else f"; not ready for a failback after {spec.timeout:.0f} s"))

    def never() -> Exception:
        look_back(False)
        return PhaseFailed(
            f"the {spec.region} region did not become a follower within {spec.timeout:.0f} s")

    stage.wait(lambda: stage.fleet.follows(active), spec.timeout, never, poll=SLOW_POLL_S)
    look_back(True)
    stage.look("variants", *looks.variants(stage.fleet, environment, active))
    stage.look("image-carried", *looks.image_carried(environment, active, image))


def hold(stage: Stage, spec: Any) -> None:
    """Let things go on as they are; still watching over the environment, and for what is expected."""
    until, seen = time.monotonic() + spec.duration, (False, "not seen")

    def over() -> bool:
        nonlocal seen
        if spec.expect and spec.expect != "up":
            seen = looks.EXPECTED[spec.expect](stage.fleet, stage.environment, stage.active)
        return seen[0] or time.monotonic() >= until

    stage.wait(over, spec.duration + 60, lambda: None, poll=SLOW_POLL_S)
    if spec.expect == "up":
        up, all_of_them = stage.up_since(0.0), len(stage.fleet.members)
        seen = up == all_of_them, f"{up} of {all_of_them} Deployments run tasks"
    if spec.expect:
        stage.look(spec.expect, *seen)


PHASES: dict[str, Callable[[Stage, Any], None]] = {
    "load": load, "fault": fault, "failover": moves.failover, "settle": settle, "heal": heal,
    "failback": moves.failback, "hold": hold}


def _wait_for_full_load(stage: Stage) -> None:
    """Counted in the metadata databases, immediately before the fault."""
    asked, counter = stage.drill.fleet.concurrent_tasks, stage.sampler.counter
    counted = 0

    def full() -> bool:
        nonlocal counted
        counted = counter.count()[0]["running"]
        return counted >= asked

    stage.wait(full, AT_FAULT_S, lambda: Aborted(
        f"the load fell to {counted} of {asked} running tasks before the fault"))
    stage.journal.append(LoadAtFault(running=counted), durable=True)


def _undo_one(stage: Stage, undo: dict[str, Any]) -> None:
    stage.journal.append(UndoIntent(undo=undo), durable=True)
    environment = stage.environment
    seen: Any = {}
    if role := undo.get("restore-region"):
        seen = environment.restore_region(role)
    for direction in undo.get("mend-links", ()):
        source, target = direction.split("->")
        seen = environment.set_link(source, target)
    if site := undo.get("end-api-outage"):
        seen = environment.api_outage(site, ())
    if "disarm-orchestrator" in undo:
        seen = environment.arm_orchestrator(())
    stage.journal.append(UndoOutcome(undo=undo, seen=dict(seen)))
    stage.progress.say(f"undone: {undo}")


def _logs_replicated(stage: Stage) -> bool:
    """Whether the active region waits for nothing to be copied (when its peer can be reached)."""
    other = "secondary" if stage.active == "primary" else "primary"
    cut = any("mend-links" in undo for undo in stage.undo)
    if cut or not stage.environment.region_alive(other):
        return True
    return bool(stage.environment.pending_objects(stage.active)["OperationsPendingReplication"] == 0)
