"""The drills of the library, with a small fleet: each passes, and proves what it names."""

import json
from pathlib import Path

import pytest
import yaml

from tests.e2e.conftest import Home

pytestmark = pytest.mark.e2e
LIBRARY = Path(__file__).parents[2] / "drills"
SMALL = {"deployments": 2, "concurrent_tasks": 8, "canary": "5s", "task": {"duration": "10s", "retries": 2}}


def small(name: str, heal: str = "5m") -> str:
    """A drill of the library with a fleet of two; ``heal``: how long a region may take to follow."""
    drill = yaml.safe_load((LIBRARY / f"{name}.yaml").read_text())
    for phase in drill["phases"]:
        if "heal" in phase:
            phase["heal"]["timeout"] = heal
    drill["fleet"] |= SMALL
    drill["probes"] = {"interval": "1s"}
    return str(yaml.safe_dump(drill, sort_keys=False))


@pytest.mark.parametrize("name", [
    "switchover", "partition", "orchestrator-crash", "standby-unhealthy", "manual-drift"])
def test_a_drill_of_the_library_passes_and_proves_its_claims(home: Home, name: str) -> None:
    code = home.finish("run", home.file(small(name)), "--output", "out")
    made = json.loads((home.path / "out" / "report.json").read_text())
    # A machine that is busy with something else makes probes late, and then a drill must not pass.
    late = [reason for reason in made["reasons"] if "late" in reason]
    assert made["reasons"] == late, home.output
    assert (made["verdict"], code) == (("INCONCLUSIVE", 3) if late else ("PASS", 0)), home.output
    assert {c["id"]: c["verdict"] for c in made["claims"]} == {
        c["id"]: "PASS" for c in made["claims"]}, home.output
    assert home.environments == []
    assert home.processes() == set()


@pytest.mark.parametrize(("sabotage", "name", "claims"), [
    ("two-records,no-quiesce,no-list", "switchover", {"XR-01", "XR-08", "XR-21"}),
    ("calls-home,iam-write", "unseen-primary", {"XR-09", "XR-10"}),
    ("always-healthy", "isolation", {"XR-17"}),
])
def test_a_broken_orchestrator_makes_the_drill_of_its_claim_fail(
    home: Home, monkeypatch: pytest.MonkeyPatch, sabotage: str, name: str, claims: set[str]
) -> None:
    monkeypatch.setenv("DR_DRILL_ORCHESTRATOR", "tests.broken.server")
    monkeypatch.setenv("DR_DRILL_SABOTAGE", sabotage)
    monkeypatch.setenv("PYTHONPATH", str(LIBRARY.parent))
    # One that leaves Airflow running on both sides never has a follower.
    code = home.finish("run", home.file(small(name, heal="20s")), "--output", "out")
    made = json.loads((home.path / "out" / "report.json").read_text())
    failed = {c["id"] for c in made["claims"] if c["verdict"] == "FAIL"}
    assert claims <= failed, home.output
    assert made["verdict"] == "FAIL"
    assert code == 1
