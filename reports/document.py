"""``report.json``: the whole result of a run as one document."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness import evidence as evidences
from harness.evidence import Evidence
from harness.measures import claims, figures, resources, verdict
from harness.measures.interval import FAIL, INCONCLUSIVE, PASS

SCHEMA = "dr-drill/report/v1"
TIMES = ("t_fault", "t_trigger", "t_promoted", "t_completed", "t_settled")


def stamp(seconds: float | None) -> str | None:
    """RFC 3339 in UTC, to the millisecond."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace(
        "+00:00", "Z")


def build(run: Path) -> dict[str, Any]:
    """The report of a run directory.

    Raises:
        FileNotFoundError, CorruptJournal: see :func:`harness.evidence.load`.
    """
    return from_evidence(evidences.load(run))


def from_evidence(evidence: Evidence) -> dict[str, Any]:
    """The report of a run's evidence."""
    started = evidence.first("run.started")
    if started is None:
        raise ValueError("the journal does not begin with run.started")
    found = figures.compute(evidence)
    judged = verdict.judge(found, started["targets"])
    failures = [str(e["reason"]) for e in evidence.of("failure")]
    proven = claims.prove(started["proves"], found, evidence)
    outcome = verdict.verdict(found, judged, failures, [p.verdict for p in proven])
    aborted = evidence.first("run.aborted")
    broken = evidence.first("run.broken")
    unproven = [f"{p.id} is not proven: {p.evidence}" for p in proven if p.verdict != PASS]
    reasons = failures + found.gaps + unproven
    if (stopped := aborted or broken) is not None:
        reasons.insert(0, str(stopped["reason"]))
        outcome = INCONCLUSIVE if outcome != FAIL else outcome
    cleanup = evidence.first("cleanup")
    fleet_up = evidence.first("fleet.up")
    simulated = evidence.first("environment.up")
    transitions = figures.as_json(found)
    for transition in transitions:
        transition.update({name: stamp(transition[name]) for name in TIMES})
        for step in transition["steps"]:
            step["at"] = stamp(step["at"])
    return {
        "schema": SCHEMA, "run_id": started["run_id"], "drill": started["drill"],
        "verdict": outcome, "reasons": reasons,
        "aborted": bool(aborted), "broken": bool(broken),
        "cleanup": cleanup["outcome"] if cleanup else "not done",
        "started": stamp(started.wall), "ended": stamp(evidence.events[-1].wall),
        "seed": started["seed"], "machine": started["machine"], "versions": started["versions"],
        "simulated": simulated["simulated"] if simulated else [],
        "fleet": {
            "deployments": len(fleet_up["deployments"]) if fleet_up else 0,
            "concurrent_tasks_asked": started["concurrent_tasks"],
            "concurrent_tasks_at_fault": found.concurrent_tasks_at_fault,
            "settings": fleet_up["settings"] if fleet_up else {},
        },
        "probes": {"interval_s": started["probe_interval_s"],
                   "lateness_p99_ms": found.lateness_p99_ms},
        "transitions": transitions,
        "resources": resources.as_json(found.resources),
        "steady_state": None if found.steady is None else {
            "rpo": {stream: figures.loss_json(loss) for stream, loss in found.steady.losses.items()},
            "split_brain": {
                name: getattr(found.steady.split_brain, name)
                for name in ("database_writes", "side_effects", "double_runs")},
            "tasks": {"failed": found.steady.tasks_failed}},
        "targets": [dataclasses.asdict(j) for j in judged],
        "claims": [dataclasses.asdict(p) for p in proven],
    }


def exit_code(report: dict[str, Any]) -> int:
    """The exit code that a report stands for."""
    if report["aborted"]:
        return 130
    if report["broken"]:
        return 4
    by_verdict = {"PASS": 0, "FAIL": 1, "INCONCLUSIVE": 3}
    code = by_verdict[report["verdict"]]
    if code == 0 and report["cleanup"] == "failed":
        return 5
    return code
