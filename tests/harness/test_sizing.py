"""Whether a fleet fits a machine."""

import pytest

from harness import sizing
from harness.schema import FleetSpec, ProbeSpec
from harness.sizing import Machine

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
