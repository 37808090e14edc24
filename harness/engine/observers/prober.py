"""The process that probes: ``python -m harness.engine.observers.prober``, configuration on standard input.

A process of its own, so that nothing else that the harness does can make a probe late. It prints a
JSON line for each probe and ends when its parent is gone.

Each probe asks a Deployment's REST API for the number of its canary's successful runs, which is cheap
for the API server; when that number has changed, it also asks for the latest one: when was the last
task that succeeded *scheduled*? The addresses come from DNS, each record kept no longer than its
TTL, as a well-behaved client does.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import aiohttp
import dns.asyncresolver
import dns.exception
import uvloop

from loadgen.wire.dns_cache import NameCache

TIMEOUT_S = 8.0
COUNT_QUERY = "/api/v2/dagStats?dag_ids=canary"
LATEST_QUERY = "/api/v2/dags/canary/dagRuns/~/taskInstances?state=success&order_by=-start_date&limit=1"


@dataclass
class Target:
    """A Deployment that is probed."""

    name: str
    hostname: str
    password: str = field(repr=False)
    token: str | None = field(default=None, repr=False)
    address: str = ""
    client: aiohttp.ClientSession | None = field(default=None, repr=False)
    """A connection to this address, for this hostname only."""
    successes: int | None = None
    """Successful canary runs when they were last counted."""
    canary: dict[str, Any] | None = None
    """The latest of them: run, when its task was scheduled, when it ended (wall-clock seconds)."""


class Prober:
    """Probes all targets on a fixed schedule."""

    def __init__(self, config: dict[str, Any]) -> None:
        """``config``: ``targets``, ``interval`` (seconds), ``port``, ``dns`` (host and port)."""
        self._targets = [Target(**target) for target in config["targets"]]
        self._interval, self._port = float(config["interval"]), int(config["port"])
        self._resolver = dns.asyncresolver.Resolver(configure=False)
        self._resolver.nameservers, self._resolver.port = [config["dns"][0]], config["dns"][1]
        self._resolver.lifetime = 2.0
        self._names = NameCache()
        self._retiring: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Probe until the parent has closed our input."""
        stopped = asyncio.Event()
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), stopped.set)
        loop = asyncio.get_running_loop()
        running: set[asyncio.Task[None]] = set()
        begin, tick = loop.time(), 0
        spread = self._interval / max(1, len(self._targets))
        while not stopped.is_set():
            target = self._targets[tick % len(self._targets)]
            due = begin + tick * spread
            tick += 1
            if (wait := due - loop.time()) > 0:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stopped.wait(), wait)
            task = loop.create_task(self._probe(target, loop.time() - due))
            running.add(task)
            task.add_done_callback(running.discard)
        if running:
            await asyncio.wait(running, timeout=TIMEOUT_S)
        for retiring in self._retiring:
            retiring.cancel()
        await asyncio.gather(*self._retiring, return_exceptions=True)
        for target in self._targets:
            if target.client is not None:
                await target.client.close()

    async def _probe(self, target: Target, late: float) -> None:
        sent, loop = time.time(), asyncio.get_running_loop()
        began = loop.time()
        outcome, error = "failed", None
        try:
            async with asyncio.timeout(TIMEOUT_S):
                status = await self._ask(await self._client(target), target)
            outcome, error = ("ok", None) if status == 200 else ("failed", f"HTTP {status}")
        except TimeoutError:
            outcome, error = "unknown", "no answer in time"
        except (aiohttp.ClientError, dns.exception.DNSException, ValueError, KeyError,
                OSError) as problem:
            error = type(problem).__name__
        seen = {
            "d": target.name, "sent": round(sent, 4), "ms": round((loop.time() - began) * 1000, 1),
            "late_ms": round(late * 1000, 1), "outcome": outcome, "error": error,
            "address": target.address or None, "canary": target.canary if outcome == "ok" else None,
        }
        print(json.dumps({k: v for k, v in seen.items() if v is not None}), flush=True)

    async def _ask(self, client: aiohttp.ClientSession, target: Target) -> int:
        """The status of the answer; ``target.canary`` is up to date when it is 200."""
        base = f"http://{target.address}:{self._port}"
        host = {"host": target.hostname}
        if target.token is None:
            status, body = await _json(client.post(
                f"{base}/auth/token", headers=host,
                json={"username": "admin", "password": target.password}))
            if status != 201:
                return status
            target.token = str(body["access_token"])
        headers = {**host, "authorization": f"Bearer {target.token}"}
        status, body = await _json(client.get(base + COUNT_QUERY, headers=headers))
        if status == 401:
            target.token = None
        if status != 200:
            return status
        successes = _successes(body)
        if successes != target.successes:
            status, body = await _json(client.get(base + LATEST_QUERY, headers=headers))
            if status != 200:
                return status
            target.canary, target.successes = _canary(body), successes
        return 200

    async def _client(self, target: Target) -> aiohttp.ClientSession:
        """A client for where the hostname points now; it keeps its connection between probes."""
        address = self._names.address(target.hostname)
        if address is None:
            answer = await self._resolver.resolve(self._names.to_ask(target.hostname), "A")
            address = self._names.learn(target.hostname, answer)
        if target.client is None or address != target.address:
            if target.client is not None:
                self._retire(target.client)
            # A new address is a new region: what was counted there before says nothing.
            target.address, target.successes = address, None
            target.client = aiohttp.ClientSession(connector=aiohttp.TCPConnector(
                limit=0, keepalive_timeout=2 * self._interval))
        return target.client

    def _retire(self, client: aiohttp.ClientSession) -> None:
        """Close a client once the probes that use it have ended, one way or the other."""

        async def close() -> None:
            try:
                await asyncio.sleep(TIMEOUT_S)
            finally:
                await client.close()

        task = asyncio.get_running_loop().create_task(close())
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)


async def _json(
    request: contextlib.AbstractAsyncContextManager[aiohttp.ClientResponse],
) -> tuple[int, Any]:
    """Status and body of an answer; no body when it is an error."""
    async with request as answer:
        return answer.status, json.loads(await answer.read()) if answer.ok else None


def _successes(body: dict[str, Any]) -> int:
    return sum(int(state["count"]) for dag in body["dags"] for state in dag["stats"]
               if state["state"] == "success")


def _canary(body: dict[str, Any]) -> dict[str, Any] | None:
    found = body.get("task_instances") or []
    if not found or not found[0].get("scheduled_when"):
        return None
    ti = found[0]
    return {"run": ti["dag_run_id"], "scheduled": _seconds(ti["scheduled_when"]),
            "ended": _seconds(ti["end_date"])}


def _seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp()


def main() -> None:
    """Probe what the first line of standard input says."""
    with contextlib.suppress(OSError):
        # The observer goes first: what it observes runs at a lower priority.
        os.setpriority(os.PRIO_PROCESS, 0, -5)
    uvloop.run(Prober(json.loads(sys.stdin.readline())).run())


if __name__ == "__main__":
    main()
