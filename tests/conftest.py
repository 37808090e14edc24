"""Shared by all tests: a run's evidence, built by hand."""

from __future__ import annotations

from typing import Any

import pytest

from harness.evidence import Evidence
from harness.journal import Event
from harness.tables import BULK, Tables

Facts = list[dict[str, Any]]


class Story:
    """Builds the evidence of a run, event by event, on a clock of its own."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.witness: list[dict[str, Any]] = []
        self.links: list[dict[str, Any]] = []
        self.access: dict[str, list[dict[str, Any]]] = {}
        self.usage: list[dict[str, Any]] = []
        self.snapshots: dict[str, Facts] = {}

    def event(self, at: float, kind: str, /, **data: Any) -> Event:
        """An event at a moment (used for both clocks)."""
        made = Event(len(self.events) + 1, at, at, kind, data)
        self.events.append(made)
        return made

    def start(self, *deployments: str, targets: dict[str, Any] | None = None,
              proves: list[str] | None = None) -> None:
        """The beginning of a run with a fleet."""
        self.event(0, "run.started", run_id="r1", probe_interval_s=2.0, canary_interval_s=10.0, targets=targets or {},
                   proves=proves or [], concurrent_tasks=10, seed=1, versions={"moto": "5"},
                   machine={"system": "x", "python": "3", "cpus": 2},
                   drill={"name": "d", "title": "D", "sha256": "0", "file": "d.yaml"})
        self.event(1, "environment.up", simulated=["everything"])
        self.event(2, "fleet.up", settings={"A": "1"}, roles={"west": "primary", "east": "secondary"},
                   deployments=[{"name": name} for name in deployments], active="west")

    def ack(self, at: float, number: int, region: str = "west", deployment: str = "a",
            tried: bool = True) -> None:
        """An acknowledged ledger row."""
        row = {"s": "ledger", "d": deployment, "r": region, "wr": f"{region}/w", "n": number, "t": at}
        if tried:
            self.witness.append({"e": "try", **row})
        self.witness.append({"e": "ack", **row})

    def life(self, event: str, at: float, task: str, number: int = 1, region: str = "west") -> None:
        """A sign of life of a task instance."""
        self.witness.append({"e": event, "d": "a", "r": region, "dag": "wide", "run": "run1",
                             "task": task, "map": -1, "n": number, "t": at})

    def probe(self, at: float, deployment: str, ok: bool = True, scheduled: float | None = None,
              run: str = "", late: float = 0.0) -> None:
        """A probe's outcome; ``scheduled``: of the canary that it saw."""
        canary = None if scheduled is None else {
            "run": run or f"c{scheduled}", "scheduled": scheduled, "ended": scheduled + 1}
        self.event(at, "probe", d=deployment, sent=at, ms=10.0, late_ms=late,
                   outcome="ok" if ok else "failed", canary=canary)

    def failover(self, fault: float, accepted: float, completed: float, settled: float,
                 snapshot: Facts, planned: bool = False) -> None:
        """A whole transition from west to east (or back, when planned)."""
        source, target = ("east", "west") if planned else ("west", "east")
        kind = "failback" if planned else "failover"
        if not planned:
            self.event(fault, "fault.outcome", fault="region-outage", disrupts=True, in_force=fault)
        self.event(accepted - 0.2, "trigger.intent", kind=kind)
        self.event(accepted, "trigger.accepted", kind=kind, at=accepted, source=source,
                   target=target)
        steps = ["provision-database-compute", "promote-database", "inflate", "move-dns"]
        self.event(completed, "transition.completed", kind=kind, at=completed,
                   steps=[{"name": n, "seconds": 0.1, "at": accepted} for n in steps])
        name = f"settled-{len(self.snapshots) + 1}"
        self.snapshots[name] = snapshot
        self.event(settled, "settled", snapshot=name, since=completed)

    def evidence(self) -> Evidence:
        """What the measures see."""
        return Evidence([e for e in self.events if e.kind not in BULK], self.tables(),
                        tuple(self.snapshots), bool(self.links))

    def tables(self, **snapshots: Facts) -> Tables:
        """The tables alone; ``snapshots``: instead of those of the story's transitions."""
        made = Tables()
        made.fill("witness", self.witness)
        made.fill("links", self.links)
        made.fill("usage", self.usage)
        made.fill("access", [{"role": role, **line} for role, lines in self.access.items()
                             for line in lines])
        made.fill("held", [{"snapshot": name, **fact}
                           for name, facts in (snapshots or self.snapshots).items()
                           for fact in facts])
        made.fill_journal([{"n": e.number, "t": e.wall, "k": e.kind, **e.data} for e in self.events])
        return made


def held(rows: set[tuple[str, str, int]] | None = None, tasks: dict[Any, Any] | None = None,
         logs: set[str] | None = None) -> Facts:
    """A snapshot that holds these facts."""
    facts: Facts = [{"f": "row", "d": d, "wr": wr, "n": n} for d, wr, n in rows or ()]
    facts += [{"f": "ti", "d": d, "dag": dag, "run": run, "task": task, "map": index,
               "state": state, "try": tries}
              for (d, dag, run, task, index), (state, tries) in (tasks or {}).items()]
    return facts + [{"f": "log", "key": key} for key in logs or ()]


@pytest.fixture
def story() -> Story:
    """An empty story."""
    return Story()
