"""What a drill cost: CPU and memory by part, the harness's own share, and CPU per task instance.

CPU is what the kernel counted for each process. Memory is the *proportional set size*, in which pages
that forked processes share are counted once; its peak is the largest of the readings (one in two to
three minutes), so a short spike can be missed. **Harness share** is the CPU of the observer (probes,
sampler, links, witness, ledger writers, Locust) as a share of all. **CPU per task instance, all
in,** is all CPU of Airflow, PostgreSQL, the AWS endpoints and the witness while the load was held, by
the task instances that ended in that time; what the fleet takes when it is idle is in it.

It does **not** say what Airflow would cost elsewhere: no task does any work here, and many settings
(printed in the report) trade speed for density.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness.measures.history import History
from harness.measures.result import Resources
from harness.record.events import LoadReached, PhaseEnded


@dataclass(frozen=True)
class Span:
    """CPU over a span of time between two readings."""

    seconds: float
    cores: float
    """CPU seconds a second, all parts."""
    tasks: int
    """Task instances whose success was acknowledged in it."""
    task_cpu_s: float
    """CPU seconds of the parts that a task instance passes through."""


TASK_PATH = ("\"group\" in ('airflow', 'postgresql') or part in ('aws', 'witness')")


def resources(history: History) -> Resources:
    """The cost of a run; empty where nobody read it."""
    tables = history.tables
    cpu: dict[str, dict[str, float]] = {}
    for row in tables.rows("""
            select "group", part, max(cpu_s) as cpu from usage group by all order by cpu desc"""):
        cpu.setdefault(row["group"], {})[row["part"]] = round(row["cpu"], 1)
    everything = sum(sum(parts.values()) for parts in cpu.values())
    peak = tables.rows("""
        with readings as (select t, sum(pss_mib) as mib from usage where pss_mib is not null group by t)
        select "group", sum(pss_mib) as mib from usage
        where t = (select t from readings order by mib desc limit 1) and pss_mib is not null
        group by 1 order by 1""")
    by_group = {row["group"]: round(row["mib"], 1) for row in peak}
    held = _held(history)
    return Resources(
        cpu_s=cpu, memory_peak_mib=round(sum(by_group.values()), 1) if by_group else None,
        memory_by_group_mib=by_group,
        harness_share=round(sum(cpu.get("harness", {}).values()) / everything, 4) if everything else None,
        held_seconds=held.seconds if held else None, held_cores=held.cores if held else None,
        held_tasks=held.tasks if held else None,
        cpu_s_per_task=round(held.task_cpu_s / held.tasks, 4) if held and held.tasks else None)


def _held(history: History) -> Span | None:
    tables = history.tables
    reached = history.evidence.first(LoadReached)
    ended = next((e for e in history.evidence.of(PhaseEnded) if e.phase == "load"), None)
    if reached is None or ended is None:
        return None
    readings = [row["t"] for row in tables.rows(
        "select distinct t from usage where t between $since and $until order by t",
        since=reached.wall, until=ended.wall)]
    if len(readings) < 2:
        return None
    span: dict[str, Any] = {"since": readings[0], "until": readings[-1]}
    total, path = tables.one(f"""
        select coalesce(sum(used), 0), coalesce(sum(used) filter ({TASK_PATH}), 0) from (
            select "group", part, max(cpu_s) - min(cpu_s) as used from usage
            where t between $since and $until group by all)""", **span)
    tasks = tables.value("""
        select count(*) from witness
        where e = 'ack' and s = 'airflow' and k = 'state' and t between $since and $until""", **span)
    seconds = span["until"] - span["since"]
    return Span(round(seconds, 1), round(total / seconds, 3), tasks, round(path, 2))
