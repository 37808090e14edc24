"""Replication: whether commits wait for a standby that is too far behind, and whether it runs the other way round."""

from __future__ import annotations

from botocore.exceptions import BotoCoreError, ClientError
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from harness.engine.checks.registry import Check, Moment, Seen, Subject
from harness.engine.checks.standby import runs_no_airflow
from harness.environments.base import other_role


def commits_wait(subject: Subject) -> Seen:
    """The writer's commits wait for a standby that is too far behind (XR-03)."""
    lag = dict(subject.environment.replication_lag(subject.active))
    return bool(lag.get("commits_wait")), f"replication: {lag}"


def reversed_direction(subject: Subject) -> Seen | None:
    """The region that took over streams to the one that was left (XR-14); None where the primary is active."""
    if subject.active == "primary":
        return None
    lag = dict(subject.environment.replication_lag(subject.active))
    return (lag.get("state") == "streaming",
            f"{subject.environment.region_name(subject.active)} to the other region: {lag}")


def follows(subject: Subject) -> bool:
    """Whether the other region replicates from the active one, headless, and runs no Airflow."""
    environment, active = subject.environment, subject.active
    other = other_role(active)
    lag = dict(environment.replication_lag(active))
    behind = lag.get("lag_bytes")
    if lag.get("state") != "streaming" or behind is None or behind > 1024 * 1024:
        return False
    if subject.fleet.orchestrator.cluster().raw["healthStatus"]["value"] != "HEALTHY":
        return False
    if any(environment.pending_objects(role)["OperationsPendingReplication"] != 0
           for role in (active, other)):
        return False
    try:
        # The orchestrator's clean-up removes the follower's compute; until it has, the follower
        # is about to be restarted.
        if environment.aws(other, "rds").describe_db_instances()["DBInstances"]:
            return False
        return runs_no_airflow(subject, other)[0]
    except (BotoCoreError, ClientError, ApiException, HTTPError):
        return False  # a region that comes back answers part by part


CHECKS = (
    Check("commits-wait", (Moment.EXPECTED,), commits_wait, ("XR-03",)),
    Check("reverse-replication", (Moment.HEALED,), reversed_direction, ("XR-14",)),
)
