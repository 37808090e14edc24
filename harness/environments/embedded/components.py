"""The processes that an embedded environment is made of: started, watched over, waited for."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
from kubernetes import client as kubernetes_client
from urllib3.exceptions import HTTPError

from harness.environments.base import EnvironmentFailed
from harness.environments.embedded.access import PairAccess
from harness.environments.embedded.addresses import Service, Site
from harness.environments.embedded.layout import ROLES, PairSettings
from harness.environments.embedded.node.agent import WARM_CONDITION
from harness.environments.embedded.ownership import Ownership
from harness.environments.embedded.private import make_directory, read_private, write_atomically, write_private
from harness.environments.embedded.processes import Component, last_lines, process_options, spawn
from loadgen.wire.http import http_client

READY_TIMEOUT = 90.0
"""Importing Airflow is the slowest start; on a busy machine it takes half a minute."""


class PairComponents(PairAccess):
    """The components of one environment, by name (``aws primary``)."""

    def __init__(self, identifier: str, settings: PairSettings) -> None:
        """Nothing runs yet."""
        super().__init__(identifier, settings)
        self._components: dict[str, Component] = {}
        self._ownership: Ownership | None = None
        self._reviving = threading.Lock()
        self._crashes = 0
        """Deaths at armed points after which the orchestrator was started again."""
        self._http = http_client(timeout=3, verify=False)  # plain HTTP: no TLS context is needed

    @property
    def ownership(self) -> Ownership:
        """What proves that a process is the environment's."""
        if self._ownership is None:
            raise EnvironmentFailed("the environment is not up")
        return self._ownership

    def process_options(self, directory: Path) -> dict[str, Any]:
        """How a process is started that observes it, or puts load on it, from ``directory``."""
        return process_options(make_directory(directory, owner=self.ownership.user), self.ownership)

    def check(self) -> None:
        """Raise EnvironmentFailed when a component has died that nobody killed on purpose."""
        self._revive_orchestrator()
        for component in self._components.values():
            component.check()

    def restart(self, name: str) -> None:
        """Kill one component (``orchestrator``, say) with SIGKILL and start it again as it was."""
        component = self._components[name]
        component.killed = True
        component.process.kill()
        component.process.wait()
        self._components[name] = component.again()

    def arm_orchestrator(self, points: Sequence[str]) -> Mapping[str, Any]:
        """Have the orchestrator die once at each of these points; it is started again each time."""
        supervised = self.crash_file.exists()
        write_atomically(self.crash_file, "\n".join(points), self.ownership.user)
        if not supervised:
            threading.Thread(target=self._supervise, name="supervisor", daemon=True).start()
        return {"armed": list(points)}

    def _revive_orchestrator(self) -> None:
        """Start it again after it died of an armed point, as a supervisor would; of nothing else."""
        with self._reviving:
            orchestrator = self._components.get("orchestrator")
            if orchestrator is not None and orchestrator.process.poll() is not None and (
                    len(self.orchestrator_crashes()) > self._crashes):
                self._crashes += 1
                self._components["orchestrator"] = orchestrator.again()

    def _supervise(self) -> None:
        while self.crash_file.exists():
            self._revive_orchestrator()
            time.sleep(0.2)

    def orchestrator_crashes(self) -> Sequence[str]:
        """The points at which it has died."""
        note = self.crash_file.with_suffix(".hit")
        return [line.split()[1] for line in read_private(note).splitlines()] if note.exists() else []

    def _spawn(
        self, name: str, module: str, site: str, config: dict[str, Any] | None = None,
        environment: Mapping[str, str] | None = None, pass_fds: Sequence[int] = (), arguments: Sequence[str] = (),
    ) -> None:
        directory = self._site_directory(site)
        path = directory / "site.json"
        if config is not None:
            path = directory / "config.json"
            write_private(path, json.dumps(config, indent=1), self.ownership.user)
        self._components[name] = spawn(
            name, module, ownership=self.ownership, directory=directory, log=self.log_of(name),
            arguments=[str(path), *arguments], environment=environment, pass_fds=pass_fds)

    def log_of(self, name: str) -> Path:
        """Where a component's output goes."""
        return self.logs / f"{name.replace(' ', '-')}.log"

    def _site_directory(self, site: str) -> Path:
        """A site's own directory, made if it is not there."""
        owner = self.ownership.user
        # PostgreSQL, which does not run as root even if all else does, has to pass through where it runs.
        passable = os.geteuid() == 0 and owner is None and site in (*ROLES, "image")
        return make_directory(self.directory / "sites" / site, 0o710 if passable else 0o700, owner)

    # -- waiting --------------------------------------------------------------------------

    def wait_for(self, name: str, condition: Callable[[], bool], log: Path,
               timeout: float = READY_TIMEOUT) -> None:
        """Wait for a part to be ready, watching over the others.

        Raises:
            EnvironmentFailed: when it is not within ``timeout`` seconds, or another part dies.
        """
        deadline = time.monotonic() + timeout
        while not condition():
            self.check()
            if time.monotonic() > deadline:
                raise EnvironmentFailed(f"{name} was not ready within {timeout:.0f} s", log=log,
                                        hint=last_lines(log))
            time.sleep(0.05)

    def _await_port(self, name: str, site: Site, service: Service) -> None:
        def open_() -> bool:
            with socket.socket() as probe:
                probe.settimeout(0.5)
                return probe.connect_ex((self.block.service(site, service), service.port)) == 0

        self.wait_for(name, open_, self.log_of(name))

    def _await_http(self, name: str, site: Site, service: Service) -> None:
        url = f"http://{self.block.service(site, service)}:{service.port}/healthz"

        def answers() -> bool:
            try:
                return self._http.get(url, timeout=1).status_code == 200
            except httpx.HTTPError:
                return False

        self.wait_for(name, answers, self.log_of(name))

    def _await_kubernetes(self, role: str) -> None:
        core = kubernetes_client.CoreV1Api(self.kubernetes(role))

        def node_warm() -> bool:
            try:
                nodes = core.list_node(_request_timeout=1).items
            except (kubernetes_client.ApiException, HTTPError, OSError):
                return False
            return any(c.type == WARM_CONDITION and c.status == "True"
                       for node in nodes for c in node.status.conditions or [])

        self.wait_for(f"node {role}", node_warm, self.log_of("airflow image"))
