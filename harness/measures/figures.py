"""All figures of a run: evidence in, one structure out. Pure; no I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from harness.evidence import Evidence
from harness.measures import audit as audits
from harness.measures import exposure as exposures
from harness.measures import rpo, rto, split_brain, tasks
from harness.measures.resources import Resources, resources
from harness.measures.timeline import Transition, transitions

LATENESS_MOST_MS = 250.0
"""Probes sent later than this (p99) make the drill inconclusive: they may have missed something."""


@dataclass(frozen=True)
class TransitionFigures:
    """Everything measured of one transition. A part that could not be measured is None."""

    transition: Transition
    recovery: rto.FleetRecovery
    losses: dict[str, rpo.Loss]
    """By stream; empty when the databases were not looked at."""
    split_brain: split_brain.SplitBrain
    tasks: tasks.TaskOutcomes | None
    audit: audits.Audit | None
    exposure: exposures.Exposure
    stranded: rpo.Stranded | None = None
    """None for a planned transition, whose losses count to the end of the old reign anyway."""


@dataclass(frozen=True)
class SteadyState:
    """The same losses, of a drill that breaks nothing: all of them must be zero."""

    losses: dict[str, rpo.Loss]
    split_brain: split_brain.SplitBrain
    tasks_failed: int


@dataclass(frozen=True)
class Figures:
    """The figures of a run, and what was missing to make them conclusive."""

    transitions: list[TransitionFigures]
    steady: SteadyState | None
    concurrent_tasks_at_fault: int | None
    lateness_p99_ms: float | None
    resources: Resources
    gaps: list[str] = field(default_factory=list)


def compute(evidence: Evidence) -> Figures:
    """All figures of a run."""
    started = evidence.first("run.started")
    fleet_up = evidence.first("fleet.up")
    fleet = [d["name"] for d in fleet_up["deployments"]] if fleet_up else []
    interval = float(started["probe_interval_s"]) if started else 0.0
    canary = float(started["canary_interval_s"]) if started else 0.0
    tables = evidence.tables
    role_of = fleet_up["roles"] if fleet_up else {}
    last = evidence.snapshots[-1] if evidence.snapshots else None
    found = []
    gaps: list[str] = []
    for t in transitions(evidence):
        settled = t.snapshot if t.snapshot in evidence.snapshots else None
        # A planned transition may lose nothing up to the very end of the old reign.
        until = t.t_promoted if t.planned and t.t_promoted else t.t_fault
        if settled is None or last is None:
            gaps.append(f"{t.kind}: the databases were not looked at after it settled")
        found.append(TransitionFigures(
            transition=t,
            recovery=rto.recovery(tables, t, fleet, interval, canary),
            losses=rpo.all_streams(tables, t.source, until, settled, last)
            if settled is not None and last is not None else {},
            stranded=rpo.stranded(tables, t.source, t.t_fault, t.t_promoted or t.t_settled, settled)
            if settled is not None and last is not None and not t.planned else None,
            split_brain=split_brain.split_brain(tables, t),
            tasks=tasks.outcomes(tables, t, settled) if settled is not None else None,
            audit=audits.audit(evidence, t, role_of),
            exposure=exposures.exposure(tables, t.t_fault),
        ))
    lateness = tables.value("select quantile_disc(late_ms, 0.99) from probes")
    gaps += _gaps(evidence, fleet, lateness, found)
    at_fault = evidence.first("load.at-fault")
    steady = None
    if not found and last is not None and fleet_up is not None:
        steady = _steady(evidence, fleet_up["active"])
    return Figures(found, steady, at_fault["running"] if at_fault else None, lateness,
                   resources(evidence), gaps)


def _steady(evidence: Evidence, region: str) -> SteadyState:
    event = evidence.of("settled")[-1]
    held, tables = str(event["snapshot"]), evidence.tables
    until = float(event["since"])
    return SteadyState(
        rpo.all_streams(tables, region, until, held, held),
        split_brain.intruders(tables, region), tasks.failed(tables, held))


def _gaps(evidence: Evidence, fleet: list[str], lateness: float | None,
          found: list[TransitionFigures]) -> list[str]:
    gaps = []
    for event in evidence.of("gap"):
        gaps.append(str(event["reason"]))
    reached = evidence.first("load.reached")
    if evidence.first("load.started") is not None and reached is None:
        gaps.append("the load never reached the asked number of running tasks")
    if lateness is None:
        gaps.append("no probe was sent")
    elif lateness > LATENESS_MOST_MS:
        gaps.append(f"probes were late: p99 {lateness:.0f} ms, more than {LATENESS_MOST_MS:.0f} ms")
    probed = {row["d"] for row in evidence.tables.rows("select distinct d from probes")}
    gaps += [f"Deployment {name} was never probed" for name in fleet if name not in probed]
    for f in found:
        if f.transition.t_completed is None:
            gaps.append(f"{f.transition.kind}: the orchestrator never said that it had finished")
        if f.audit is None:
            gaps.append(f"{f.transition.kind}: no dependency audit")
    return gaps


def as_json(figures: Figures) -> list[dict[str, Any]]:
    """The transitions as ``report.json`` shows them."""
    return [_transition(f) for f in figures.transitions]


def _transition(f: TransitionFigures) -> dict[str, Any]:
    t, fleet = f.transition, f.recovery.fleet
    return {
        "kind": t.kind, "from": t.source, "to": t.target, "planned": t.planned,
        "t_fault": t.t_fault, "t_trigger": t.t_trigger, "t_promoted": t.t_promoted,
        "t_completed": t.t_completed, "t_settled": t.t_settled,
        "rto": {
            "fleet_s": _round(fleet.value) if fleet else None,
            "censored": fleet.censored if fleet else None,
            "p50_s": _round(f.recovery.p50), "p95_s": _round(f.recovery.p95),
            "error_s": _round(fleet.error) if fleet else None,
            "deployments": {
                r.deployment: {"rto_s": _round(r.rto.value), "restored": not r.rto.censored,
                               "api_s": _round(r.api.value),
                               "split_s": {k: _round(v) for k, v in vars(r.split).items()}
                               if r.split else None}
                for r in f.recovery.deployments
            },
        },
        "rpo": {stream: loss_json(f.losses.get(stream)) for stream in rpo.STREAMS},
        "stranded": _stranded(f.stranded),
        "split_brain": {
            "database_writes": f.split_brain.database_writes,
            "side_effects": f.split_brain.side_effects, "double_runs": f.split_brain.double_runs,
            "examples": list(f.split_brain.examples)},
        "tasks": tasks.as_json(f.tasks) if f.tasks else None,
        "steps": [{"name": s["name"], "seconds": _round(s["seconds"]), "at": s["at"],
                   "attempts": s.get("attempts", 1)} for s in t.steps],
        "dependency_audit": None if f.audit is None else {
            "calls": f.audit.calls, "by_site": f.audit.by_site, "left_region": f.audit.left_region,
            "iam_writes": f.audit.iam_writes, "examples": list(f.audit.examples)},
        "exposure": {k: v if isinstance(v, int) else _round(v)
                     for k, v in f.exposure.__dict__.items()},
    }


def _stranded(found: rpo.Stranded | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {"count": found.count, "window_s": _round(found.window.value), "error_s": found.window.error}


def loss_json(loss: rpo.Loss | None) -> dict[str, Any] | None:
    """One stream's loss as ``report.json`` shows it; None: not measured."""
    if loss is None:
        return None
    return {"window_s": _round(loss.window.value), "error_s": loss.window.error,
            "lost": loss.lost, "acknowledged": loss.acknowledged,
            "recovered_later": loss.recovered_later, "unknown": loss.unknown,
            "recovered": loss.recovered, "phantom": loss.phantom, "parts": loss.parts,
            "examples": list(loss.examples)}


def _round(value: float | None) -> float | None:
    return None if value is None else round(float(value), 3)
