"""What an embedded environment costs: CPU seconds and memory of its processes, by part.

Read from ``/proc``: CPU time of every process whose working directory lies in the environment, and
its *proportional set size* (PSS: memory that forked processes share is counted once). The CPU of a
process that came and went between two readings is found in what its parent has reaped. What is lost
is the time between a process's last reading and the end of its parent (the fraction of a reading
interval before a region is killed).

Parts belong to one of four **groups**: ``airflow``, ``postgresql``, ``servers`` (AWS endpoints,
Kubernetes APIs, nodes, ingresses, DNS and the orchestrator with its reconcilers: the system and what
it stands on) and ``harness`` (the observer: links, witness, ledger writers, Locust, and the drill's
own process with its probes).
"""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.environments.embedded.processes import processes_in

TICKS = os.sysconf("SC_CLK_TCK")
HARNESS_SITES = {"links", "witness", "users", "ledger"}
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
    """Reads the use of all processes of one environment, and of this process as the observer."""

    def __init__(self, root: Path) -> None:
        """``root``: the environment's directory."""
        self._root = root.resolve()
        self._seen: dict[tuple[int, int], Seen] = {}
        self._base = _own_cpu()

    def read(self, *, memory: bool) -> list[Use]:
        """One reading, largest CPU first; ``memory`` also adds up PSS, which takes longer."""
        pids = processes_in(self._root)
        living: set[tuple[int, int]] = set()
        pss: dict[Part, float] = defaultdict(float)
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
                    pss[part] += _pss(pid)
        for key, seen in self._seen.items():
            seen.alive = key in living
        observer = ("harness", "drill")
        if memory:
            pss[observer] += _pss(os.getpid())
        cpu, count = self._totals()
        cpu[observer] += _own_cpu() - self._base
        count[observer] += 1
        return sorted(
            (Use(part[0], part[1], count.get(part, 0), round(seconds, 2),
                 round(pss[part], 1) if memory else None) for part, seconds in cpu.items()),
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

    def _part(self, pid: int) -> Part:
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


def as_json(uses: list[Use]) -> list[Mapping[str, object]]:
    """A reading as the journal holds it: short keys, because there are many."""
    return [{"g": u.group, "p": u.part, "n": u.processes, "cpu": u.cpu_s,
             **({"pss": u.pss_mib} if u.pss_mib is not None else {})} for u in uses]


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


def _own_cpu() -> float:
    times = os.times()
    return times.user + times.system


def _pss(pid: int) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0
