"""The fleet of a drill: its Deployments through the orchestrator, and the looks the observer takes."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from botocore.exceptions import BotoCoreError, ClientError
from kubernetes import client as kubernetes_client
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from harness.environments.base import Environment
from harness.lines import LinesClient
from harness.observers.probes import Target
from harness.orchestrators.astro import AstroOrchestrator
from harness.orchestrators.base import FleetMember, OrchestratorFailed
from harness.schema import LedgerSpec
from harness.tables import Tables
from loadgen.load import apply_ledger

LOOK_TIMEOUT_S = 60.0
LOCUST_PORT = 5557
LOGS_READ_MOST = 16
"""Deployments whose API server is made to read a task log: it needs an S3 client of its own for it, 30 MB.
That every log is in the bucket is looked at for all of them (XR-06)."""
LOOKS_AT_ONCE = 4


class Fleet:
    """The Deployments of one drill."""

    def __init__(self, environment: Environment, size: int) -> None:
        self._environment = environment
        self._names = [f"team-{index:02d}" for index in range(size)]
        self._passwords: dict[str, str] = {}
        self.members: list[FleetMember] = []
        self.ready = 0
        """How many were up when the orchestrator was last asked."""
        self.orchestrator = AstroOrchestrator(
            environment.orchestrator_url, environment.organization_id, environment.cluster_id,
            environment.secret("api_token"))

    # -- making it ------------------------------------------------------------------------

    def create(self, environment: Mapping[str, str] | None = None) -> None:
        """Have all Deployments made; ``environment``: variables that each of them gets."""
        self.orchestrator.create_deployments(self._names, environment or {})

    def healthy(self) -> bool:
        """Whether all are up, as the orchestrator shows them."""
        return not self.missing()

    def missing(self) -> list[str]:
        """The names of those that are not."""
        up = {d.name for d in self.orchestrator.deployments() if d.status == "HEALTHY"}
        left = [name for name in self._names if name not in up]
        self.ready = len(self._names) - len(left)
        return left

    def describe(self) -> None:
        """Take down who the Deployments are; called once they are up."""
        self.members = self.orchestrator.deployments()
        core = kubernetes_client.CoreV1Api(self._environment.kubernetes("primary"))
        for member in self.members:
            secret = core.read_namespaced_secret("airflow-secrets", member.namespace)
            self._passwords[member.name] = base64.b64decode(
                secret.data["DR_DRILL_ADMIN_PASSWORD"]).decode()

    def settings(self) -> dict[str, str]:
        """Airflow's settings as they are in force in the first Deployment."""
        core = kubernetes_client.CoreV1Api(self._environment.kubernetes("primary"))
        found = core.read_namespaced_config_map("airflow-settings", self.members[0].namespace)
        return {k: v for k, v in sorted(found.data.items())
                if k.startswith("AIRFLOW__") and "REMOTE_BASE" not in k}

    def start_ledger(self, spec: LedgerSpec) -> None:
        """Start the ledger writers in both regions."""
        for role, region in self._environment.regions.items():
            access = self._environment.database(role)
            apply_ledger(
                self._environment.kubernetes(role), region=region.name, database_host=access.host,
                database_password=access.password,
                aws={**self._environment.workload_aws(role), "IMAGE_BUCKET": region.image_bucket},
                witness=self._environment.workload_witness(role),
                rows_per_second=spec.rows_per_second, row_bytes=spec.row_bytes)

    def probe_targets(self) -> list[Target]:
        """What the probes probe."""
        return [Target(d.name, d.hostname, self._passwords[d.name]) for d in self.members]

    def load_config(self, concurrent_tasks: int, seed: int) -> dict[str, Any]:
        """What the Locust users need to know."""
        return {
            "deployments": [{"name": d.name, "hostname": d.hostname,
                             "password": self._passwords[d.name]} for d in self.members],
            "concurrent_tasks": concurrent_tasks, "seed": seed,
            "dns": self._environment.dns_address(), "port": self._environment.ingress_port,
            "witness": self._environment.witness_address(),
            # An address of the run's own, so that two drills' Locust masters do not meet.
            "master": [self._environment.dns_address()[0], LOCUST_PORT],
            "regions": self._environment.public_addresses(),
        }

    # -- the witness ------------------------------------------------------------------------

    def witness_counts(self) -> dict[str, Any]:
        """How many records the witness has, by kind.

        Raises:
            OSError: when it cannot be reached.
        """
        client = LinesClient(*self._environment.witness_address(), timeout=2)
        try:
            return dict(client.ask({"stats": True})["counts"])
        finally:
            client.close()

    def witness_tables(self) -> Tables:
        """Everything that the witness has heard so far, as a table."""
        tables = Tables()
        tables.lines("witness", self._environment.witness_log)
        return tables

    def start_canaries(self) -> None:
        """Unpause every Deployment's canary Dag: an idle fleet runs nothing.

        Raises:
            OrchestratorFailed: naming the Deployment whose API did not take it.
        """
        base = f"http://{self._environment.public_address('primary')}:{self._environment.ingress_port}"
        with ThreadPoolExecutor(LOOKS_AT_ONCE) as pool:
            list(pool.map(lambda member: self._start_canary(base, member), self.members))

    def _start_canary(self, base: str, member: FleetMember) -> None:
        try:
            with self._api(base, member) as api:
                api.patch("/api/v2/dags/canary", json={"is_paused": False}).raise_for_status()
        except (httpx.HTTPError, KeyError, ValueError) as error:
            raise OrchestratorFailed(f"{member.name} did not start its canary: {error!r}") from error

    @contextmanager
    def _api(self, base: str, member: FleetMember) -> Iterator[httpx.Client]:
        """A client of a Deployment's REST API, logged in."""
        # Plain HTTP: not to verify saves each client the TLS context that it would never use.
        with httpx.Client(base_url=base, timeout=15, headers={"host": member.hostname},
                          verify=False) as api:
            token = api.post("/auth/token", json={
                "username": "admin", "password": self._passwords[member.name]}).json()["access_token"]
            api.headers["authorization"] = f"Bearer {token}"
            yield api

    # -- looks ------------------------------------------------------------------------------

    def standby_is_headless(self, role: str) -> tuple[bool, str]:
        """Whether a region's database refuses connections while it replicates."""
        import psycopg

        access = self._environment.database(role)
        writer = "primary" if role == "secondary" else "secondary"
        lag = dict(self._environment.replication_lag(writer))
        try:
            psycopg.connect(access.conninfo).close()
        except psycopg.Error as error:
            refused = str(error).strip().splitlines()[-1]
            return lag.get("state") == "streaming", f"refuses connections ({refused}); {lag}"
        return False, "the standby database accepts connections"

    def standby_runs_no_airflow(self, role: str) -> tuple[bool, str]:
        """Whether a region runs no Airflow pod."""
        core = kubernetes_client.CoreV1Api(self._environment.kubernetes(role))
        pods = core.list_pod_for_all_namespaces(
            label_selector="app.kubernetes.io/part-of=airflow").items
        return not pods, f"{len(pods)} Airflow pods in the standby region"

    def identity_kept(self, role: str) -> tuple[bool, str]:
        """Whether cluster and Deployments are who they were, and their names lead to ``role``."""
        now = {d.id: d for d in self.orchestrator.deployments()}
        wanted = self._environment.public_address(role)
        for before in self.members:
            after = now.get(before.id)
            if after is None or (after.name, after.namespace, after.hostname) != (
                    before.name, before.namespace, before.hostname):
                return False, f"Deployment {before.name} is not the same any more: {after}"
            address, _ = self._environment.resolve(before.hostname)
            if address != wanted:
                return False, f"{before.hostname} points at {address}, not at {wanted}"
        return True, (f"{len(self.members)} Deployments kept ID, name, namespace and hostname; "
                      f"all hostnames lead to {self._environment.region_name(role)}")

    def carried_over(self, role: str) -> tuple[bool, str]:
        """Whether variables, connections, Dag run history and task logs are readable there."""
        base = f"http://{self._environment.public_address(role)}:{self._environment.ingress_port}"
        every = -(-len(self.members) // LOGS_READ_MOST)
        logs_of = {member.name for member in self.members[::every]}
        with ThreadPoolExecutor(LOOKS_AT_ONCE) as pool:
            found = pool.map(lambda member: self._missing_patiently(
                base, member, log=member.name in logs_of), self.members)
            for member, missing in zip(self.members, found, strict=True):
                if missing:
                    return False, f"{member.name}: {missing}"
        return True, (f"variable, connection and Dag run history of each of {len(self.members)} "
                      f"Deployments and a task log of {len(logs_of)} of them are readable")

    def _missing_patiently(self, base: str, member: FleetMember, *, log: bool) -> str:
        """What is missing; a Deployment that does not answer at all is asked again for a while."""
        deadline = time.monotonic() + LOOK_TIMEOUT_S
        while True:
            try:
                with self._api(base, member) as api:
                    return self._missing(api, member) or (self._log_missing(api) if log else "")
            except (httpx.HTTPError, KeyError, ValueError) as error:
                if time.monotonic() > deadline:
                    return f"no usable answer within {LOOK_TIMEOUT_S:.0f} s: {error!r}"
            time.sleep(0.5)

    def _missing(self, api: httpx.Client, member: FleetMember) -> str:
        variable = api.get("/api/v2/variables/carried_over").raise_for_status().json()
        if not str(variable.get("value", "")).endswith(f"by {member.name}"):
            return f"the variable carried_over reads {variable}"
        connection = api.get("/api/v2/connections/warehouse").raise_for_status().json()
        if connection.get("host") != f"{member.name}.warehouse.test":
            return f"the connection warehouse reads {connection}"
        return "" if _oldest_canary(api) else "no canary run from before"

    def _log_missing(self, api: httpx.Client) -> str:
        first = _oldest_canary(api)[0]
        log = api.get(f"/api/v2/dags/canary/dagRuns/{first['dag_run_id']}/taskInstances/"
                      f"{first['task_id']}/logs/{first['try_number']}", params={"full_content": True})
        if "synthetic task" not in log.text:
            return f"the log of {first['dag_run_id']} is not readable: {log.text[:200]}"
        return ""

    def follows(self, active: str) -> bool:
        """Whether the other region replicates from the active one, headless, and runs no Airflow."""
        other = "primary" if active == "secondary" else "secondary"
        lag = dict(self._environment.replication_lag(active))
        behind = lag.get("lag_bytes")
        if lag.get("state") != "streaming" or behind is None or behind > 1024 * 1024:
            return False
        if self.orchestrator.cluster().raw["healthStatus"]["value"] != "HEALTHY":
            return False
        if any(self._environment.pending_objects(role)["OperationsPendingReplication"] != 0
               for role in (active, other)):
            return False
        try:
            # The orchestrator's clean-up removes the follower's compute; until it has, the follower
            # is about to be restarted.
            if self._environment.aws(other, "rds").describe_db_instances()["DBInstances"]:
                return False
            return self.standby_runs_no_airflow(other)[0]
        except (BotoCoreError, ClientError, ApiException, HTTPError):
            return False  # a region that comes back answers part by part

    def append_object_keys(self, path: Path, role: str) -> None:
        """Add the keys of the active region's task logs and images to a snapshot file."""
        s3, region = self._environment.aws(role, "s3"), self._environment.regions[role]
        with path.open("a") as sink:
            for fact, bucket in (("log", region.log_bucket), ("image", region.image_bucket)):
                for key in _keys(s3, bucket):
                    sink.write(json.dumps({"f": fact, "key": key}) + "\n")


def _oldest_canary(api: httpx.Client) -> list[dict[str, Any]]:
    """The first canary task that succeeded, if there is one."""
    found = api.get("/api/v2/dags/canary/dagRuns/~/taskInstances?state=success"
                    "&order_by=start_date&limit=1").raise_for_status().json()
    return list(found["task_instances"])


def _keys(s3: Any, bucket: str) -> Iterable[str]:
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for entry in page.get("Contents", []):
            yield entry["Key"]
