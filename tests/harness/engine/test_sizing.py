"""Whether a fleet fits a machine."""

from pathlib import Path

import pytest

from harness.drill.schema import FleetSpec, ProbeSpec
from harness.engine import sizing
from harness.engine.sizing import Machine

PROBES = ProbeSpec()


def fleet(deployments: int, tasks: int, **more: object) -> FleetSpec:
    return FleetSpec.model_validate({
        "deployments": deployments, "concurrent_tasks": tasks, **more})


def test_a_fleet_that_fits_lacks_nothing() -> None:
    assert sizing.shortfalls(fleet(8, 125), PROBES, Machine(8000, 2)) == []


def test_too_little_memory_and_too_few_cores_are_said_apart() -> None:
    short = sizing.shortfalls(fleet(80, 1250), PROBES, Machine(4000, 1))
    assert [reason.split(":")[0] for reason in short] == ["memory", "CPU"]


@pytest.mark.parametrize("machine", [Machine(4000, 2), Machine(24_000, 1), Machine(12_000, 64)])
def test_the_largest_fleet_fits_and_one_more_deployment_does_not(machine: Machine) -> None:
    asked = fleet(80, 1280)
    most = sizing.largest(asked, PROBES, machine)
    assert most > 0
    assert sizing.shortfalls(fleet(most, most * 16), PROBES, machine) == []
    assert sizing.shortfalls(fleet(most + 1, (most + 1) * 16), PROBES, machine) != []


def test_settings_that_look_less_often_need_less() -> None:
    rare = fleet(80, 1250, canary="60s", environment={sizing.IDLE_SLEEP: "30", sizing.HEARTBEAT: "120"})
    assert sizing.need(rare, PROBES).cores < sizing.need(fleet(80, 1250), PROBES).cores


MIB = 2**20


def group(directory: Path, limit: str, used: int, spare: int, version: int = 2) -> None:
    """A control group's files."""
    directory.mkdir(parents=True, exist_ok=True)
    names = ("memory.max", "memory.current", "inactive_file") if version == 2 else (
        "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    for name, text in zip((*names[:2], "memory.stat"), (limit, str(used), f"anon 7\n{names[2]} {spare}\n"), strict=True):
        (directory / name).write_text(text)


@pytest.mark.parametrize(("version", "line", "below"), [(2, "0::/ci/job", ""), (1, "4:memory:/ci/job", "memory")])
def test_a_container_with_less_memory_than_its_machine_is_what_counts(
    tmp_path: Path, version: int, line: str, below: str
) -> None:
    told, root = tmp_path / "told", tmp_path / "root"
    told.write_text(f"9:cpu:/x\n{line}\n")
    group(root / below / "ci" / "job", "max" if version == 2 else str(2**63), 0, 0, version)
    group(root / below / "ci", str(4000 * MIB), 1500 * MIB, 500 * MIB, version)
    assert min(sizing.left_by_groups(told, root)) == 3000


def test_no_container_limits_nothing(tmp_path: Path) -> None:
    assert sizing.left_by_groups(tmp_path / "none", tmp_path) == []


def test_what_this_machine_has_is_known() -> None:
    assert Machine.here().memory_mib > 100
