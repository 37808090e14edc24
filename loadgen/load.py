"""Starts and stops a drill's load: the Locust users, and the ledger writers in both regions."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from kubernetes import client as kubernetes_client

NAMESPACE = "dr-drill"
WORKERS_MOST = 64
USERS_A_SECOND = "2"
"""Locust's ramp: every Deployment's first tasks at the same moment would only queue for the CPU."""


@dataclass(frozen=True)
class Workers:
    """Locust workers beside the master (Locust's distributed mode); none: one process does it all."""

    here: int = 0
    elsewhere: int = 0
    """Those that people start on other hosts (``drill worker``); the load waits for them."""

    @classmethod
    def parse(cls, text: str) -> Workers:
        """``"2"`` or ``"2+3"``: two here and three on other hosts.

        Raises:
            ValueError: for anything else.
        """
        parts = re.fullmatch(r"([0-9]{1,3})(?:\+([0-9]{1,3}))?", text)
        found = None if parts is None else cls(int(parts[1]), int(parts[2] or "0"))
        if found is None or found.count > WORKERS_MOST:
            raise ValueError(f"from 0 to {WORKERS_MOST} workers, not {text}")
        return found

    @property
    def count(self) -> int:
        """All of them."""
        return self.here + self.elsewhere


NO_WORKERS = Workers()


@dataclass
class LocustUsers:
    """The Locust processes of a drill.

    ``directory``: where they work; ``options``: how else they are started (``subprocess.Popen``): as whom, with which
    environment block (the caller's if it does not say).
    """

    directory: Path
    log: Path
    workers: Workers = NO_WORKERS
    options: Mapping[str, Any] = field(default_factory=dict)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def config(self) -> Path:
        """Where the users' configuration is."""
        return self.directory / "load.json"

    def start(self, config: Mapping[str, Any]) -> None:
        """Start one user a Deployment (``config``: see ``loadgen.locustfile``)."""
        self.directory.mkdir(0o700, parents=True, exist_ok=True)
        path = self.config
        # Whole from the moment it is there: a worker elsewhere may be waiting for it.
        new = path.with_suffix(".new")
        with create(new, self._owner) as sink:
            json.dump({**config, "workers": max(1, self.workers.count), "master_key": self._master_key()}, sink)
        os.replace(new, path)
        # Every worker gets as many users as the largest share; those without a Deployment idle.
        parts = max(1, self.workers.count)
        users = str(parts * -(-len(config["deployments"]) // parts))
        host, port = config["master"]
        headless = ["--headless", "-u", users, "-r", USERS_A_SECOND, "--only-summary"]
        if not self.workers.count:
            self._start(path, headless)
            return
        self._start(path, [*headless, "--master", "--master-bind-host", host,
                           "--master-bind-port", str(port), "--expect-workers", str(self.workers.count)])
        for _ in range(self.workers.here):
            self._start(path, ["--worker", "--master-host", host, "--master-port", str(port)])

    def _master_key(self) -> str | None:
        """The key by which workers know their master, and it them; None without workers: then nobody listens."""
        if not self.workers.count:
            return None
        from loadgen.locked import SECRET, make_keys  # ZeroMQ is needed with workers only

        public, secret = make_keys()
        with create(self.directory / SECRET, self._owner) as sink:
            sink.write(secret)
        return public

    @property
    def _owner(self) -> tuple[int, int]:
        """User and group of the processes; -1: those that we have."""
        return self.options.get("user", -1), self.options.get("group", -1)

    def _start(self, config: Path, arguments: Sequence[str]) -> None:
        with self.log.open("ab") as sink:
            self.processes.append(subprocess.Popen(
                [sys.executable, "-m", "locust", "-f",
                 str(Path(__file__).with_name("locustfile.py")), *arguments, "--loglevel", "WARNING"],
                stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT, start_new_session=True,
                **{"umask": 0o077, **self.options, "cwd": self.directory,
                   "env": {**self.options.get("env", os.environ), "DR_DRILL_LOAD": str(config)}}))

    def ended(self) -> int | None:
        """The exit status of one that has ended by itself, otherwise None."""
        return next((code for p in self.processes if (code := p.poll()) is not None), None)

    def stop(self) -> None:
        """Stop the users."""
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)


def create(path: Path, owner: tuple[int, int]) -> TextIO:
    """A new private file (mode 0600) of ``owner`` (user and group), open for writing.

    The directory may be another user's than ours: nothing that stands there already is opened.
    """
    path.unlink(missing_ok=True)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    os.fchown(fd, *owner)
    return os.fdopen(fd, "w")


def apply_ledger(
    api: kubernetes_client.ApiClient, *, region: str, database_host: str, database_password: str,
    aws: Mapping[str, str], witness: Mapping[str, str], rows_per_second: float, row_bytes: int,
) -> None:
    """Put a region's ledger writers, and what pushes its images, there.

    ``aws`` and ``witness``: the environment variables with which a pod reaches the one and the other.
    """
    core, apps = kubernetes_client.CoreV1Api(api), kubernetes_client.AppsV1Api(api)
    core.create_namespace({"metadata": {"name": NAMESPACE}})
    core.create_namespaced_secret(NAMESPACE, {
        "metadata": {"name": "ledger"}, "stringData": {
            "ADMIN_HOST": database_host, "ADMIN_PASSWORD": database_password,
            "DR_DRILL_REGION": region, "LEDGER_ROWS_PER_SECOND": str(rows_per_second),
            "LEDGER_ROW_BYTES": str(row_bytes), **aws, **witness}})
    apps.create_namespaced_deployment(NAMESPACE, {
        "metadata": {"name": "ledger"}, "spec": {
            "replicas": 1, "selector": {"matchLabels": {"app": "ledger"}},
            "template": {"metadata": {"labels": {"app": "ledger"}}, "spec": {"containers": [{
                "name": "ledger", "image": "dr-drill/ledger:1",
                "command": ["python", "-m", "loadgen.ledger"],
                "envFrom": [{"secretRef": {"name": "ledger"}}]}]}}}})
