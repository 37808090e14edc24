"""The embedded pair: two regions and what lies outside them, as processes of this machine.

``up`` starts the parts in the order in which they need each other, as much as possible at a time;
``down`` removes every process and directory again, whatever state they are in, and can be called
from another process long after the one that called ``up`` was killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx
from botocore.exceptions import BotoCoreError, ClientError
from kubernetes.client import ApiException
from pydantic import TypeAdapter
from urllib3.exceptions import HTTPError

from harness.environments.base import EnvironmentFailed
from harness.environments.embedded import bootstrap, bytecode, credentials, removal, user
from harness.environments.embedded.addresses import (
    AWS,
    GLOBAL_AWS,
    INGRESS,
    LINKS,
    ORCHESTRATOR,
    POSTGRES,
    WITNESS,
    Block,
    BlockLease,
    Caller,
    NoFreeBlock,
    Site,
)
from harness.environments.embedded.clusters import EmptyClusters
from harness.environments.embedded.components import PairComponents
from harness.environments.embedded.holds import Holds, stay
from harness.environments.embedded.layout import ROLES, PairSettings, make_root
from harness.environments.embedded.ownership import Lock, Ownership, process_start
from harness.environments.embedded.private import make_directory, write_private
from harness.environments.embedded.processes import inherited, reap
from harness.environments.embedded.site import SiteConfig
from harness.environments.embedded.state import STARTING, UP, EnvironmentState
from loadgen.wire.jsonlines import LinesClient

SOCKET_PATH_MOST = 107
"""Bytes of the path of a Unix socket; see ``unix(7)``."""
ORCHESTRATOR_MODULE = "DR_DRILL_ORCHESTRATOR"
"""The variable that names another module to run as the orchestrator, and its arguments (a broken one, in the tests)."""


class EmbeddedPair(PairComponents):
    """A pair of regions on this machine. Implements :class:`harness.environments.base.Environment`."""

    def __init__(self, identifier: str, settings: PairSettings, run: Path | None = None) -> None:
        """``run``: the run directory that this environment serves, if any."""
        super().__init__(identifier, settings)
        self.run = run
        self._lease, self._lock = BlockLease(), Lock(self.directory)
        self._holds: Holds | None = None
        self.image_settings: dict[str, str] = {}
        self.runs_as = ""

    @classmethod
    def found(cls, directory: Path) -> EmbeddedPair:
        """An environment that another process made, from what it wrote down.

        Raises:
            EnvironmentFailed: when its record cannot be read (it can still be removed).
        """
        try:
            state = EnvironmentState.load(directory)
            if state.block is None:
                raise ValueError("it does not say which addresses it has")
            pair = cls(state.identifier, TypeAdapter(PairSettings).validate_python(state.settings))
            pair._block = Block(state.block)
            pair._ownership = Ownership.of(directory)
            pair._tokens = credentials.load_secrets(directory)
        except (OSError, ValueError) as error:
            why = str(error).splitlines()[0]
            raise EnvironmentFailed(f"{directory} holds no readable environment: {why}") from error
        return pair

    @property
    def holds(self) -> Holds:
        """What holds the environment's addresses, in the process that made it."""
        if self._holds is None:
            raise EnvironmentFailed("this process has not made the environment")
        return self._holds

    def processes(self) -> set[int]:
        """Ids of all processes of the environment."""
        return self._ownership.processes() if self._ownership else set()

    # -- up -----------------------------------------------------------------------------

    def up(self, progress: Callable[[str], None] = lambda _: None) -> None:
        """Start everything; returns when it serves.

        Raises:
            EnvironmentFailed: naming the part that did not come up.
        """
        try:
            self._up(progress)
        except (OSError, BotoCoreError, ClientError, ApiException, HTTPError) as error:
            self.check()  # a part that died says more than the call that it did not answer
            raise EnvironmentFailed(
                f"the environment could not be set up in {self.directory}: {error}",
                log=self.logs, hint="'drill doctor' looks at disk space, permissions and ports",
            ) from error

    def _up(self, progress: Callable[[str], None]) -> None:
        root = make_root()
        if len(os.fsencode(self._image_socket)) > SOCKET_PATH_MOST:
            raise EnvironmentFailed(f"the path {self._image_socket} is longer than a socket's may be "
                                    f"({SOCKET_PATH_MOST} bytes): set DR_DRILL_HOME to a shorter one")
        try:
            self._block = self._lease.acquire()
            runs_as = user.decide(self.block.number, root, inherited())
            self.runs_as = str(runs_as)
        except (NoFreeBlock, user.NoFreeUser) as error:
            raise EnvironmentFailed(str(error)) from error
        if runs_as.why_not:
            progress(f"started by root, and all but PostgreSQL runs as root: {runs_as.why_not}")
        if runs_as.user is not None:
            bytecode.provide(progress)
        self._ownership = self._lock.make(runs_as.user)
        self._holds = Holds(self._block, runs_as.user)
        self._make_directories(runs_as.own)
        self._tokens = credentials.make_secrets(self.directory, self.block)
        self._save_state(STARTING)
        clusters = EmptyClusters(self.ownership)
        for site in ("image", "primary"):
            clusters.begin(self._site_directory(site), self._site_config(site).postgres_password)
        credentials.make_certificates(self.directory, self.block, self._tokens, runs_as.user)
        for role in (*ROLES, "us-east-1", "image"):
            self._site_config(role).save(self._site_directory(role) / "site.json", runs_as.user)
        self._make_image()
        progress("starting networks, witness and global services")
        self._start_outside()
        for role in ROLES:
            self._start_region(role)
        clusters.finish()
        self._await_http("aws us-east-1", Site.OUTSIDE, GLOBAL_AWS)
        zone = bootstrap.make_zone(self)
        self._start_dns()
        progress("creating the replicated database and the replicated buckets")
        for role in ROLES:
            self._await_http(f"aws {role}", ROLES[role], AWS)
        bootstrap.make_database(self)
        bootstrap.make_buckets(self)
        self._start_orchestrator(zone)
        progress("waiting for the Kubernetes APIs and the warm Airflow processes")
        for role in ROLES:
            self._await_kubernetes(role)
            bootstrap.bootstrap(self, role)
        progress("migrating the template metadata database")
        bootstrap.make_template(self)
        self._await_http("orchestrator", Site.OUTSIDE, ORCHESTRATOR)
        self._save_state(UP)

    def _make_directories(self, group: int | None) -> None:
        """The environment's directory, nobody else's from its first moment, and those that are always in it.

        ``group``: the one that its processes have where they do not run as we do, and nobody else has. It may pass
        through to what is its processes'; all that is not in their sites is ours alone.
        """
        self.directory.mkdir(0o700)
        if group is not None:
            os.chown(self.directory, -1, group)
            self.directory.chmod(0o2710)
        make_directory(self.directory / "sites", 0o700 if group is None else 0o710)
        make_directory(self.logs)
        for site in (*ROLES, "us-east-1", "image", "orchestrator"):
            self._site_directory(site)

    def _make_image(self) -> None:
        """What the platform bakes into the image that Airflow runs from: its settings."""
        image = self._site_directory("image")
        done = subprocess.run([sys.executable, "-m", "orchestrator.airflow_settings"], capture_output=True, text=True,
                              check=False, **self.process_options(image))
        if done.returncode != 0:
            raise EnvironmentFailed("the platform does not tell its Airflow settings",
                                    hint=done.stderr)
        self.image_settings = json.loads(done.stdout)
        owner = self.ownership.user
        write_private(make_directory(image / "node", owner=owner) / "image.json", done.stdout, owner)
        # One malloc arena: a forked process with many threads would touch one for each of them.
        self._spawn("airflow image", "harness.environments.embedded.node.zygote", "image",
                    environment={"MALLOC_ARENA_MAX": "1"})

    def _start_outside(self) -> None:
        token = self._tokens["control_token"]
        self._spawn("links", "harness.environments.embedded.links", "links", {
            "block": self.block.number, "control_token": token, "log": str(self.link_log)},
            # It lives as long as the environment does, so the addresses are leased and held for as long.
            pass_fds=[self._lease.fd, *self.holds.fds])
        self._spawn("witness", "loadgen.witness", "witness", {
            "host": self.block.service(Site.OUTSIDE, WITNESS), "port": WITNESS.port,
            "token": self._tokens["witness_token"], "log": str(self.witness_log)})
        self._spawn("aws us-east-1", "harness.environments.embedded.aws.server", "us-east-1")
        self._start_meter()
        self._await_port("links", Site.OUTSIDE, LINKS)
        self._await_port("witness", Site.OUTSIDE, WITNESS)

    def _start_meter(self) -> None:
        memory = []
        with contextlib.suppress(OSError):  # a kernel that does not tell
            # Only we may open our own; whoever is given it open may read it.
            memory.append(os.open("/proc/self/smaps_rollup", os.O_RDONLY))
        try:
            self._spawn("meter", "harness.environments.embedded.usage", "meter", {
                "root": str(self.directory), "observer": os.getpid(), "observers_memory": next(iter(memory), None),
                "log": str(self.usage_log)}, pass_fds=memory)
        finally:
            for fd in memory:
                os.close(fd)

    def _start_region(self, role: str) -> None:
        base, hold = "harness.environments.embedded", self.holds.postgres(ROLES[role])
        for name, module in (("kubernetes", "kube.server"), ("aws", "aws.server"),
                             ("node", "node.agent"), ("ingress", "ingress")):
            self._spawn(f"{name} {role}", f"{base}.{module}", role, pass_fds=[hold.fileno()] if name == "aws" else [])

    def _start_dns(self) -> None:
        host, port = self.dns_address()
        self._spawn("dns", "harness.environments.embedded.dns", "dns", {
            "host": host, "port": port,
            "route53_endpoint":
                f"http://{self.block.service(Site.OUTSIDE, GLOBAL_AWS)}:{GLOBAL_AWS.port}",
            "aws_access_key": self._tokens["aws_observer_key"],
            "aws_secret_key": self._tokens["aws_secret_key"]})

    def _start_orchestrator(self, zone: str) -> None:
        own = self.block.service(Site.OUTSIDE, ORCHESTRATOR)
        module, *arguments = os.environ.get(ORCHESTRATOR_MODULE, "").split() or ["orchestrator.server"]
        self._spawn("orchestrator", module, "orchestrator", {
            "host": own, "port": ORCHESTRATOR.port,
            "store": str(self._site_directory("orchestrator") / "orchestrator.sqlite"),
            "organization_id": self.organization_id, "cluster_id": self.cluster_id,
            "cluster_name": self.identifier,
            "primary": self._orchestrator_region("primary"),
            "secondary": self._orchestrator_region("secondary"),
            "global_cluster_id": "metadata",
            "global_aws_endpoint": self.link_url(Caller.ORCHESTRATOR, Site.OUTSIDE, GLOBAL_AWS),
            "hosted_zone_id": zone, "domain": self.domain,
            "aws_access_key": self._tokens["aws_orchestrator_key"],
            "aws_secret_key": self._tokens["aws_secret_key"],
            "workload_aws_access_key": self._tokens["aws_access_key"],
            "workload_aws_secret_key": self._tokens["aws_secret_key"],
            **{name: self._tokens[name] for name in (
                "api_token", "read_token", "admin_token", "agent_token")},
            "task_seconds": self.settings.task_seconds, "rpo_bound": self.settings.rpo_bound,
            "drain_seconds": self.settings.drain,
            "crash_file": str(self.crash_file),
        }, arguments=arguments)

    def _orchestrator_region(self, role: str) -> dict[str, Any]:
        site = ROLES[role]
        return {
            "name": self.region_name(role),
            "aws_endpoint": self.link_url(Caller.ORCHESTRATOR, site, AWS),
            "kubeconfig": str(self.directory / "sites" / "orchestrator" / f"kubeconfig-{role}"),
            "db_cluster_id": self.db_cluster(role), "db_instance_id": f"{self.db_cluster(role)}-1",
            "database_host": self.block.service(site, POSTGRES),
            "ingress_address": self.block.link(Caller.USERS, site, INGRESS),
            "log_bucket": self.bucket(role, "task-logs"),
            "workload_aws_endpoint": self.workload_aws(role)["AWS_ENDPOINT"],
            "workload_env": self.workload_witness(role),
        }

    # -- faults only the environment's maker can cause ------------------------------------------

    def kill_region(self, role: str) -> Mapping[str, Any]:
        """SIGKILL to all processes of a region at once; bytes on its links are lost with it."""
        for name, component in self._components.items():
            component.killed = component.killed or name.endswith(f" {role}")
        killed = removal.kill(self.ownership, self.directory / "sites" / role)
        stay(self.holds.postgres(ROLES[role]))
        self._links({"reset": role})
        reap(c for name, c in self._components.items() if name.endswith(f" {role}"))
        return {"processes_killed": killed, "processes_left": len(self._living(role))}

    def restore_region(self, role: str) -> Mapping[str, Any]:
        """Start a region's parts again on what they left on disk; returns when they serve.

        Raises:
            EnvironmentFailed: when one does not come back.
        """
        self._start_region(role)
        self._await_http(f"aws {role}", ROLES[role], AWS)
        self._await_kubernetes(role)
        return {"processes": len(self._living(role))}

    def api_outage(
        self, site: str, services: Sequence[str], *, seconds: float | None = None
    ) -> Mapping[str, Any]:
        """Have AWS services of a site (``global`` too) answer 503; none: they answer again."""
        if site == "global":
            url = f"http://{self.block.service(Site.OUTSIDE, GLOBAL_AWS)}:{GLOBAL_AWS.port}"
        else:
            url = f"http://{self.block.service(ROLES[site], AWS)}:{AWS.port}"
        answer = self._http.post(f"{url}/_dr/outage", json={"services": list(services), "seconds": seconds},
                                 headers={"x-dr-token": self._tokens["observer_control_token"]})
        return dict(answer.raise_for_status().json())

    def region_alive(self, role: str) -> bool:
        """Whether any process of the region runs."""
        return bool(self._living(role))

    def set_link(self, source: str, target: str, **quality: float | bool | None) -> Mapping[str, Any]:
        """Set one direction's quality (``cut``, ``delay`` in s, ``rate`` in bytes/s); none: mend."""
        return self._links({"set": f"{source}->{target}", **quality})

    def replication_lag(self, role: str) -> Mapping[str, Any]:
        """The writer's view of its standby, when ``role`` is the writer's."""
        try:
            return self._ask_region(role, "rds/replication")
        except (httpx.HTTPError, ValueError) as error:
            return {"state": f"unknown: {error!r}", "lag_bytes": None, "lag_s": None}

    def pending_objects(self, role: str) -> Mapping[str, Any]:
        """S3 replication metrics of a region."""
        try:
            return self._ask_region(role, "s3/replication")
        except (httpx.HTTPError, ValueError):
            return {"OperationsPendingReplication": None, "BytesPendingReplication": None}

    def _ask_region(self, role: str, path: str) -> dict[str, Any]:
        url = f"http://{self.block.service(ROLES[role], AWS)}:{AWS.port}/_dr/{path}"
        answer = self._http.get(url, headers={"x-dr-token": self._tokens["observer_control_token"]})
        return dict(answer.raise_for_status().json())

    # -- down -----------------------------------------------------------------------------

    def down(self) -> None:
        """Stop and remove everything. Safe to call at any time, and again."""
        try:
            if self._ownership is not None:
                removal.remove(self._ownership)
                self._lock.remove()
        finally:
            reap(self._components.values())
            self._components.clear()
            self._lease.release()
            if self._holds is not None:
                self._holds.close()

    # -- inner works ------------------------------------------------------------------------

    @property
    def _image_socket(self) -> Path:
        return self.directory / "sites" / "image" / "image.sock"

    def _living(self, role: str) -> set[int]:
        return self.ownership.processes(self.directory / "sites" / role)

    def _links(self, message: dict[str, Any]) -> dict[str, Any]:
        client = LinesClient(self.block.service(Site.OUTSIDE, LINKS), LINKS.port,
                             self._tokens["control_token"])
        try:
            return dict(client.ask(message))
        finally:
            client.close()

    def _site_config(self, role: str) -> SiteConfig:
        site = ROLES.get(role, Site.OUTSIDE)
        return SiteConfig(
            environment=self.identifier, directory=str(self._site_directory(role)),
            block=self.block.number, site=site.value,
            region=self.region_name(role) if role in ROLES else "us-east-1",
            cluster_id=self.cluster_id, kube_token=self._tokens.get(f"kube_token_{role}", ""),
            control_token=self._tokens["control_token"],
            aws_access_key=self._tokens["aws_access_key"],
            aws_secret_key=self._tokens["aws_secret_key"],
            kube_orchestrator_token=self._tokens.get(f"kube_orchestrator_token_{role}", ""),
            kube_observer_token=self._tokens.get(f"kube_observer_token_{role}", ""),
            observer_control_token=self._tokens["observer_control_token"],
            aws_orchestrator_key=self._tokens["aws_orchestrator_key"],
            aws_observer_key=self._tokens["aws_observer_key"],
            postgres_password=self._tokens["warm_password" if role == "image" else "postgres_password"],
            replication_password=self._tokens["replication_password"],
            image_socket=str(self._image_socket),
            simulated_head_delay=self.settings.head_delay,
            postgres_hold=self._holds.postgres(site).fileno() if self._holds and role in ROLES else None,
        )

    def _save_state(self, state: str) -> None:
        EnvironmentState(
            self.identifier, state, block=self.block.number, owner=os.getpid(),
            owner_started=process_start(os.getpid()), since=time.time(),
            run=self.run.resolve() if self.run else None, settings=asdict(self.settings),
        ).save(self.directory)
