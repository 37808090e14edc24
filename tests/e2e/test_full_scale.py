"""The full-size drill, reduced to a fifth: the same file with a smaller fleet and shorter tasks."""

import json
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from tests.e2e.conftest import Home

pytestmark = pytest.mark.e2e
DRILL = Path(__file__).parents[2] / "drills" / "full-scale.yaml"
DEPLOYMENTS, TASKS = 16, 250
FASTER = {
    "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "10",
    "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "30",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "30",
    "DR_DRILL_HANDOVER_SECONDS": "5",
}


def joined_from_elsewhere(home: Home) -> subprocess.Popen[str]:
    """A worker that was not started by the drill, as another host's would not be."""
    deadline = time.monotonic() + 300
    while not (found := list(home.path.glob("dr-drill/envs/*/sites/users/load.json"))):
        assert time.monotonic() < deadline, home.output
        time.sleep(0.5)
    return home.drill("worker", str(found[0]))


def test_the_full_size_drill_reduced_to_a_fifth_passes_with_its_load_spread_over_workers_here_and_elsewhere(
    home: Home,
) -> None:
    drill = yaml.safe_load(DRILL.read_text())
    drill["fleet"] |= {"deployments": DEPLOYMENTS, "concurrent_tasks": TASKS, "canary": "20s",
                       "task": {"duration": "60s", "retries": 2}}
    drill["fleet"]["environment"] |= FASTER
    drill["probes"] = {"interval": "5s"}
    file = home.file(yaml.safe_dump(drill, sort_keys=False))

    drilling = home.drill("run", file, "--output", "out", "--workers", "1+1")
    worker = joined_from_elsewhere(home)
    code = drilling.wait(800)
    assert worker.wait(30) == 0, home.output
    made = json.loads((home.path / "out" / "report.json").read_text())

    assert made["fleet"]["deployments"] == DEPLOYMENTS
    assert made["fleet"]["concurrent_tasks_at_fault"] >= TASKS, home.output
    out, back = made["transitions"]
    for transition in (out, back):
        deployments = transition["rto"]["deployments"]
        assert len(deployments) == DEPLOYMENTS
        assert all(d["restored"] for d in deployments.values()), home.output
        brain = transition["split_brain"]
        assert brain["database_writes"] + brain["side_effects"] + brain["double_runs"] == 0
        assert transition["tasks"]["lost"] + transition["tasks"]["stuck"] == 0, home.output
    assert out["tasks"]["in_flight"] >= 0.9 * TASKS
    assert back["rpo"]["metadata"]["lost"] == 0
    # A machine that is busy with something else makes probes late, and then a drill must not pass.
    late = [reason for reason in made["reasons"] if "late" in reason]
    assert made["reasons"] == late
    assert (made["verdict"], code) == (("INCONCLUSIVE", 3) if late else ("PASS", 0)), home.output
    assert made["resources"]["harness_share"] > 0
    assert home.environments == []
    assert home.processes() == set()
