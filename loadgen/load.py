"""Starts and stops a drill's load: the Locust users, and the ledger writers in both regions."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubernetes import client as kubernetes_client

NAMESPACE = "dr-drill"
USERS_A_SECOND = "2"
"""Locust's ramp: every Deployment's first tasks at the same moment would only queue for the CPU."""


@dataclass
class LocustUsers:
    """The Locust process of a drill. Its directory is its mark of ownership."""

    directory: Path
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self, config: Mapping[str, Any]) -> None:
        """Start one user a Deployment (``config``: see ``loadgen.locustfile``)."""
        self.directory.mkdir(parents=True, exist_ok=True)
        path = self.directory / "load.json"
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(fd, "w") as sink:
            json.dump(config, sink)
        users = str(len(config["deployments"]))
        with self.log.open("ab") as sink:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "locust", "-f",
                 str(Path(__file__).with_name("locustfile.py")), "--headless", "-u", users,
                 "-r", USERS_A_SECOND, "--only-summary", "--loglevel", "WARNING"],
                cwd=self.directory, stdin=subprocess.DEVNULL, stdout=sink,
                stderr=subprocess.STDOUT, start_new_session=True,
                env={**os.environ, "DR_DRILL_LOAD": str(path)},
            )

    def ended(self) -> int | None:
        """The exit status when it has ended by itself, otherwise None."""
        return None if self.process is None else self.process.poll()

    def stop(self) -> None:
        """Stop the users."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(5)


def apply_ledger(
    api: kubernetes_client.ApiClient, *, region: str, database_host: str, database_password: str,
    witness: Mapping[str, str], rows_per_second: float, row_bytes: int,
) -> None:
    """Put the ledger writers of a region there."""
    core, apps = kubernetes_client.CoreV1Api(api), kubernetes_client.AppsV1Api(api)
    core.create_namespace({"metadata": {"name": NAMESPACE}})
    core.create_namespaced_secret(NAMESPACE, {
        "metadata": {"name": "ledger"}, "stringData": {
            "ADMIN_HOST": database_host, "ADMIN_PASSWORD": database_password,
            "DR_DRILL_REGION": region, "LEDGER_ROWS_PER_SECOND": str(rows_per_second),
            "LEDGER_ROW_BYTES": str(row_bytes), **witness}})
    apps.create_namespaced_deployment(NAMESPACE, {
        "metadata": {"name": "ledger"}, "spec": {
            "replicas": 1, "selector": {"matchLabels": {"app": "ledger"}},
            "template": {"metadata": {"labels": {"app": "ledger"}}, "spec": {"containers": [{
                "name": "ledger", "image": "dr-drill/ledger:1",
                "command": ["python", "-m", "loadgen.ledger"],
                "envFrom": [{"secretRef": {"name": "ledger"}}]}]}}}})
