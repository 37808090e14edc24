"""Open-loop probes: whether each Deployment is up, seen as its users see it, by its own hostname.

A probe is sent on a fixed schedule whatever the last one's answer was, so that a hung server
cannot hide its outage by keeping its prober waiting. Each asks the Deployment's REST API for the
latest successful run of its canary, which answers two questions at once: does the API answer, and
when was the last task that succeeded *scheduled*?

The addresses come from DNS, kept no longer than the answer's TTL, as a well-behaved client does.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import dns.exception
import httpx

from harness.journal import Journal

TIMEOUT_S = 3.0
CANARY_QUERY = "/api/v2/dags/canary/dagRuns/~/taskInstances?state=success&order_by=-start_date&limit=1"


@dataclass
class Target:
    """A Deployment to be probed."""

    name: str
    hostname: str
    password: str = field(repr=False)
    token: str | None = field(default=None, repr=False)
    address: str = ""
    expires: float = 0.0
    last_ok: float = 0.0
    """When the last answered probe was sent (wall-clock seconds)."""
    canary_scheduled: float = 0.0
    """When the latest successful canary task that was seen had been scheduled."""


class Probes:
    """Probes all Deployments from a thread of their own."""

    def __init__(
        self, journal: Journal, targets: Sequence[Target], *, interval: float, port: int,
        resolve: Callable[[str], tuple[str, int]],
    ) -> None:
        """Take the targets; nothing is sent before :meth:`start`.

        ``interval``: seconds between two probes of a Deployment; ``resolve``: hostname to address
        and TTL in seconds.
        """
        self._journal, self.targets = journal, list(targets)
        self._interval, self._port, self._resolve = interval, port, resolve
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="probes", daemon=True)

    def start(self) -> None:
        """Begin to probe."""
        self._thread.start()

    def stop(self) -> None:
        """Send no more probes and wait for the answers of those that are out."""
        self._stop.set()
        self._thread.join(TIMEOUT_S + 2)

    def _run(self) -> None:
        asyncio.run(self._probe_all())

    async def _probe_all(self) -> None:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=len(self.targets))
        async with httpx.AsyncClient(timeout=TIMEOUT_S, limits=limits) as client:
            loop = asyncio.get_running_loop()
            running: set[asyncio.Task[None]] = set()
            begin, tick = loop.time(), 0
            spread = self._interval / max(1, len(self.targets))
            while not self._stop.is_set():
                target = self.targets[tick % len(self.targets)]
                due = begin + tick * spread
                tick += 1
                if (wait := due - loop.time()) > 0:
                    await asyncio.sleep(wait)
                task = loop.create_task(self._probe(client, target, loop.time() - due))
                running.add(task)
                task.add_done_callback(running.discard)
            if running:
                await asyncio.wait(running, timeout=TIMEOUT_S)

    async def _probe(self, client: httpx.AsyncClient, target: Target, late: float) -> None:
        sent, loop = time.time(), asyncio.get_running_loop()
        began = loop.time()
        outcome, canary, error = "failed", None, None
        try:
            address = await self._address(target)
            answer = await self._ask(client, target, address)
            if answer.status_code == 200:
                outcome = "ok"
                canary = _canary(answer.json())
            else:
                error = f"HTTP {answer.status_code}"
        except httpx.TimeoutException:
            outcome, error = "unknown", "no answer in time"
        except (httpx.HTTPError, dns.exception.DNSException, ValueError, OSError) as problem:
            error = type(problem).__name__
        seen: dict[str, Any] = {
            "d": target.name, "sent": round(sent, 4), "ms": round((loop.time() - began) * 1000, 1),
            "late_ms": round(late * 1000, 1), "outcome": outcome, "error": error,
            "address": target.address or None, "canary": canary,
        }
        if outcome == "ok":
            target.last_ok = sent
            target.canary_scheduled = (canary or {}).get("scheduled", target.canary_scheduled)
        self._journal.append("probe", **seen)

    async def _ask(
        self, client: httpx.AsyncClient, target: Target, address: str
    ) -> httpx.Response:
        base, host = f"http://{address}:{self._port}", {"host": target.hostname}
        if target.token is None:
            login = await client.post(
                f"{base}/auth/token", headers=host,
                json={"username": "admin", "password": target.password})
            if login.status_code != 201:
                return login
            target.token = str(login.json()["access_token"])
        answer = await client.get(
            base + CANARY_QUERY, headers={**host, "authorization": f"Bearer {target.token}"})
        if answer.status_code == 401:
            target.token = None
        return answer

    async def _address(self, target: Target) -> str:
        if time.monotonic() >= target.expires:
            address, ttl = await asyncio.to_thread(self._resolve, target.hostname)
            target.address, target.expires = address, time.monotonic() + ttl
        return target.address


def _canary(body: dict[str, Any]) -> dict[str, Any] | None:
    found = body.get("task_instances") or []
    if not found or not found[0].get("scheduled_when"):
        return None
    ti = found[0]
    return {"run": ti["dag_run_id"], "scheduled": _seconds(ti["scheduled_when"]),
            "ended": _seconds(ti["end_date"])}


def _seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp()
