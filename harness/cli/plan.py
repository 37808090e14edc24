"""``drill plan``: what a drill would do and need."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

from harness.cli.loading import load_or_exit
from harness.cli.printing import echo
from harness.common.durations import show_duration
from harness.drill.loader import LoadedDrill
from harness.drill.schema import Drill
from harness.engine import sizing


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


@click.command("plan")
@click.argument("file", type=click.Path(path_type=Path))
def command(file: Path) -> None:
    """Show what the drill in FILE would do and need; starts nothing."""
    loaded = load_or_exit(file)
    echo(describe(loaded))
