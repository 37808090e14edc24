"""``drill doctor``: whether this machine can run drills."""

from __future__ import annotations

import os
import platform
import pwd
import shutil
import sys
from pathlib import Path

import click

from harness.cli.exit_codes import BROKEN
from harness.cli.loading import load_or_exit
from harness.cli.printing import echo
from harness.drill.schema import Drill, FleetSpec, ProbeSpec
from harness.engine import sizing
from harness.environments.embedded.addresses import AWS, bindable

DISK_MIB = 3000


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


@click.command("doctor")
@click.argument("file", type=click.Path(path_type=Path), required=False)
def command(file: Path | None) -> None:
    """Look whether this machine can run drills (or the one in FILE); say what to do if it cannot."""
    loaded = load_or_exit(file) if file else None
    ok, text = doctor(loaded.drill if loaded else None)
    echo(text)
    sys.exit(0 if ok else BROKEN)
