"""Locust users that keep the asked number of task instances running.

One user a Deployment, over as many Locust workers as the drill was told to use. Every few seconds it
asks its Deployment, through its hostname and with the official Airflow client, how many task instances
run or are about to, and triggers as many Dag runs as are missing. Users stop sending while the system
hangs (they are a closed loop), so nothing is measured through them; but each Dag run whose creation
was acknowledged is told to the witness, later if it has to be.

Configuration comes from the file named by ``DR_DRILL_LOAD`` (see ``loadgen.load``).
"""

from __future__ import annotations

import functools
import gc
import itertools
import json
import os
import random
import socket
import time
from pathlib import Path
from typing import Any

import dns.resolver
import gevent
from airflow_client import client as airflow
from airflow_client.client.api import DagRunApi, DagStatsApi
from airflow_client.client.rest import ApiException
from locust import User, constant_pacing, events, task
from locust.rpc import zmqrpc
from urllib3.exceptions import HTTPError

from loadgen.locked import lock
from loadgen.shapes import BY_DAG, SHAPES, Shape
from loadgen.wire.dns_cache import NameCache
from loadgen.witness import WitnessClient

CONFIG: dict[str, Any] = json.loads(Path(os.environ["DR_DRILL_LOAD"]).read_text())
if CONFIG.get("master_key"):
    lock(zmqrpc, CONFIG["master_key"], Path(os.environ["DR_DRILL_LOAD"]).parent)  # before Locust makes a socket
PACE_S = max(3.0, len(CONFIG["deployments"]) / 3)
"""Seconds between two looks of a user: at most some three requests a second over the whole fleet."""
HEADROOM = 1.25
"""Aim above the asked number: a Dag run counts until the last of its tasks has ended, and new ones take
seconds to start."""
RUNS_AT_ONCE = 2
"""Dag runs a user triggers in one go."""
REQUEST_TIMEOUT = (2.0, 5.0)
TOLD_WITHIN_S = 3.0
"""How long the end of the load waits for the witness."""
_numbers = itertools.count()
_resolver = dns.resolver.Resolver(configure=False)
_resolver.nameservers, _resolver.port = [CONFIG["dns"][0]], CONFIG["dns"][1]
_resolver.lifetime = 2.0
_names = NameCache()
NAMES_OVER_TCP = "DR_DRILL_NAMES_OVER_TCP" in os.environ
"""Set on another host, where names are asked for through SSH (see ``loadgen.worker``)."""


@functools.cache
def witness() -> WitnessClient:
    """The witness's client of all users of this process; its unsent records lie beside the configuration."""
    host, port, token = CONFIG["witness"]
    made = WitnessClient(host, port, token, Path(os.environ["DR_DRILL_LOAD"]).parent / "spool")
    events.quit.add_listener(lambda **_: made.close(TOLD_WITHIN_S))  # when no user is left
    return made


class DeploymentUser(User):
    """Keeps one Deployment busy."""

    wait_time = constant_pacing(PACE_S)

    def on_start(self) -> None:
        """Take the next Deployment."""
        deployments = CONFIG["deployments"]
        # Which of the workers this is, counted from 0 (a single process has no index).
        worker = max(0, getattr(self.environment.runner, "worker_index", 0))
        number = worker + next(_numbers) * CONFIG["workers"]
        self.deployment: Any = deployments[number] if number < len(deployments) else None
        if self.deployment is None:
            return
        self.share = HEADROOM * CONFIG["concurrent_tasks"] / len(deployments)
        self.address = ""
        self.client: airflow.ApiClient | None = None
        self.chance = random.Random(f"{CONFIG['seed']}/{self.deployment['name']}")
        self.fitting = [shape for shape in SHAPES if shape.width <= 2 * self.share] or [SHAPES[2]]
        self.next = self._choose()
        gevent.sleep(self.chance.uniform(0, PACE_S))

    @task
    def keep_busy(self) -> None:
        """Look how much is missing, and start that much."""
        if self.deployment is None:
            return  # there are more users than Deployments: workers have equal numbers of users
        try:
            api = self._api()
            missing = self.share - self._measured("count", lambda: self._live(api))
            for _ in range(RUNS_AT_ONCE):
                shape = self.next
                # Half of it missing: then what runs is around the share, not always below it.
                if missing < shape.width / 2:
                    break
                self._measured("trigger", lambda dag=shape.dag_id: self._trigger(api, dag))
                missing -= shape.width
                self.next = self._choose()
        except (ApiException, HTTPError, OSError, dns.exception.DNSException):
            self.client = None

    def _choose(self) -> Shape:
        """Which shape comes next: drawn once, so that the mix does not depend on what fits first."""
        return self.chance.choices(self.fitting, [shape.weight for shape in self.fitting])[0]

    def _live(self, api: airflow.ApiClient) -> int:
        """Task instances of Dag runs that have not ended, at most.

        Runs are counted, not task instances: after a failover hundreds of these are reset and have no
        state that a pool would show, and if users replaced them the load would double just then.
        """
        stats = DagStatsApi(api).get_dag_stats(_request_timeout=REQUEST_TIMEOUT)
        return sum(int(state.count) * BY_DAG[dag.dag_id].width
                   for dag in stats.dags if dag.dag_id in BY_DAG
                   for state in dag.stats if state.state in ("queued", "running"))

    def _trigger(self, api: airflow.ApiClient, dag_id: str) -> None:
        answer = DagRunApi(api).trigger_dag_run(
            dag_id, airflow.TriggerDAGRunPostBody(logical_date=None),
            _request_timeout=REQUEST_TIMEOUT)
        witness().tell(e="ack", s="airflow", k="dagrun", d=self.deployment["name"],
                       r=CONFIG["regions"].get(self.address, ""), dag=dag_id, run=answer.dag_run_id)

    def _api(self) -> airflow.ApiClient:
        """A client for where the hostname points now."""
        hostname = self.deployment["hostname"]
        address = _names.address(hostname)
        if address is None:
            answer = _resolver.resolve(_names.to_ask(hostname), "A", tcp=NAMES_OVER_TCP)
            address = _names.learn(hostname, answer)
        if address != self.address:
            self.address, self.client = address, None
        if self.client is None:
            configuration = airflow.Configuration(
                host=f"http://{self.address}:{CONFIG['port']}", access_token=self._login())
            configuration.retries = False
            configuration.proxy = None  # it would take the shell's, and give it the token
            self.client = airflow.ApiClient(configuration)
            self.client.set_default_header("Host", self.deployment["hostname"])
        return self.client

    def _login(self) -> str:
        from urllib3 import PoolManager

        answer = PoolManager(retries=False).request(
            "POST", f"http://{self.address}:{CONFIG['port']}/auth/token",
            headers={"Host": self.deployment["hostname"], "Content-Type": "application/json"},
            body=json.dumps({"username": "admin", "password": self.deployment["password"]}),
            timeout=5.0)
        if answer.status != 201:
            raise ApiException(status=answer.status, reason="login refused")
        return str(answer.json()["access_token"])

    def _measured(self, name: str, call: Any) -> Any:
        """Report a call to Locust's own statistics."""
        began = time.perf_counter()
        failed: Exception | None = None
        try:
            return call()
        except Exception as error:
            failed = error
            raise
        finally:
            events.request.fire(
                request_type="airflow", name=name, response_length=0, exception=failed,
                response_time=(time.perf_counter() - began) * 1000)


socket.setdefaulttimeout(10)
gc.freeze()  # what is imported is never garbage: collections need not walk through it
