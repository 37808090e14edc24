"""The fleet of a drill: its Deployments through the orchestrator, and the looks the observer takes."""

from __future__ import annotations

import base64
import json
import re
import secrets
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from kubernetes import client as kubernetes_client

from harness.common.masking import MASK, Variables, looks_secret
from harness.drill.schema import LedgerSpec
from harness.engine.observers.probes import Target
from harness.engine.observers.seeds import seeds
from harness.engine.observers.settings import neutral, site_names
from harness.engine.observers.tokens import Tokens
from harness.environments.base import Environment, other_role
from harness.record.tables import Tables
from harness.systems.astro.driver import AstroOrchestrator
from harness.systems.base import FleetMember, OrchestratorFailed
from loadgen.content import DIGITS, content
from loadgen.load import apply_ledger
from loadgen.wire.http import http_client
from loadgen.wire.jsonlines import LinesClient

LOCUST_PORT = 5557
AT_ONCE = 4
MD5 = re.compile("[0-9a-f]{32}")
SETTINGS, SECRETS = "airflow-settings", "airflow-secrets"
"""The ConfigMap and the Secret of a Deployment's Airflow."""


class Fleet:
    """The Deployments of one drill."""

    def __init__(self, environment: Environment, size: int) -> None:
        self._environment = environment
        self._names = [f"team-{index:02d}" for index in range(size)]
        self._passwords: dict[str, str] = {}
        self.tokens = Tokens()
        self._variables = Variables()
        self.digest_key = secrets.token_hex(16)
        """Goes into the digests of what may be secret, so that nobody can try guesses against the evidence. It is never
        written anywhere: digests are compared within a run only."""
        self.members: list[FleetMember] = []
        self.ready = 0
        """How many were up when the orchestrator was last asked."""
        self.orchestrator = AstroOrchestrator(
            environment.orchestrator_url, environment.organization_id, environment.cluster_id,
            environment.secret("api_token"))

    # -- making it ------------------------------------------------------------------------

    def create(self, variables: Variables | None = None) -> None:
        """Have all Deployments made; ``variables``: those that each of them gets."""
        self._variables = variables or Variables()
        self.orchestrator.create_deployments(self._names, self._variables.values, self._variables.hidden)

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
            secret = core.read_namespaced_secret(SECRETS, member.namespace)
            self._passwords[member.name] = base64.b64decode(
                secret.data["DR_DRILL_ADMIN_PASSWORD"]).decode()

    def settings(self) -> dict[str, str]:
        """Airflow's settings as they are in force in the first Deployment, what may be secret masked."""
        core = kubernetes_client.CoreV1Api(self._environment.kubernetes("primary"))
        found = core.read_namespaced_config_map(SETTINGS, self.members[0].namespace)
        mine = self._variables.shown
        # What the platform sets is no secret; but a platform of somebody else's may keep one where it should not.
        others = {k: MASK if looks_secret(k, v) else v for k, v in (found.data or {}).items()}
        return {k: v for k, v in sorted({**others, **mine}.items())
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
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(lambda member: self._start_canary(base, member), self.members))

    def _start_canary(self, base: str, member: FleetMember) -> None:
        try:
            with self.api(base, member) as api:
                api.patch("/api/v2/dags/canary", json={"is_paused": False}).raise_for_status()
        except (httpx.HTTPError, KeyError, ValueError) as error:
            raise OrchestratorFailed(f"{member.name} did not start its canary: {error!r}") from error

    def seed(self) -> None:
        """Put something of the observer's own into every Deployment, through its API, to be found again later.

        Raises:
            OrchestratorFailed: naming the Deployment whose API did not take it.
        """
        base = f"http://{self._environment.public_address('primary')}:{self._environment.ingress_port}"
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(lambda member: self._seed_one(base, member), self.members))

    def _seed_one(self, base: str, member: FleetMember) -> None:
        try:
            with self.api(base, member) as api:
                self.tokens.keep(member.name, api.headers["authorization"].removeprefix("Bearer "))
                for kind, seed in seeds(member.name).items():
                    answer = api.post(f"/api/v2/{kind}", json=seed)
                    if answer.is_error:
                        raise OrchestratorFailed(f"{member.name} did not take the observer's own among its {kind}: "
                                                 f"{answer.status_code} {answer.text[:200]}")
        except (httpx.HTTPError, KeyError, ValueError) as error:
            raise OrchestratorFailed(
                f"{member.name} did not take what the observer puts into it: {error!r}") from error

    @contextmanager
    def api(self, base: str, member: FleetMember) -> Iterator[httpx.Client]:
        """A client of a Deployment's REST API, logged in."""
        # Plain HTTP: not to verify saves each client the TLS context that it would never use.
        with http_client(base_url=base, timeout=15, headers={"host": member.hostname},
                          verify=False) as api:
            token = api.post("/auth/token", json={
                "username": "admin", "password": self._passwords[member.name]}).json()["access_token"]
            api.headers["authorization"] = f"Bearer {token}"
            yield api

    # -- what a snapshot holds ------------------------------------------------------------------

    def append_object_keys(self, path: Path, role: str) -> None:
        """Add the active region's task logs and images, with their content, to a snapshot file."""
        s3, region = self._environment.aws(role, "s3"), self._environment.regions[role]
        with path.open("a") as sink:
            for fact, bucket in (("log", region.log_bucket), ("image", region.image_bucket)):
                for key, etag in _objects(s3, bucket):
                    sink.write(json.dumps({"f": fact, "key": key, "c": _content_of(etag)}) + "\n")

    def append_settings(self, path: Path, role: str) -> None:
        """Add the settings and variables of each Deployment's Airflow in a region to a snapshot file.

        Never their values: what is written is a digest of each that only this run's observer can make
        (:attr:`digest_key`), once what differs from site to site by its nature was taken out of it.

        Raises:
            ApiException: when the region's Kubernetes API refuses.
            urllib3.exceptions.HTTPError: when it does not answer.
        """
        core = kubernetes_client.CoreV1Api(self._environment.kubernetes(role))
        here, there = (site_names(self._environment, each) for each in (role, other_role(role)))
        without_names, of = neutral(here, there), {member.namespace: member.name for member in self.members}
        public: Any = core.list_config_map_for_all_namespaces(field_selector=f"metadata.name={SETTINGS}")
        secret: Any = core.list_secret_for_all_namespaces(field_selector=f"metadata.name={SECRETS}")
        values = [(obj, dict(obj.data or {})) for obj in public.items]
        values += [(obj, {key: base64.b64decode(value).decode(errors="backslashreplace")
                          for key, value in (obj.data or {}).items()}) for obj in secret.items]
        with path.open("a") as sink:
            for obj, data in values:
                if (deployment := of.get(obj.metadata.namespace)) is None:
                    continue
                for key, value in sorted(data.items()):
                    sink.write(json.dumps({"f": "environment", "d": deployment, "key": key,
                                           "c": content((self.digest_key + without_names(value)).encode())}) + "\n")


def _content_of(etag: str) -> int | None:
    """The content of an object by its ETag; None for one in several parts, whose ETag is of something else."""
    digest = etag.strip('"')
    return int(digest[:DIGITS], 16) if MD5.fullmatch(digest) else None



def _objects(s3: Any, bucket: str) -> Iterable[tuple[str, str]]:
    """Key and ETag of every object."""
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for entry in page.get("Contents", []):
            yield entry["Key"], entry["ETag"]
