"""Prometheus metrics of both regions, from what their agents report (XR-16).

The secondary's series carry the cluster's id with the suffix ``-dr``; every regional series names its
``cloud_region``.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from orchestrator import health
from orchestrator.config import OrchestratorConfig
from orchestrator.store import Cluster, FailoverRequest, Report, Store

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
REGIONAL = {
    "dr_region_report_age_seconds": "Since the region's agent last reported.",
    "dr_region_active": "1 where Airflow is to run.",
    "dr_region_generation": "The desired state that the region has applied.",
    "dr_region_airflow_pods": "Airflow pods that run in the region.",
    "dr_region_drift": "Objects that the agent had to put right in its last pass.",
    "dr_region_database_writer": "1 where the global database's writer is.",
    "dr_region_database_connected": "1 while the secondary database is in contact with its writer.",
    "dr_region_database_lag_seconds": "How far the secondary database is behind.",
    "dr_region_storage_pending_operations": "Objects that wait to be copied to the other region.",
    "dr_region_storage_pending_bytes": "Their bytes.",
    "dr_region_storage_latency_seconds": "How long the oldest of them has waited.",
}


def exposition(config: OrchestratorConfig, store: Store) -> bytes:
    """All metrics in Prometheus's text format."""
    registry = CollectorRegistry()
    registry.register(_Records(config, store))
    return generate_latest(registry)


class _Records(Collector):
    def __init__(self, config: OrchestratorConfig, store: Store) -> None:
        self._config, self._store = config, store

    def collect(self) -> Iterator[Metric]:
        """Read the records as they are now."""
        for cluster in self._store.all(Cluster):
            yield from self._of_regions(cluster)
            yield from self._of_cluster(cluster)

    def _of_regions(self, cluster: Cluster) -> Iterator[Metric]:
        families = {name: GaugeMetricFamily(name, text, labels=["cluster", "cloud_region"])
                    for name, text in REGIONAL.items()}
        for region in self._config.regions:
            suffix = "-dr" if region == cluster.drRegion else ""
            for name, value in self._values(cluster, region).items():
                if value is not None:
                    families[name].add_metric([cluster.id + suffix, region], float(value))
        yield from families.values()

    def _values(self, cluster: Cluster, region: str) -> dict[str, float | None]:
        values: dict[str, float | None] = {"dr_region_active": float(cluster.workloads[region])}
        report = self._store.get(Report, region)
        if report is None:
            return values
        values |= {"dr_region_report_age_seconds": time.time() - report.at,
                   "dr_region_generation": report.generation,
                   "dr_region_airflow_pods": report.running_pods,
                   "dr_region_drift": len(report.drift)}
        if database := report.facts.database:
            values |= {"dr_region_database_writer": database.writer,
                       "dr_region_database_connected": database.connected,
                       "dr_region_database_lag_seconds": database.lag_s}
        if storage := report.facts.storage:
            values |= {"dr_region_storage_pending_operations": storage.pending_operations,
                       "dr_region_storage_pending_bytes": storage.pending_bytes,
                       "dr_region_storage_latency_seconds": storage.oldest_s}
        return values

    def _of_cluster(self, cluster: Cluster) -> Iterator[Metric]:
        found = health.issues(cluster, self._config, self._store)
        issues = GaugeMetricFamily("dr_cluster_issues", "Issues of either region, by severity.",
                                   labels=["cluster", "severity"])
        for severity in health.SEVERITIES:
            issues.add_metric([cluster.id, severity], sum(i.severity == severity for i in found))
        yield issues
        moving = GaugeMetricFamily("dr_failover_in_progress", "1 while the cluster is moved.",
                                   labels=["cluster"])
        moving.add_metric([cluster.id], float(cluster.status == "FAILING_OVER"))
        yield moving
        steps = GaugeMetricFamily("dr_failover_step_seconds", "How long each step of the last move took.",
                                  labels=["cluster", "kind", "step"])
        last = max(self._store.all(FailoverRequest), key=lambda r: r.acceptedAt, default=None)
        for step in self._store.steps(last.id) if last else []:
            if last and step["ended"]:
                steps.add_metric([cluster.id, last.kind, step["name"]], step["ended"] - step["started"])
        yield steps
