"""The Deployments' identity and contents: who they were before a transition they are after it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from harness.engine.checks.registry import Check, Moment, Seen, Subject
from harness.engine.fleet import AT_ONCE, Fleet
from harness.engine.observers.seeds import NAME as SEED
from harness.engine.observers.seeds import seeds, unlike
from harness.systems.base import FleetMember

PATIENCE_S = 60.0
"""A Deployment that does not answer is asked again for so long."""
LOGS_READ_MOST = 16
"""Deployments whose API server is made to read a task log: it needs an S3 client of its own for it, 30 MB.
That every log is in the bucket is looked at for all of them (XR-06)."""


def identity_kept(subject: Subject) -> Seen:
    """Whether cluster and Deployments are who they were, and their names lead to the active region."""
    now = {d.id: d for d in subject.fleet.orchestrator.deployments()}
    wanted = subject.environment.public_address(subject.active)
    for before in subject.fleet.members:
        after = now.get(before.id)
        if after is None or (after.name, after.namespace, after.hostname) != (
                before.name, before.namespace, before.hostname):
            return False, f"Deployment {before.name} is not the same any more: {after}"
        address, _ = subject.environment.resolve(before.hostname)
        if address != wanted:
            return False, f"{before.hostname} points at {address}, not at {wanted}"
    return True, (f"{len(subject.fleet.members)} Deployments kept ID, name, namespace and hostname; "
                  f"all hostnames lead to {subject.environment.region_name(subject.active)}")


def carried_over(subject: Subject) -> Seen:
    """Whether variables, connections, pools, Dag run history and task logs are readable there."""
    base = f"http://{subject.environment.public_address(subject.active)}:{subject.environment.ingress_port}"
    every = -(-len(subject.fleet.members) // LOGS_READ_MOST)
    logs_of = {member.name for member in subject.fleet.members[::every]}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = pool.map(lambda member: _missing_patiently(
            subject.fleet, base, member, log=member.name in logs_of), subject.fleet.members)
        for member, missing in zip(subject.fleet.members, found, strict=True):
            if missing:
                return False, f"{member.name}: {missing}"
    return True, (f"variable, connection, pool and Dag run history of each of {len(subject.fleet.members)} "
                  f"Deployments and a task log of {len(logs_of)} of them are readable")


def _missing_patiently(fleet: Fleet, base: str, member: FleetMember, *, log: bool) -> str:
    """What is missing; a Deployment that does not answer at all is asked again for a while."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            with fleet.api(base, member) as api:
                return _missing(fleet, api, member) or (_log_missing(api) if log else "")
        except (httpx.HTTPError, KeyError, ValueError) as error:
            if time.monotonic() > deadline:
                return f"no usable answer within {PATIENCE_S:.0f} s: {error!r}"
        time.sleep(0.5)


def _missing(fleet: Fleet, api: httpx.Client, member: FleetMember) -> str:
    for kind, seed in seeds(member.name).items():
        found = api.get(f"/api/v2/{kind}/{SEED}").raise_for_status().json()
        if wrong := unlike(seed, found):
            return f"of its {kind}, {SEED} reads {wrong}"
    if strange := fleet.tokens.wrong(api, member.name):
        return strange
    return "" if _oldest_canary(api) else "no canary run from before"


def _log_missing(api: httpx.Client) -> str:
    first = _oldest_canary(api)[0]
    log = api.get(f"/api/v2/dags/canary/dagRuns/{first['dag_run_id']}/taskInstances/"
                  f"{first['task_id']}/logs/{first['try_number']}", params={"full_content": True})
    if "synthetic task" not in log.text:
        return f"the log of {first['dag_run_id']} is not readable: {log.text[:200]}"
    return ""


def _oldest_canary(api: httpx.Client) -> list[dict[str, Any]]:
    """The first canary task that succeeded, if there is one."""
    found = api.get("/api/v2/dags/canary/dagRuns/~/taskInstances?state=success"
                    "&order_by=start_date&limit=1").raise_for_status().json()
    return list(found["task_instances"])


CHECKS = (
    Check("identity", (Moment.SETTLED,), identity_kept, ("XR-02",)),
    Check("carried-over", (Moment.SETTLED,), carried_over),
)
