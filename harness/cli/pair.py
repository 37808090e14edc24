"""The pair that a command brings up: what it is made of, its name, whether it fits, how it is looked into."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from pathlib import Path

from harness.cli.terminal import Terminal, say
from harness.drill.loader import LoadedDrill
from harness.engine import sizing
from harness.environments.embedded.environment import EmbeddedPair
from harness.environments.embedded.layout import PairSettings


def make_pair(loaded: LoadedDrill, identifier: str, output: Path | None) -> EmbeddedPair:
    """The pair that a drill asks for, not brought up yet; ``output``: the directory of its run, where it has one."""
    spec, fleet = loaded.drill.environment, loaded.drill.fleet
    return EmbeddedPair(identifier, PairSettings(
        primary=spec.primary, secondary=spec.secondary, head_delay=spec.simulated_head_delay,
        task_seconds=fleet.task.duration, task_retries=fleet.task.retries,
        canary_seconds=fleet.canary, rpo_bound=spec.rpo_bound, drain=spec.drain), output)


def new_identifier(name: str) -> str:
    """A name for a new environment and its run, which no other has."""
    stamp = datetime.now(UTC).strftime("%m%dT%H%M%S")
    return f"{name}-{stamp}-{secrets.token_hex(2)}".lower()


def refused(console: Terminal, loaded: LoadedDrill) -> bool:
    """Whether a fleet is too large for the memory that is left: then it, and its neighbours, would be killed."""
    fleet, machine = loaded.drill.fleet, sizing.Machine.here()
    if (short := sizing.short_of_memory(fleet, loaded.drill.probes, machine)) is None:
        return False
    most = sizing.largest(fleet, loaded.drill.probes, machine)
    say(console, f"nothing was started: {short}; {most} Deployments would fit, and --force runs it all the same", "red")
    return True


def show_access(console: Terminal, environment: EmbeddedPair) -> None:
    """Say how a pair that is left running can be looked into, and how it is removed."""
    for role, region in environment.regions.items():
        say(console, f"  {role} ({region.name}):")
        say(console, f"    kubectl --kubeconfig {region.kubeconfig} get pods -A")
        say(console, f"    PGSERVICEFILE={environment.service_file} psql service={role}")
    say(console, f"remove it with: drill down {environment.identifier}")
