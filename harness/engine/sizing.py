"""What a fleet needs of a machine: memory and CPU, estimated from the drill file before it starts.

The constants were measured (``tests/bench/fleet_cost.py``, docs/benchmarks.md) with 8 to 80
Deployments on two cores and are rounded up. Too few cores are a warning: such a drill may still run, late and
INCONCLUSIVE. A fleet that does not fit into the memory is refused, unless somebody insists: whom the kernel then kills
is not only ours.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from harness.drill.schema import FleetSpec, ProbeSpec

BASE_MIB, DEPLOYMENT_MIB = 1300, 145
"""The pair without a fleet; a Deployment under load, with its share of PostgreSQL."""
BASE_CORES = 0.15
IDLE_CORES = 0.002
"""A Deployment of which nobody wants anything."""
LOOP_CPU_S, CANARY_CPU_S, TASK_CPU_S, HEARTBEAT_CPU_S, PROBE_CPU_S = 0.03, 0.15, 0.10, 0.01, 0.02
"""CPU seconds of a scheduler's idle loop, a canary run, a task instance, its heartbeat, a probe."""
USABLE = 0.85
"""Share of the cores that a fleet may take: schedulers that are late have more to do, not less."""
IDLE_SLEEP, HEARTBEAT = ("AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME",
                         "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL")
DEFAULTS = {IDLE_SLEEP: 2.0, HEARTBEAT: 10.0}


@dataclass(frozen=True)
class Need:
    """What a fleet needs while its load is held."""

    memory_mib: int
    cores: float


@dataclass(frozen=True)
class Machine:
    """What there is."""

    memory_mib: int
    cores: int

    @classmethod
    def here(cls) -> Machine:
        """What this machine has left now."""
        return cls(_available_mib(), len(os.sched_getaffinity(0)))


def need(fleet: FleetSpec, probes: ProbeSpec) -> Need:
    """What the fleet of a drill needs while its load is held."""
    loops = 1 / _setting(fleet, IDLE_SLEEP)
    of_each = (IDLE_CORES + LOOP_CPU_S * loops + CANARY_CPU_S / fleet.canary
               + PROBE_CPU_S / probes.interval)
    of_tasks = fleet.concurrent_tasks * (
        TASK_CPU_S / max(fleet.task.duration, 1.0) + HEARTBEAT_CPU_S / _setting(fleet, HEARTBEAT))
    return Need(BASE_MIB + DEPLOYMENT_MIB * fleet.deployments,
                BASE_CORES + of_each * fleet.deployments + of_tasks)


def largest(fleet: FleetSpec, probes: ProbeSpec, machine: Machine) -> int:
    """The most Deployments, with as many tasks each as this fleet has, that the machine could hold."""
    wanted = need(fleet, probes)
    by_memory = (machine.memory_mib - BASE_MIB) // DEPLOYMENT_MIB
    each = (wanted.cores - BASE_CORES) / fleet.deployments
    by_cpu = int((USABLE * machine.cores - BASE_CORES) / each)
    return max(0, min(by_memory, by_cpu))


def short_of_memory(fleet: FleetSpec, probes: ProbeSpec, machine: Machine) -> str | None:
    """What the machine lacks of memory for the fleet, as a sentence; None: it has enough, or nobody knows."""
    wanted = need(fleet, probes).memory_mib
    if not 0 < machine.memory_mib < wanted:
        return None
    return f"memory: about {wanted} MiB are needed, {machine.memory_mib} MiB are available"


def shortfalls(fleet: FleetSpec, probes: ProbeSpec, machine: Machine) -> list[str]:
    """What the machine lacks for the fleet, as sentences; none when it is large enough."""
    wanted = need(fleet, probes)
    memory = short_of_memory(fleet, probes, machine)
    found = [memory] if memory is not None else []
    if wanted.cores > USABLE * machine.cores:
        found.append(f"CPU: about {wanted.cores:.1f} cores would be busy, of {machine.cores}; "
                     "longer tasks or rarer loops, canaries and probes need less")
    return found


def _setting(fleet: FleetSpec, name: str) -> float:
    try:
        return max(0.1, float(fleet.environment.get(name, DEFAULTS[name])))
    except ValueError:
        return DEFAULTS[name]


def _available_mib() -> int:
    of_machine = next((int(line.split()[1]) // 1024 for line in Path("/proc/meminfo").read_text().splitlines()
                       if line.startswith("MemAvailable:")), 0)
    return min([of_machine, *left_by_groups()])


GROUPS = (("memory.max", "memory.current", "inactive_file"),
          ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"))
"""Limit, use, and what of the use can be given back, of a control group of either version."""


def left_by_groups(told: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> list[int]:
    """What the control groups that this process is in (a container's, say) leave of memory, MiB."""
    found = []
    for line in told.read_text().splitlines() if told.exists() else []:
        _, controllers, path = line.split(":", 2)
        home = root / "memory" if controllers == "memory" else root
        # Seen from within a container, its own group may be the root, whatever its path is called.
        inner = home / path.lstrip("/")
        for group in {home, inner, *(p for p in inner.parents if p.is_relative_to(home))}:
            found += [max(0, left) for names in GROUPS if (left := _left_by(group, *names)) is not None]
    return found


def _left_by(group: Path, limit: str, used: str, spare: str) -> int | None:
    try:
        allowed, taken = int((group / limit).read_text()), int((group / used).read_text())
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # no such group, or one without a limit ("max")
        return None
    return (allowed - taken + int(stat.get(spare, 0))) // 2**20
