"""The full-size drill, reduced to a fifth: the same file with a smaller fleet and shorter tasks."""

import json
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from tests.e2e.conftest import Home

pytestmark = [pytest.mark.e2e, pytest.mark.alone]
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


@pytest.mark.timeout(1500)
def test_the_full_size_drill_reduced_to_a_fifth_passes_with_its_load_spread_over_workers_here_and_elsewhere(
    home: Home,
) -> None:
    drill = yaml.safe_load(DRILL.read_text())
    drill["fleet"] |= {"deployments": DEPLOYMENTS, "concurrent_tasks": TASKS, "canary": "20s",
                       "task": {"duration": "45s", "retries": 2}}
    # Its numbers are claimed for the full size, and this is not it.
    drill["metadata"]["proves"].remove("XR-19")
    drill["fleet"]["environment"] |= FASTER
    drill["probes"] = {"interval": "5s"}
    file = home.file(yaml.safe_dump(drill, sort_keys=False))

    drilling = home.drill("run", file, "--output", "out", "--workers", "1+1")
    worker = joined_from_elsewhere(home)
    code = drilling.wait(1300)
    assert worker.wait(30) == 0, home.output
    made = json.loads((home.path / "out" / "report.json").read_text())

    assert made["run"]["deployments"] == len(made["deployments"]) == DEPLOYMENTS
    assert made["run"]["concurrent_tasks_at_fault"] >= TASKS, home.output
    assert all(r["restored"] for d in made["deployments"] for r in d["recoveries"]), home.output
    out, back = made["transitions"]
    for transition in (out, back):
        assert {count["high"] for count in transition["split_brain"].values()} == {0}, home.output
        assert transition["tasks"]["lost"] + transition["tasks"]["stuck"] == 0, home.output
    assert out["tasks"]["in_flight"] >= 0.9 * TASKS
    assert back["rpo"]["metadata"]["lost"] == 0
    assert made["reasons"] == [], home.output
    assert (made["verdict"], code) == ("PASS", 0), home.output
    assert made["resources"]["harness_share"] > 0
    assert home.environments == []
    assert home.processes() == set()
