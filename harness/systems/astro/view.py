"""A live view of an orchestrator: the cluster's state, what each region says of itself, the last move."""

from __future__ import annotations

import time
from typing import Any

import httpx
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from loadgen.wire.http import http_client

EVERY_S = 1.0
COLOURS = {"CRITICAL": "red", "WARNING": "yellow", "INFO": "cyan"}


def watch(console: Console, base: str, organization: str, cluster_id: str, token: str, *,
          once: bool) -> int:
    """Show the cluster until interrupted (``once``: one time); the exit code.

    Raises:
        httpx.HTTPError: when the orchestrator does not answer the first time.
    """
    http = http_client(
        base_url=f"{base}/platform/v1beta1/organizations/{organization}/clusters",
        headers={"authorization": f"Bearer {token}"}, timeout=5)
    shown = _draw(http, cluster_id)
    if once:
        console.print(shown)
        return 0
    with Live(shown, console=console, refresh_per_second=4) as live:
        while True:
            time.sleep(EVERY_S)
            try:
                live.update(_draw(http, cluster_id))
            except httpx.HTTPError as error:
                live.update(Text(f"the orchestrator does not answer: {error!r}", style="red"))


def _draw(http: httpx.Client, cluster_id: str) -> Group:
    cluster = http.get(f"/{cluster_id}").raise_for_status().json()
    moves = http.get(f"/{cluster_id}/failovers").raise_for_status().json()["failovers"]
    health = cluster["healthStatus"]
    head = Text(f"{cluster['name']}  {cluster['status']}  {health['value']}", style="bold")
    details = [Text(f"  {d['severity']} {d['component']}: {d['description']}",
                    style=COLOURS.get(d["severity"], "")) for d in health["details"]]
    last = [_steps(moves[-1])] if moves else []
    return Group(head, *details, _regions(cluster), _curated(cluster), *last)


def _regions(cluster: dict[str, Any]) -> Table:
    table = Table("region", "Airflow", "pods", "database", "lag", "objects waiting", "reported", box=None)
    for name, region in cluster["metadata"]["regions"].items():
        database, storage = region["database"] or {}, region["storage"] or {}
        role = "writer" if database.get("writer") else "standby" if database else "?"
        contact = "" if database.get("connected") else " (no contact)"
        lag = database.get("lag_s")
        table.add_row(
            name, region["workloads"], str(region["runningPods"]), role + contact,
            "-" if lag is None else f"{lag:.1f} s", str(storage.get("pending_operations", "-")),
            f"{region['reportedSecondsAgo']} s ago")
    return table


def _curated(cluster: dict[str, Any]) -> Table:
    table = Table("curated set", "in", "does", "", box=None)
    for region, seen in cluster["metadata"]["regions"].items():
        for plugin in seen.get("plugins", []):
            if not plugin["state"].startswith("absent"):
                table.add_row(plugin["name"], region, plugin["does"], plugin["state"])
    return table


def _steps(move: dict[str, Any]) -> Table:
    table = Table(f"last {move['kind']} ({move['status']})", "seconds", "attempts", "", box=None)
    for step in move["steps"]:
        took = (step["ended"] or time.time()) - step["started"]
        table.add_row(step["name"], f"{took:.1f}", str(step["attempts"]),
                      step["error"] or ("" if step["ended"] else "running"))
    return table
