"""The health of a cluster: any issue in either region makes it unhealthy, at the highest severity (XR-17)."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

from orchestrator.config import OrchestratorConfig
from orchestrator.store import Cluster, Report, Store

SILENT_S = 15.0
LAG_WARNING_S = 10.0
LAG_CRITICAL_S = 300.0
"""The metadata database's RPO (XR-19)."""
STORAGE_LATE_S = 900.0
"""What Replication Time Control guarantees (XR-06)."""
SEVERITIES = ("INFO", "WARNING", "CRITICAL")


@dataclass(frozen=True)
class Issue:
    """One thing that is wrong, in the platform's words."""

    code: str
    component: str
    description: str
    severity: str


def issues(cluster: Cluster, config: OrchestratorConfig, store: Store) -> list[Issue]:
    """All that is wrong in either region."""
    found: list[Issue] = []
    for region in _regions(cluster, config):
        found += region_issues(cluster, region, store)
    return found


def region_issues(cluster: Cluster, region: str, store: Store) -> list[Issue]:
    """What is wrong in one region, as its own agent last told it."""
    report = store.get(Report, region)
    if report is None or time.time() - report.at > SILENT_S:
        return [Issue("REGION_SILENT", region, f"the agent of {region} has not reported lately", "CRITICAL")]
    found = [Issue("MANIFEST_DRIFT", region, f"changed by hand and put right: {what}", "INFO")
             for what in report.drift]
    found += [Issue("IAM_ROLE_MISSING", region, f"role {role} is not there: its Deployment would have no "
                    "identity in this region; make it again while IAM can be written", "CRITICAL")
              for role in report.missing_roles]
    if cluster.isDrEnabled and cluster.status != "FAILING_OVER":
        found += _database_issues(region, report) + _storage_issues(region, report)
    return found


def catching_up(region: str, store: Store) -> str:
    """Why a region's database is not ready to be switched over to; empty when it is."""
    report = store.get(Report, region)
    if report is None or time.time() - report.at > SILENT_S:
        return f"the agent of {region} has not reported lately, so its lag is not known"
    database = report.facts.database
    if database is None:
        return f"the database of {region} does not answer"
    if not database.connected or database.lag_s is None:
        return f"{region} does not replicate from the writer, its lag is not known"
    if database.lag_s > LAG_WARNING_S:
        return (f"{region} has not caught up: it is {database.lag_s:.1f} s behind "
                f"(at most {LAG_WARNING_S:.0f} s)")
    return ""


def shown(found: list[Issue]) -> dict[str, Any]:
    """``healthStatus`` as the platform shows it."""
    grave = [issue for issue in found if issue.severity != "INFO"]
    return {"value": "UNHEALTHY" if grave else "HEALTHY", "details": [asdict(i) for i in found]}


def severity(found: list[Issue]) -> str | None:
    """The highest severity reported, None where nothing is."""
    return max((i.severity for i in found), key=SEVERITIES.index, default=None)


def _database_issues(region: str, report: Report) -> list[Issue]:
    database = report.facts.database
    if database is None:
        return [Issue("DATABASE_SILENT", region, f"the database of {region} does not answer", "CRITICAL")]
    if database.writer:
        return []
    if not database.connected:
        return [Issue("DATABASE_REPLICATION_STOPPED", region,
                      f"the database of {region} is not in contact with its writer", "CRITICAL")]
    lag = database.lag_s
    if lag is None:  # in contact and not measured yet: nobody may switch over to it, so not healthy
        return [Issue("DATABASE_REPLICATION_LAG_UNKNOWN", region,
                      f"how far {region} is behind is not known (yet)", "WARNING")]
    if lag > LAG_WARNING_S:
        return [Issue("DATABASE_REPLICATION_LAG", region, f"{region} is {lag:.1f} s behind",
                      "CRITICAL" if lag > LAG_CRITICAL_S else "WARNING")]
    return []


def _storage_issues(region: str, report: Report) -> list[Issue]:
    storage = report.facts.storage
    if storage is not None and storage.oldest_s > STORAGE_LATE_S:
        return [Issue("STORAGE_REPLICATION_LATE", region,
                      f"{storage.pending_operations} objects of {region} wait to be copied, the oldest "
                      f"for {storage.oldest_s:.0f} s", "WARNING")]
    return []


def _regions(cluster: Cluster, config: OrchestratorConfig) -> list[str]:
    return list(config.regions) if cluster.isDrEnabled else [config.primary.name]
