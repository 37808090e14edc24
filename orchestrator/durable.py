"""What every durable workflow here is made of: its context, its steps' clock, retries and waits.

A step is a DBOS step: checkpointed once it has ended, run again after a crash in it, retried with
backoff when a call got no answer. So each must be idempotent: it looks before it acts.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any

import structlog
from botocore.exceptions import BotoCoreError, ClientError
from kubernetes.client import ApiException
from urllib3.exceptions import HTTPError

from orchestrator.config import OrchestratorConfig
from orchestrator.regions import GlobalServices, Region
from orchestrator.store import Cluster, Deployment, FailoverRequest, Store

log = structlog.get_logger()
POLL_S = 0.1
UNREACHABLE = (BotoCoreError, ClientError, ApiException, HTTPError, OSError)
"""What a call to a region raises when it is not there, or says no."""


class StepFailed(Exception):
    """A step did not reach its goal by its deadline; the message says what to do."""


def worth_retrying(error: BaseException) -> bool:
    """A lost answer is worth another try; a deadline that has passed is not."""
    return not isinstance(error, StepFailed)


RETRY: dict[str, Any] = {"retries_allowed": True, "max_attempts": 8, "interval_seconds": 0.5,
                         "backoff_rate": 1.7, "should_retry": worth_retrying}


class Context:
    """What the steps work with. Set once, at start: DBOS runs plain functions."""

    config: OrchestratorConfig
    store: Store
    regions: dict[str, Region]
    services: GlobalServices

    @classmethod
    def set(cls, config: OrchestratorConfig, store: Store) -> None:
        """Build the adapters."""
        cls.config, cls.store = config, store
        cls.regions = {name: Region(config, r) for name, r in config.regions.items()}
        cls.services = GlobalServices(config)


class Step:
    """Times a step for the API and keeps its error; passes the crash points before and after it."""

    def __init__(self, request: str, name: str) -> None:
        self._request, self._name = request, name

    def __enter__(self) -> None:
        crash_point(f"{self._name}:before")
        Context.store.step_started(self._request, self._name)
        log.info("step begins", request=self._request, step=self._name)

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        Context.store.step_ended(self._request, self._name, str(error) if error else None)
        log.info("step ended", request=self._request, step=self._name,
                 error=str(error) if error else None)
        if error is None:
            crash_point(f"{self._name}:after")


def crash_point(name: str) -> None:
    """Die here by SIGKILL when the drill has armed this point: no ``finally``, no flush, no goodbye.

    Points are armed by their names in the configured ``crash_file``, a line each, for one time: the line
    goes first.
    """
    path = Context.config.crash_file
    if path is None or not path.exists():
        return
    points = path.read_text().split()
    if name in points:
        points.remove(name)
        path.write_text("\n".join(points))
        with path.with_suffix(".hit").open("a") as sink:
            sink.write(f"{time.time()} {name}\n")
        os.kill(os.getpid(), signal.SIGKILL)


def until(
    condition: Callable[[], bool], deadline: float, why: str | Callable[[], str], poll: float = POLL_S
) -> None:
    """Poll until the condition holds.

    Raises:
        StepFailed: when it does not by the deadline (seconds).
    """
    end = time.monotonic() + deadline
    while not condition():
        if time.monotonic() > end:
            raise StepFailed(why if isinstance(why, str) else why())
        time.sleep(poll)


def the_cluster() -> Cluster:
    """The one cluster record."""
    cluster = Context.store.get(Cluster, Context.config.cluster_id)
    assert cluster is not None
    return cluster


def the_deployment(deployment_id: str) -> Deployment:
    """A Deployment's record."""
    deployment = Context.store.get(Deployment, deployment_id)
    assert deployment is not None
    return deployment


def the_request(request_id: str) -> FailoverRequest:
    """A failover request's record."""
    request = Context.store.get(FailoverRequest, request_id)
    assert request is not None
    return request
