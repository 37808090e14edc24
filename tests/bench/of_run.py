"""What a run cost and how fast it was, from its report, against the bars of the full-size drill.

    ./dev python -m tests.bench.of_run runs/<run-id>
"""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from harness import journal


def main() -> None:
    """Print the table of the run directory given as the only argument."""
    run = Path(sys.argv[1])
    report = json.loads((run / "report.json").read_text())
    phases = seconds_of_phases(run)
    cost, probes = report["resources"], report["probes"]
    table = Table("what", "measured", "bar at full size", box=None)
    fleet = report["fleet"]
    table.add_row("verdict", report["verdict"], "PASS")
    table.add_row("Deployments, task instances running at the fault",
                  f"{fleet['deployments']}, {fleet['concurrent_tasks_at_fault']}", "80, 1,250")
    table.add_row("memory of all processes at its peak (PSS)",
                  f"{cost['memory_peak_mib'] / 1024:.1f} GiB", "14 GiB")
    table.add_row("fleet up, from nothing", f"{phases['fleet up']:.0f} s", "120 s")
    table.add_row("load reached after that", f"{phases['load reached']:.0f} s", "600 s")
    for t in report["transitions"]:
        rto = t["rto"]
        more = "more than " if rto["censored"] else ""
        table.add_row(f"RTO of the fleet, {t['kind']} (p50, p95)",
                      f"{more}{rto['fleet_s']:.0f} s ({rto['p50_s']:.0f}, {rto['p95_s']:.0f}) "
                      f"± {rto['error_s']:.0f} s", "300 s")
        table.add_row(f"of which the orchestrator's steps, {t['kind']}",
                      f"{sum(s['seconds'] for s in t['steps'] if s['name'] != 'fence-old-writer'):.1f} s",
                      "60 s")
    whole = seconds(report["started"], report["ended"])
    table.add_row("the whole drill", f"{whole / 60:.1f} min", "30 min")
    table.add_row("harness's share of all CPU", f"{100 * cost['harness_share']:.1f} %", "5 %")
    table.add_row("probe lateness p99", f"{probes['lateness_p99_ms']:.0f} ms", "250 ms")
    if held := cost["load_held"]:
        table.add_row("cores busy while the load was held",
                      f"{held['cores']:.2f}, {held['tasks_ended']} tasks ended", "")
    Console().print(table)


def seconds(since: str, until: str) -> float:
    """Between two time stamps of a report."""
    first, last = (datetime.fromisoformat(stamp.replace("Z", "+00:00")) for stamp in (since, until))
    return (last - first).total_seconds()


def seconds_of_phases(run: Path) -> dict[str, Any]:
    """From the journal: how long the fleet took to come up, and the load to be reached after that."""
    events = {e.kind: e for e in reversed(journal.read(run, without={"probe", "sample"}))}
    up = events["fleet.up"]
    return {"fleet up": up["seconds"], "load reached": events["load.reached"].wall - up.wall}


if __name__ == "__main__":
    main()
