"""Failover and failback: asked of the system's own orchestrator, waited for, and written down."""

from __future__ import annotations

import time
from typing import Any

from harness.engine import checks
from harness.engine.checks import Moment
from harness.engine.context import DrillContext, PhaseFailed
from harness.engine.snapshots import take_snapshot
from harness.record.events import OrchestratorCrashes, TransitionCompleted, TriggerAccepted, TriggerIntent
from harness.systems.base import Kind, OrchestratorFailed

MOVE_POLL_S = 0.5
"""When a move ended is read from the orchestrator's record of it, so this costs no accuracy."""


def move(context: DrillContext, kind: Kind, spec: Any) -> None:
    """Ask for a failover or a failback, and wait until the orchestrator says that it has finished.

    Raises:
        PhaseFailed: when it is refused, fails, or does not come to its end in time.
    """
    if spec.expect == "refused":
        _refused(context, kind, spec)
        return
    source, target = context.active, "secondary" if kind == "failover" else "primary"
    environment, driver = context.environment, context.fleet.orchestrator
    if context.t_fault is None:
        # Nothing is broken: what the Deployments are made of is compared from here. (Before a fault it was.)
        take_snapshot(context, "before")
    known = {h["id"] for h in driver.history()}
    context.journal.append(TriggerIntent(kind=kind, planned=spec.planned or kind == "failback"), durable=True)
    try:
        driver.trigger(kind, planned=spec.planned)
    except OrchestratorFailed as error:
        raise PhaseFailed(str(error)) from error
    accepted = time.time()
    context.journal.append(TriggerAccepted(
        kind=kind, at=accepted, planned=spec.planned or kind == "failback",
        source=environment.region_name(source), target=environment.region_name(target)), durable=True)
    if context.t_fault is None:
        context.t_fault = accepted
    context.active = target

    def done() -> bool:
        state = driver.cluster()
        if state.status == "FAILOVER_FAILED":
            why = next((h.get("error") for h in driver.history() if h["id"] not in known), "")
            raise PhaseFailed(f"the orchestrator says that the {kind} failed: {why}")
        return state.settled and state.is_failed_over == (kind == "failover")

    context.wait(done, spec.timeout, lambda: PhaseFailed(
        f"the {kind} did not finish within {spec.timeout:.0f} s"), poll=MOVE_POLL_S)
    record = next((h for h in driver.history() if h["id"] not in known), None)
    completed = record["endedAt"] if record and record["endedAt"] else time.time()
    # Written down as soon as it is seen: the audit of whom the orchestrator called ends here.
    context.journal.append(TransitionCompleted(kind=kind, at=completed, steps=_steps(record)), durable=True)
    checks.run(context, Moment.MOVED)
    if crashes := environment.orchestrator_crashes():
        context.journal.append(OrchestratorCrashes(points=list(crashes)))
        context.progress.say(f"the orchestrator died at {', '.join(crashes)}, and went on")
    context.t_moved = completed
    context.progress.say(f"{kind} finished {completed - accepted:.1f} s after it was accepted")


def _refused(context: DrillContext, kind: Kind, spec: Any) -> None:
    """A request that the orchestrator must refuse, with a reason, and without moving anything."""
    driver = context.fleet.orchestrator
    before = driver.cluster()
    try:
        driver.trigger(kind, planned=spec.planned)
    except OrchestratorFailed as error:
        after = driver.cluster()
        still = (after.status, after.is_failed_over) == (before.status, before.is_failed_over)
        context.look("refusal", still, f"{error}" + ("" if still else ", and yet it moved"))
        context.progress.say(str(error))
        return
    context.look("refusal", False, f"the {kind} was accepted, where it had to be refused")
    raise PhaseFailed(f"the {kind} was accepted, where it had to be refused")


def _steps(record: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The steps on the critical path, as the orchestrator tells them."""
    return [{"name": s["name"], "seconds": s["ended"] - s["started"], "at": s["started"],
             "attempts": s["attempts"]}
            for s in (record["steps"] if record else []) if s["ended"] and s["name"] != "cleanup"]
