"""The live view of an orchestrator."""

from typing import Any

import httpx
from rich.console import Console

from harness.systems.astro.view import _draw


def region(workloads: str, *, writer: bool, state: str = "running") -> dict[str, Any]:
    return {"workloads": workloads, "runningPods": 2 if writer else 0, "reportedSecondsAgo": 1.0,
            "database": {"writer": writer, "connected": True, "lag_s": None if writer else 0.25},
            "storage": {"pending_operations": 3},
            "plugins": [{"name": "observability", "does": f"watches as {workloads}", "state": state},
                        {"name": "managed-egress", "does": "egress", "state": "absent: no way out"}]}


CLUSTER = {
    "name": "one", "status": "FAILING_OVER",
    "healthStatus": {"value": "UNHEALTHY", "details": [
        {"severity": "CRITICAL", "component": "east", "description": "silent"}]},
    "metadata": {"regions": {"west": region("inflated", writer=True),
                             "east": region("deflated", writer=False, state="failing: no answer")}}}
MOVES = {"failovers": [{"kind": "failover", "status": "IN_PROGRESS", "steps": [
    {"name": "promote-database", "started": 1.0, "ended": 3.5, "attempts": 2, "error": None}]}]}


def shown() -> str:
    http = httpx.Client(base_url="http://o/clusters", transport=httpx.MockTransport(
        lambda request: httpx.Response(200, json=MOVES if request.url.path.endswith("failovers") else CLUSTER)))
    console = Console(width=160)
    with console.capture() as captured:
        console.print(_draw(http, "c1"))
    return captured.get()


def test_it_shows_state_health_lags_and_the_steps_of_the_last_move() -> None:
    text = shown()
    for part in ("FAILING_OVER", "CRITICAL east: silent", "inflated", "0.2 s", "promote-database", "2.5"):
        assert part in text


def test_it_shows_what_each_region_runs_and_leaves_out_what_it_does_not() -> None:
    text = shown()
    assert "watches as inflated" in text
    assert "failing: no answer" in text
    assert "managed-egress" not in text
