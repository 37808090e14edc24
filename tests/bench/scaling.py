"""How a fleet's size changes its up time, saturation time and RTO, with the growth exponent.

    ./dev python -m tests.bench.scaling [sizes ...]          10 20 40 80 by default
    ./dev python -m tests.bench.scaling --of runs/a runs/b   from runs that were made already

Runs ``drills/full-scale.yaml`` at each size with as many tasks per Deployment, up to the end of the first
settling (no failback): ten minutes each. An exponent of 1 is linear.
"""

from __future__ import annotations

import math
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml
from rich.console import Console
from rich.table import Table

from harness.measures.interval import Interval
from harness.measures.result import Transition
from reports import reader
from tests.bench.machine import describe
from tests.bench.of_run import seconds_of_phases

DRILL = Path(__file__).parents[2] / "drills" / "full-scale.yaml"
TASKS_EACH = 1250 / 80
FIGURES = ("fleet up s", "load reached s", "RTO of the fleet s", "RTO p50 s")


def drill_of(size: int) -> str:
    """The full-size drill with another fleet."""
    drill = yaml.safe_load(DRILL.read_text())
    drill["fleet"] |= {"deployments": size, "concurrent_tasks": round(size * TASKS_EACH)}
    drill["phases"] = drill["phases"][:4]
    drill["metadata"]["proves"] = []
    return yaml.safe_dump(drill, sort_keys=False)


def figures_of(run: Path) -> tuple[int, str, list[float]]:
    """Size, verdict and the figures of a run; of an interval the upper bound, nan where there is none."""
    result, phases = reader.read(run), seconds_of_phases(run)
    first = result.transitions[0] if result.transitions else None
    values = [phases["fleet up"], phases["load reached"], *(upper(first, name) for name in ("rto", "rto_p50"))]
    return result.run.deployments, result.verdict, [math.nan if value is None else value for value in values]


def upper(transition: Transition | None, name: str) -> float | None:
    """The upper bound of a transition's figure."""
    figure: Interval | None = getattr(transition, name, None)
    return None if figure is None else figure.high


def main() -> None:
    """Run what has to be run and print."""
    console = Console()
    console.print(describe())
    if sys.argv[1:2] == ["--of"]:
        runs = [Path(name) for name in sys.argv[2:]]
    else:
        runs = []
        for size in [int(word) for word in sys.argv[1:]] or [10, 20, 40, 80]:
            run = Path(tempfile.mkdtemp(prefix=f"drill-scaling-{size}-")) / "run"
            file = run.parent / "drill.yaml"
            file.write_text(drill_of(size))
            console.print(f"{size} Deployments: {run}")
            subprocess.run([sys.executable, "-m", "harness.cli.main", "run", str(file),
                            "--output", str(run)], check=False)
            runs.append(run)
    table = Table("Deployments", "verdict", *FIGURES, box=None)
    found = sorted(figures_of(run) for run in runs)
    for size, verdict, values in found:
        table.add_row(str(size), verdict, *(f"{value:.1f}" for value in values))
    if len(found) > 1:
        table.add_row("growth", "", *(
            f"n^{exponent([(size, values[index]) for size, _, values in found]):.2f}"
            for index in range(len(FIGURES))))
    console.print(table)


def exponent(points: list[tuple[int, float]]) -> float:
    """The slope of the least-squares line through the logarithms; nan of fewer than two sizes."""
    logs = [(math.log(n), math.log(max(value, 0.1))) for n, value in points if not math.isnan(value)]
    if len({x for x, _ in logs}) < 2:
        return math.nan
    mean_x = sum(x for x, _ in logs) / len(logs)
    mean_y = sum(y for _, y in logs) / len(logs)
    return (sum((x - mean_x) * (y - mean_y) for x, y in logs)
            / sum((x - mean_x) ** 2 for x, _ in logs))


if __name__ == "__main__":
    main()
