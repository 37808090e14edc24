"""Memory (PSS) and CPU seconds of every environment on this machine, by part.

    ./dev drill up drills/region-outage.yaml && ./dev python tests/bench/footprint.py

or in a second terminal while a drill runs. PSS counts memory that forked processes share once.
"""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from harness.environments.embedded.layout import environments_root
from harness.environments.embedded.processes import processes_in

TICKS = os.sysconf("SC_CLK_TCK")


def pss(pid: int) -> float:
    """Proportional set size of a process in MiB."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0


def cpu(pid: int) -> float:
    """CPU seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def part(pid: int, root: Path) -> str:
    """Which part of an environment a process belongs to."""
    place = Path(os.readlink(f"/proc/{pid}/cwd")).relative_to(root.resolve())
    parts = place.parts[2:]  # <environment>/sites/...
    if "pods" in parts:
        return "pod: " + parts[-1].split("_")[-1].rsplit("-", 2)[0]
    return "postgres" if "postgres" in parts else " ".join(parts[:2])


def main() -> None:
    """Print the table."""
    root = environments_root() / "envs"
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for pid in processes_in(root):
        try:
            found[part(pid, root)].append((pss(pid), cpu(pid)))
        except OSError:
            continue  # it ended meanwhile
    table = Table("part", "processes", "PSS MiB", "CPU s", box=None)
    for name, values in sorted(found.items(), key=lambda item: -sum(v[0] for v in item[1])):
        table.add_row(name, str(len(values)), f"{sum(v[0] for v in values):.0f}",
                      f"{sum(v[1] for v in values):.1f}")
    everything = [value for values in found.values() for value in values]
    table.add_row("all", str(len(everything)), f"{sum(v[0] for v in everything):.0f}",
                  f"{sum(v[1] for v in everything):.1f}")
    Console().print(table if everything else "no environment is running (drill up)")


if __name__ == "__main__":
    main()
