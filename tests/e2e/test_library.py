"""The drills of the library, with a small fleet: each passes, and proves what it names."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.conftest import Home

pytestmark = pytest.mark.e2e
LIBRARY = Path(__file__).parents[2] / "drills"
SMALL = {"deployments": 2, "concurrent_tasks": 8, "canary": "5s", "task": {"duration": "10s", "retries": 2}}


def small(name: str, heal: str = "5m", settle: str = "10m") -> str:
    """A drill of the library with a fleet of two; how long a region may take to follow, and the fleet to settle."""
    drill = yaml.safe_load((LIBRARY / f"{name}.yaml").read_text())
    for phase in drill["phases"]:
        for kind, timeout in (("heal", heal), ("settle", settle)):
            if kind in phase:
                phase[kind]["timeout"] = timeout
    drill["fleet"] |= SMALL
    drill["probes"] = {"interval": "1s"}
    return str(yaml.safe_dump(drill, sort_keys=False))


@pytest.mark.parametrize("name", [
    "switchover", "partition", "unseen-primary", "orchestrator-crash", "standby-unhealthy", "manual-drift"])
def test_a_drill_of_the_library_passes_and_proves_its_claims(home: Home, name: str) -> None:
    code = home.finish("run", home.file(small(name)), "--output", "out")
    made = json.loads((home.path / "out" / "report.json").read_text())
    assert made["reasons"] == [], home.output
    assert (made["verdict"], code) == ("PASS", 0), home.output
    assert {c["id"]: c["verdict"] for c in made["claims"]} == {
        c["id"]: "PASS" for c in made["claims"]}, home.output
    assert home.environments == []
    assert home.processes() == set()


@dataclass(frozen=True)
class Broken:
    """An orchestrator with promises broken, and the drill that must find them."""

    drill: str
    sabotages: str
    claims: frozenset[str]
    phases: tuple[dict[str, Any], ...] = ()
    """In place of the drill's own."""


BROKEN = (
    # One that leaves Airflow running on both sides never has a follower: the drill ends there.
    Broken("switchover", "two-records new-ids no-quiesce no-cleanup no-list old-flag one-name other-key",
           frozenset({"XR-01", "XR-02", "XR-08", "XR-14", "XR-15", "XR-16", "XR-20", "XR-21"})),
    Broken("unseen-primary", "calls-home iam-write dns-first no-scheduler",
           frozenset({"XR-09", "XR-10", "XR-12", "XR-22"})),
    Broken("healthy", "warm-database no-deflate", frozenset({"XR-04", "XR-07", "XR-11"}),
           ({"load": {}}, {"settle": {"timeout": "20s"}})),
    Broken("partition", "unbounded", frozenset({"XR-03", "XR-05"}),
           ({"load": {}}, {"fault": {"partition": {"region": "primary"}}},
            {"hold": {"for": "30s", "expect": "commits-wait"}}, {"failover": {}},
            {"settle": {"timeout": "60s"}}, {"heal": {"region": "primary"}},
            {"settle": {"timeout": "60s"}})),
    Broken("switchover", "no-copies forced-failback", frozenset({"XR-06", "XR-13"}),
           ({"load": {}}, {"failover": {"planned": True}}, {"settle": {}}, {"heal": {"region": "primary"}},
            {"fault": {"link": {"from": "secondary", "to": "primary", "delay": "1500ms"}}},
            {"failback": {}}, {"settle": {"timeout": "60s"}})),
    Broken("isolation", "always-healthy", frozenset({"XR-17"})),
)
IN_SCOPE = {f"XR-{n:02}" for n in (*range(1, 18), 20, 21, 22)}


def test_each_claim_has_an_orchestrator_that_breaks_it() -> None:
    assert set().union(*(broken.claims for broken in BROKEN)) == IN_SCOPE


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: "-".join(sorted(broken.claims)))
def test_a_broken_orchestrator_makes_the_drill_of_its_claim_fail(
    home: Home, monkeypatch: pytest.MonkeyPatch, broken: Broken
) -> None:
    monkeypatch.setenv("DR_DRILL_ORCHESTRATOR", f"tests.broken.server {broken.sabotages}")
    monkeypatch.setenv("PYTHONPATH", str(LIBRARY.parent))
    drill = yaml.safe_load(small(broken.drill, heal="20s", settle="40s"))
    drill["phases"] = list(broken.phases) or drill["phases"]
    drill["metadata"]["proves"] = sorted(broken.claims)
    code = home.finish("run", home.file(yaml.safe_dump(drill, sort_keys=False)), "--output", "out")
    made = json.loads((home.path / "out" / "report.json").read_text())
    outcomes = {c["id"]: c["verdict"] for c in made["claims"]}
    assert outcomes == dict.fromkeys(broken.claims, "FAIL"), home.output
    assert made["verdict"] == "FAIL"
    assert code == 1
    assert home.processes() == set()
