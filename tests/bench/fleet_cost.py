"""What a fleet costs: CPU per task instance and memory per Deployment, by part.

    ./dev python -m tests.bench.fleet_cost --deployments 8 --tasks 125 --task-seconds 30

Brings up the embedded pair, reads what the idle fleet takes, puts the load on it, and reads again over a
window once the load is reached. **All in** is the CPU of the window by the task instances that ended
in it; **net** is the same less what the idle fleet took in as much time.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from harness.drill.loader import load
from harness.drill.schema import LedgerSpec
from harness.engine.fleet import Fleet
from harness.engine.observers.databases import TaskCounter
from harness.environments.embedded.environment import EmbeddedPair
from harness.environments.embedded.layout import PairSettings
from harness.environments.embedded.usage import Meter, Use
from loadgen.load import LocustUsers
from tests.bench.machine import describe

UP_S = 900.0
"""How long the idle fleet may take to be there."""
LOAD_S = 600.0
"""How long the load may take to be there."""
FULL_SCALE = load(Path(__file__).parents[2] / "drills" / "full-scale.yaml").drill.fleet
"""Where Airflow's settings and the canary's interval come from."""
ON_A_TASKS_WAY = {"airflow", "postgresql"}
TASK_PARTS = {"aws", "witness"}
Reading = Mapping[tuple[str, str], Use]


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--deployments", type=int, default=8)
    options.add_argument("--tasks", type=int, default=125, help="0: the idle fleet only")
    options.add_argument("--task-seconds", type=float, default=30)
    options.add_argument("--window", type=float, default=90, help="seconds, for idle and for load")
    options.add_argument("--hold", action="store_true", help="wait for Enter before going down")
    asked = options.parse_args()
    console = Console()
    console.print(describe())
    pair = EmbeddedPair(f"bench-{os.getpid()}", PairSettings(
        task_seconds=asked.task_seconds, canary_seconds=FULL_SCALE.canary))
    meter = Meter(pair.directory)
    try:
        began = time.monotonic()
        pair.up()
        fleet = Fleet(pair, asked.deployments)
        fleet.create(FULL_SCALE.variables)
        while not fleet.healthy():
            pair.check()
            if time.monotonic() - began > UP_S:
                raise TimeoutError(f"the fleet was not healthy within {UP_S:.0f} s")
            time.sleep(0.5)
        console.print(f"{asked.deployments} Deployments up after {time.monotonic() - began:.0f} s")
        fleet.describe()
        idle, seconds = window(meter, asked.window)
        console.print(costs("the idle fleet", idle, seconds, 0, None))
        if asked.tasks:
            loaded(console, pair, fleet, meter, asked, {k: v / seconds for k, v in cpu(idle).items()})
        if asked.hold:
            input("Enter to go down ")
    finally:
        pair.down()


def loaded(console: Console, pair: EmbeddedPair, fleet: Fleet, meter: Meter,
           asked: argparse.Namespace, idle: Mapping[tuple[str, str], float]) -> None:
    """Put the load on and print what it costs."""
    fleet.start_ledger(LedgerSpec.model_validate({"rows-per-second": 1.0}))
    fleet.start_canaries()
    place = pair.directory / "sites" / "users"
    users = LocustUsers(place, pair.logs / "locust.log", options=pair.process_options(place))
    users.start(fleet.load_config(asked.tasks, 1))
    began = time.monotonic()
    counter = TaskCounter([d.name for d in fleet.members],
                          lambda name: pair.database("primary", name))
    while (running := counter.count()[0]["running"]) < asked.tasks:
        pair.check()
        if time.monotonic() - began > LOAD_S:
            raise TimeoutError(f"{running} of {asked.tasks} task instances run after {LOAD_S:.0f} s")
        time.sleep(2)
    console.print(f"{running} task instances running after {time.monotonic() - began:.0f} s")
    before = fleet.witness_counts()
    readings, seconds = window(meter, asked.window)
    after = fleet.witness_counts()
    done = sum(n - before.get(kind, 0) for kind, n in after.items() if kind.startswith("effect:"))
    console.print(costs(f"under load: {done} task instances ended", readings, seconds, done, idle))
    console.print(f"{counter.count()[0]['running']} running at the end")


def window(meter: Meter, seconds: float) -> tuple[Sequence[tuple[Use, Use | None]], float]:
    """Two readings that far apart: each part with what it was before."""
    first = {(u.group, u.part): u for u in meter.read(memory=False)}
    began = time.monotonic()
    time.sleep(seconds)
    last = meter.read(memory=True)
    return [(use, first.get((use.group, use.part))) for use in last], time.monotonic() - began


def cpu(readings: Sequence[tuple[Use, Use | None]]) -> dict[tuple[str, str], float]:
    """CPU seconds by part over a window."""
    return {(now.group, now.part): now.cpu_s - (before.cpu_s if before else 0.0)
            for now, before in readings}


def costs(title: str, readings: Sequence[tuple[Use, Use | None]], seconds: float, tasks: int,
          idle: Mapping[tuple[str, str], float] | None) -> Table:
    """One window as a table."""
    table = Table("group", "part", "processes", "PSS MiB", "cores", box=None, title=title)
    if tasks:
        table.add_column("ms a task, all in", justify="right")
        table.add_column("net", justify="right")
    used = cpu(readings)
    all_in = net = 0.0
    for now, _ in readings:
        key = (now.group, now.part)
        row = [now.group, now.part, str(now.processes), f"{now.pss_mib or 0:.0f}",
               f"{used[key] / seconds:.3f}"]
        if tasks:
            mine = max(0.0, used[key] - (idle or {}).get(key, 0.0) * seconds)
            row += [f"{used[key] / tasks * 1000:.1f}", f"{mine / tasks * 1000:.1f}"]
            if now.group in ON_A_TASKS_WAY or now.part in TASK_PARTS:
                all_in, net = all_in + used[key], net + mine
        table.add_row(*row)
    table.add_row("all", "", str(sum(now.processes for now, _ in readings)),
                  f"{sum(now.pss_mib or 0 for now, _ in readings):.0f}",
                  f"{sum(used.values()) / seconds:.3f}")
    if tasks:
        table.add_row("Airflow, PostgreSQL, AWS, witness", "", "", "", "",
                      f"{all_in / tasks * 1000:.1f}", f"{net / tasks * 1000:.1f}")
    return table


if __name__ == "__main__":
    main()
