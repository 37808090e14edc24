"""What an embedded environment costs: CPU seconds and memory of its processes, by part.

``python -m harness.environments.embedded.usage CONFIG`` writes a line for each part every few seconds;
a process of its own, because adding up the memory of a fleet takes seconds, and they must not come out
of what the probes are given.

Read from ``/proc``: CPU time of every process of the environment that works in its directory, and
its *proportional set size* (PSS: memory that forked processes share is counted once). The CPU of a
process that came and went between two readings is found in what its parent has reaped. What is lost
is the time between a process's last reading and the end of its parent (the fraction of a reading
interval before a region is killed).

Parts belong to one of four **groups**: ``airflow``, ``postgresql``, ``servers`` (AWS endpoints,
Kubernetes APIs, nodes, ingresses, DNS and the orchestrator with its reconcilers: the system and what
it stands on) and ``harness`` (the observer: links, witness, ledger writers, Locust, and the drill's
own process and its probes).
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.environments.embedded.ownership import Ownership

CPU_EVERY_S = 10.0
"""The shortest interval between readings."""
MEMORY_EVERY_S = 600.0
"""PSS is read rarely: the kernel walks the page tables of every process for it. In between it is read when the
machine has less memory left than at any reading before (by so much, no sooner than that), for peaks."""
NEW_PEAK_BYTES, PEAK_EVERY_S = 256 * 1024 * 1024, 60.0
SHARE = 0.001
"""Of a core, that reading CPU time may take: a large fleet is read less often."""
SMAPS_MOST = 64 * 1024
TICKS = os.sysconf("SC_CLK_TCK")
HARNESS_SITES = {"links", "witness", "users", "prober"}
Part = tuple[str, str]
"""Group and name."""


@dataclass
class Seen:
    """The last reading of one process."""

    part: Part
    parent: int
    own: float
    """CPU seconds, user and system."""
    reaped: float
    """CPU seconds of children that have ended and were waited for, with theirs."""
    alive: bool = True


@dataclass(frozen=True)
class Use:
    """What one part has used so far, and what it holds now."""

    group: str
    part: str
    processes: int
    cpu_s: float
    pss_mib: float | None


class Meter:
    """Reads the use of all processes of one environment, and of the drill's own process."""

    def __init__(self, root: Path, observer: int | None = None, observers_memory: int | None = None) -> None:
        """``root``: the environment's directory; ``observer``: the process id of the drill itself.

        ``observers_memory``: its ``smaps_rollup``, open; it may be another user's, and then only it can open that.
        """
        self._root, self._observer, self._observers_memory = root.resolve(), observer, observers_memory
        self._owned = Ownership.of(root)
        self._seen: dict[tuple[int, int], Seen] = {}

    def read(self, *, memory: bool) -> list[Use]:
        """One reading, largest CPU first; ``memory`` also adds up PSS, which takes longer."""
        pids = self._owned.processes(self._root) | {os.getpid()}
        if self._observer is not None:
            pids.add(self._observer)
        living: set[tuple[int, int]] = set()
        held: dict[Part, float] = defaultdict(float)
        for pid in pids:
            with contextlib.suppress(OSError, ValueError):
                start, parent, own, reaped = _stat(pid)
                key = (pid, start)
                before = self._seen.get(key)
                # A pod changes its directory once, right after the fork, so look again while young.
                part = before.part if before and before.own > 1.0 else self._part(pid)
                self._seen[key] = Seen(part, parent, own, reaped)
                living.add(key)
                if memory:
                    held[part] += self._pss(pid)
        for key, seen in self._seen.items():
            seen.alive = key in living
        cpu, count = self._totals()
        return sorted(
            (Use(part[0], part[1], count.get(part, 0), round(seconds, 2),
                 round(held[part], 1) if memory else None) for part, seconds in cpu.items()),
            key=lambda use: -use.cpu_s)

    def _totals(self) -> tuple[dict[Part, float], dict[Part, int]]:
        ended: dict[int, float] = defaultdict(float)
        for seen in self._seen.values():
            if not seen.alive:
                ended[seen.parent] += seen.own + seen.reaped
        cpu: dict[Part, float] = defaultdict(float)
        count: dict[Part, int] = defaultdict(int)
        for (pid, _), seen in self._seen.items():
            unseen = max(0.0, seen.reaped - ended[pid])
            cpu[seen.part] += seen.own + unseen
            count[seen.part] += seen.alive
        return cpu, count

    def _pss(self, pid: int) -> float:
        if pid == self._observer and self._observers_memory is not None:
            return pss(os.pread(self._observers_memory, SMAPS_MOST, 0).decode())
        return pss(Path(f"/proc/{pid}/smaps_rollup").read_text())

    def _part(self, pid: int) -> Part:
        if pid == self._observer:
            return "harness", "drill"
        if pid == os.getpid():
            return "harness", "meter"
        place = Path(os.readlink(f"/proc/{pid}/cwd").removesuffix(" (deleted)"))
        parts = place.relative_to(self._root).parts
        site = parts[1] if len(parts) > 1 else "other"
        if "pods" in parts and parts[-1] != "pods":
            name = parts[-1].split("_")[-1].rsplit("-", 2)[0]
            if name in ("scheduler", "api-server"):
                return "airflow", name
            if name == "ledger":
                return "harness", "ledger writers"
            return "servers", "jobs" if name.startswith("provision") else name
        if "postgres" in parts:
            return "postgresql", site
        if site in HARNESS_SITES:
            return "harness", site
        if site == "image" or parts[2:3] == ("node",):
            return "airflow", "warm process"
        return "servers", _server(pid, site)


class MemoryClock:
    """When PSS is due: now and then, and at each new peak of what the whole machine uses."""

    def __init__(self) -> None:
        self._last, self._least_left = -MEMORY_EVERY_S, float("inf")

    def due(self, now: float, left: float) -> bool:
        """``now``: monotonic seconds; ``left``: bytes that the machine has left. Counts as a reading if so."""
        peak = left < self._least_left - NEW_PEAK_BYTES and now - self._last >= PEAK_EVERY_S
        if not peak and now - self._last < MEMORY_EVERY_S:
            return False
        self._last, self._least_left = now, min(left, self._least_left)
        return True


def watch(config: dict[str, Any]) -> None:
    """Append readings to a file until killed, or until the harness is gone."""
    meter, clock = Meter(Path(config["root"]), config["observer"], config["observers_memory"]), MemoryClock()
    with Path(config["log"]).open("a") as sink:
        while True:
            now, began = time.time(), time.thread_time()
            memory = clock.due(time.monotonic(), _memory_left())
            for use in meter.read(memory=memory):
                sink.write(json.dumps({"t": now, **asdict(use)}, separators=(",", ":")) + "\n")
            sink.flush()
            took = time.thread_time() - began
            time.sleep(CPU_EVERY_S if memory else max(CPU_EVERY_S, took / SHARE))


def main() -> None:
    """Watch the environment of the configuration file given as the only argument."""
    watch(json.loads(Path(sys.argv[1]).read_text()))


def _server(pid: int, site: str) -> str:
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    module = next((w for w in words if w.startswith(("harness.", "orchestrator."))), "")
    names = {"kube.server": "kubernetes", "aws.server": "aws", "node.agent": "node agent",
             "ingress": "ingress", "dns": "dns", "orchestrator.server": "orchestrator"}
    return next((name for end, name in names.items() if module.endswith(end)), site)


def _stat(pid: int) -> tuple[int, int, float, float]:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    own = (int(fields[11]) + int(fields[12])) / TICKS
    reaped = (int(fields[13]) + int(fields[14])) / TICKS
    return int(fields[19]), int(fields[1]), own, reaped


def _memory_left() -> float:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024.0
    return 0.0


def pss(rollup: str) -> float:
    """MiB of memory that are a process's share, by its ``smaps_rollup``."""
    for line in rollup.splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0


if __name__ == "__main__":
    main()
