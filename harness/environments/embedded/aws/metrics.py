"""CloudWatch metrics of a region's database and buckets, under the names that AWS gives them."""

from __future__ import annotations

import threading
import time
from typing import Any

from moto.cloudwatch.models import CloudWatchBackend, cloudwatch_backends
from moto.core import DEFAULT_ACCOUNT_ID

from harness.environments.embedded.aws.global_cluster import GlobalCluster
from harness.environments.embedded.aws.replication import Replicator

EVERY_S = 2.0
KEPT = 600
"""Data points kept, over all metrics: what is older is of no use to a drill."""


def publish(region: str, global_cluster: GlobalCluster, replicator: Replicator) -> None:
    """Publish for ever, from a thread of its own."""

    def run() -> None:
        backend = cloudwatch_backends[DEFAULT_ACCOUNT_ID][region]
        while True:
            _publish_once(backend, global_cluster, replicator)
            time.sleep(EVERY_S)

    threading.Thread(target=run, name="metrics", daemon=True).start()


def _publish_once(backend: CloudWatchBackend, global_cluster: GlobalCluster, replicator: Replicator) -> None:
    cluster = global_cluster.state.clusters.get(global_cluster.region)
    if cluster:
        lag = global_cluster.lag_s()
        points = {} if lag is None else {"AuroraGlobalDBReplicationLag": 1000 * lag,
                                         "AuroraGlobalDBRPOLag": 1000 * lag}
        _put(backend, "AWS/RDS", {"DBClusterIdentifier": cluster}, points)
    copied = replicator.metrics()
    _put(backend, "AWS/S3", {"RuleId": "dr"}, {
        name: float(copied[name]) for name in (
            "BytesPendingReplication", "OperationsPendingReplication", "OperationsFailedReplication",
            "ReplicationLatency") if copied.get(name) is not None})
    del backend.metric_data[:-KEPT]


def _put(backend: CloudWatchBackend, namespace: str, dimensions: dict[str, str],
         points: dict[str, float]) -> None:
    if points:
        data: list[dict[str, Any]] = [
            {"MetricName": name, "Value": value, "Unit": "None", "Dimensions": [
                {"Name": k, "Value": v} for k, v in dimensions.items()]}
            for name, value in points.items()]
        backend.put_metric_data(namespace, data)
