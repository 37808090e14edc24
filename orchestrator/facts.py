"""What a region's own agent sees of its database and its buckets, through the region's own AWS APIs.

The agent tells the control plane, which therefore never has to ask a region for it (XR-10).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from pydantic import BaseModel

from loadgen.wire.aws import aws_client

WINDOW_S = 30.0
"""A lag that nobody has measured for so long is not known."""


class DatabaseFacts(BaseModel):
    """The global database as this region sees it."""

    writer: bool
    connected: bool
    """Whether the secondary (this region's, or the one of this writer) is in contact."""
    lag_s: float | None = None
    """How far the secondary is behind; None when it is not known."""


class StorageFacts(BaseModel):
    """Replication of this region's buckets to the other region."""

    pending_operations: int
    pending_bytes: int
    oldest_s: float


class RegionFacts(BaseModel):
    """What one look found; what could not be read is None."""

    database: DatabaseFacts | None = None
    storage: StorageFacts | None = None


@dataclass(frozen=True)
class Sources:
    """Where the facts are."""

    region: str
    endpoint: str
    access_key: str
    secret_key: str
    global_cluster: str
    db_cluster: str

    def client(self, service: Any, endpoint: str | None = None) -> Any:
        """A boto3 client of the region's own endpoint, or of another one (IAM's lives elsewhere)."""
        return aws_client(service, endpoint=endpoint or self.endpoint, region=self.region,
                          access_key=self.access_key, secret_key=self.secret_key, connect=2, read=4)


class FactFinder:
    """Looks."""

    def __init__(self, sources: Sources) -> None:
        """Make the clients; they connect when they look."""
        self._sources = sources
        self._rds, self._watch = sources.client("rds"), sources.client("cloudwatch")

    def look(self) -> RegionFacts:
        """One look."""
        return RegionFacts(database=_quietly(self._database), storage=_quietly(self._storage))

    def _database(self) -> DatabaseFacts | None:
        found = self._rds.describe_global_clusters(
            GlobalClusterIdentifier=self._sources.global_cluster)["GlobalClusters"]
        members = found[0]["GlobalClusterMembers"] if found else []
        writer = any(m["IsWriter"] and m["DBClusterArn"].endswith(f":{self._sources.db_cluster}")
                     for m in members)
        others = [m for m in members if not m["IsWriter"]]
        lag = self._latest("AWS/RDS", "AuroraGlobalDBReplicationLag",
                           "DBClusterIdentifier", self._sources.db_cluster)
        return DatabaseFacts(
            writer=writer, lag_s=None if lag is None else lag / 1000,
            connected=bool(others) and all(m["SynchronizationStatus"] == "connected" for m in others))

    def _storage(self) -> StorageFacts | None:
        found = [self._latest("AWS/S3", name, "RuleId", "dr") for name in (
            "OperationsPendingReplication", "BytesPendingReplication", "ReplicationLatency")]
        if any(value is None for value in found):
            return None
        operations, size, oldest = (float(value or 0) for value in found)
        return StorageFacts(pending_operations=int(operations), pending_bytes=int(size), oldest_s=oldest)

    def _latest(self, namespace: str, metric: str, dimension: str, value: str) -> float | None:
        now = datetime.now(UTC)
        points = self._watch.get_metric_statistics(
            Namespace=namespace, MetricName=metric, Period=1, Statistics=["Maximum"],
            Dimensions=[{"Name": dimension, "Value": value}],
            StartTime=now - timedelta(seconds=WINDOW_S), EndTime=now + timedelta(seconds=1))["Datapoints"]
        latest = max(points, key=lambda p: p["Timestamp"], default=None)
        return None if latest is None else float(latest["Maximum"])


def _quietly(look: Callable[[], Any]) -> Any:
    """A look that finds nobody is a gap in the report, not the end of it."""
    try:
        return look()
    except (BotoCoreError, ClientError, OSError):
        return None
