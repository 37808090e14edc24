"""What ``plan``, ``list`` and ``doctor`` print: what a drill would do, and whether it can."""

from __future__ import annotations

import os
import platform
import pwd
import shutil
from collections.abc import Mapping
from pathlib import Path

from harness.common.durations import show_duration
from harness.drill.claims import CLAIMS
from harness.drill.loader import InvalidDrill, LoadedDrill, load
from harness.drill.schema import Drill, FleetSpec, ProbeSpec
from harness.engine import sizing
from harness.environments.embedded.addresses import AWS, bindable

DISK_MIB = 3000


def describe(loaded: LoadedDrill, machine: sizing.Machine | None = None) -> str:
    """The plan of a drill: phases, fleet, targets and what the machine (this one) must have."""
    drill = loaded.drill
    lines = [f"{drill.metadata.name}: {drill.metadata.title}".rstrip(": "),
             f"  environment   {drill.environment.provider}: {drill.environment.primary} (primary), "
             f"{drill.environment.secondary} (secondary)",
             f"  fleet         {drill.fleet.deployments} Deployments, "
             f"{drill.fleet.concurrent_tasks} tasks of about "
             f"{show_duration(drill.fleet.task.duration)} at once",
             *_variables(drill.fleet.variables.shown),
             "  phases"]
    for index, phase in enumerate(drill.phases, 1):
        given = phase.spec.model_dump(by_alias=True, exclude_none=True, exclude_unset=True)
        lines.append(f"    {index}. {phase.kind} {given or ''}".rstrip())
    lines.append("  targets")
    for name, value in drill.targets.model_dump(by_alias=True, exclude_none=True).items():
        lines.append(f"    {name}: {value}")
    return "\n".join([*lines, *_fits(drill, machine or sizing.Machine.here())])


def _variables(shown: Mapping[str, str]) -> list[str]:
    """The Deployments' variables; what is not marked public is masked."""
    return [f"  {'' if place else 'variables':13} {name}={value}" for place, (name, value) in enumerate(shown.items())]


def _fits(drill: Drill, machine: sizing.Machine) -> list[str]:
    fleet = drill.fleet
    wanted = sizing.need(fleet, drill.probes)
    lines = [f"  memory        about {wanted.memory_mib} MiB, {machine.memory_mib} MiB available",
             f"  CPU           about {wanted.cores:.1f} cores busy under load, of {machine.cores}"]
    lines += [f"  too small     {reason}" for reason in sizing.shortfalls(fleet, drill.probes, machine)]
    most = sizing.largest(fleet, drill.probes, machine)
    lines.append(f"  largest fleet this machine could hold, with as many tasks each: {most} "
                 f"Deployments, {most * fleet.concurrent_tasks // fleet.deployments} tasks")
    return lines


def library_table(library: Path) -> str:
    """The drills of the library, a line each."""
    rows = []
    for path in sorted(library.glob("*.yaml")):
        try:
            meta = load(path).drill.metadata
            rows.append(f"{path.name:28} {meta.title}")
        except InvalidDrill as error:
            rows.append(f"{path.name:28} INVALID: {error.problems[0]}")
    return "\n".join(rows) or f"no drills in {library}"


def claims_table(library: Path) -> str:
    """Every claim with the drills that prove it; a claim without one is a hole."""
    drills, rows = [], []
    for path in sorted(library.glob("*.yaml")):
        try:
            drills.append((path.stem, load(path).drill.metadata.proves))
        except InvalidDrill as error:
            rows.append(f"{path.name} is INVALID and counts for nothing: {error.problems[0]}")
    for claim, text in CLAIMS.items():
        by = ", ".join(name for name, proves in drills if claim in proves)
        rows += [f"{claim}  {text}", f"       {by or 'no drill proves it yet'}"]
    return "\n".join(rows)


def _as_root() -> tuple[bool, str, str]:
    """Who the processes of an environment that root makes run as."""
    from harness.environments.embedded.layout import environments_root
    from harness.environments.embedded.processes import inherited
    from harness.environments.embedded.user import NoFreeUser, decide

    try:
        why_not = decide(1, environments_root(), inherited()).why_not
    except NoFreeUser as error:
        place, _, remedy = str(error).partition(": ")
        return False, place, remedy
    return True, ("started by root: " + (f"all but PostgreSQL runs as root too, because {why_not}" if why_not else
                                         "all but the harness itself runs as a user that is nobody else's")), ""


def doctor(drill: Drill | None = None) -> tuple[bool, str]:
    """Whether drills can run here, and a line for each thing that was looked at.

    ``drill``: the one whose fleet must fit; otherwise a fleet of 8 with 125 tasks.
    """
    from harness.environments.base import EnvironmentFailed
    from harness.environments.embedded.layout import make_root
    from harness.environments.embedded.postgres_programs import PostgresError, binaries

    checks: list[tuple[bool, str, str]] = []
    checks.append((platform.system() == "Linux", f"system {platform.system()}",
                   "the embedded pair needs Linux (it uses the whole 127.0.0.0/8 network)"))
    checks.append((bindable("127.200.0.1", AWS.port), "loopback addresses can be bound",
                   "the network namespace does not have 127.0.0.0/8 on lo: 'ip link set lo up'"))
    try:
        root = make_root()
    except EnvironmentFailed as error:
        place, _, remedy = str(error).rpartition(": ")
        checks.append((False, place, remedy))
    except OSError as error:
        checks.append((False, f"no place for environments: {error}", "set DR_DRILL_HOME to a writable directory"))
    else:
        checks.append((os.access(root, os.W_OK), f"{root} is ours alone and can be written",
                       "set DR_DRILL_HOME to a writable directory"))
        free = shutil.disk_usage(root).free // 2**20
        checks.append((free > DISK_MIB, f"{free} MiB of disk free",
                       f"a drill writes up to {DISK_MIB} MiB; set DR_DRILL_HOME to a larger disk"))
    fleet = drill.fleet if drill else FleetSpec()
    probes, machine = drill.probes if drill else ProbeSpec(), sizing.Machine.here()
    short = sizing.shortfalls(fleet, probes, machine)
    checks.append((
        not short, f"{machine.memory_mib} MiB of memory available and {machine.cores} cores for "
        f"{fleet.deployments} Deployments with {fleet.concurrent_tasks} tasks",
        "; ".join(short) + "; the largest fleet that would fit has "
        f"{sizing.largest(fleet, probes, machine)} Deployments"))
    try:
        postgres = binaries() / "postgres"
        checks.append((postgres.exists(), f"PostgreSQL at {postgres}", "run 'uv sync' again"))
    except PostgresError as error:
        checks.append((False, str(error), "run 'uv sync' again"))
    try:
        pwd.getpwuid(os.geteuid())
    except KeyError:
        checks.append((False, f"user id {os.geteuid()} has no name, and PostgreSQL runs as none without",
                       "give it one in /etc/passwd, or run drills as another user"))
    if os.geteuid() == 0:
        checks.append(_as_root())
    lines = [("ok    " if ok else "FAIL  ") + what + ("" if ok else f"\n      {fix}")
             for ok, what, fix in checks]
    return all(ok for ok, _, _ in checks), "\n".join(lines)
