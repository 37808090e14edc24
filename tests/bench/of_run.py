"""What a run cost and how fast it was, from its report, against the bars of the full-size drill.

    ./dev python -m tests.bench.of_run runs/<run-id>

The evaluation is done again here, from the record on disk to the whole result, and timed.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from rich.console import Console
from rich.table import Table

from harness.common.durations import show_duration
from harness.measures import evaluate
from harness.measures.result import Result, Transition
from harness.record import evidence, journal
from harness.record.tables import BULK
from reports import reader, words
from tests.bench.prover import TimedProver

WAITS = ("fence-old-writer", "quiesce")
"""Steps in which the orchestrator waits: for a writer that it cannot reach, for tasks that are to come to their end."""


@dataclass(frozen=True)
class Evaluation:
    """What it took to make a run's result. Seconds."""

    load_s: float
    prove_s: float
    evaluate_s: float

    @property
    def whole_s(self) -> float:
        """From the record to the result."""
        return self.load_s + self.prove_s + self.evaluate_s


def main() -> None:
    """Print the table of the run directory given as the only argument."""
    run = Path(sys.argv[1])
    Console().print(table_of(reader.read(run), seconds_of_phases(run), evaluation_of(run)))


def table_of(result: Result, phases: dict[str, float | None], evaluation: Evaluation) -> Table:
    """The figures of a run against their bars."""
    ran, cost = result.run, result.resources
    table = Table("what", "measured", "bar at full size", box=None)
    table.add_row("verdict", result.verdict, "PASS")
    table.add_row("Deployments, task instances running at the fault",
                  f"{ran.deployments}, {words.number(ran.concurrent_tasks_at_fault)}", "80, 1,250")
    table.add_row("memory of all processes at its peak (PSS)", words.mebibytes(cost.memory_peak_mib), "14 GiB")
    table.add_row("fleet up, from nothing", words.span(phases["fleet up"]), "120 s")
    table.add_row("load reached after that", words.span(phases["load reached"]), "600 s")
    for transition in result.transitions:
        table.add_row(f"RTO of the fleet, {transition.kind}", words.figure(transition.rto), "300 s")
        table.add_row(f"p50, p95, {transition.kind}",
                      f"{words.figure(transition.rto_p50)}, {words.figure(transition.rto_p95)}", "")
        waited, own = seconds_of_steps(transition)
        table.add_row(f"of which the orchestrator's steps, {transition.kind}", show_duration(own), "60 s")
        table.add_row(f"of which it waited, {transition.kind}", show_duration(waited), "")
    table.add_row("the whole drill", f"{(ran.ended - ran.started) / 60:.1f} min", "30 min")
    table.add_row("harness's share of all CPU", words.share(cost.harness_share), "5 %")
    table.add_row("probe lateness p99", f"{words.number(ran.lateness_p99_ms)} ms", "250 ms")
    if cost.held_cores is not None:
        table.add_row("cores busy while the load was held", f"{cost.held_cores:.2f}, {cost.held_tasks} tasks ended", "")
    table.add_row("evaluation, from the record to the result",
                  f"{evaluation.whole_s:.1f} s (read {evaluation.load_s:.1f} s)", "10 s")
    table.add_row("the proof's share of it", words.share(evaluation.prove_s / evaluation.whole_s), "10 %")
    return table


def seconds_of_steps(transition: Transition) -> tuple[float, float]:
    """What the orchestrator waited for others, and what its other steps took, by its own word."""
    waited = sum(step.seconds for step in transition.steps if step.name in WAITS)
    return waited, sum(step.seconds for step in transition.steps) - waited


def seconds_of_phases(run: Path) -> dict[str, float | None]:
    """From the journal: how long the fleet took to come up, and the load to be reached after that."""
    events = {e.kind: e for e in reversed(journal.read(run, without=BULK))}
    up, reached = events.get("fleet.up"), events.get("load.reached")
    return {"fleet up": None if up is None else float(up["seconds"]),
            "load reached": None if up is None or reached is None else reached.monotonic - up.monotonic}


def evaluation_of(run: Path) -> Evaluation:
    """Make a run's result again and time that."""
    marks = [time.perf_counter()]
    read = evidence.load(run)
    marks.append(time.perf_counter())
    prover = TimedProver()
    evaluate(read, prover)
    marks.append(time.perf_counter())
    load_s, evaluate_s = (after - before for before, after in pairwise(marks))
    return Evaluation(load_s, prover.seconds, evaluate_s - prover.seconds)


if __name__ == "__main__":
    main()
