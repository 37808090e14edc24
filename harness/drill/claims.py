"""The claims that a drill can prove, by id: what a disaster-recovery system promises, with its numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class ClaimText:
    """A promise and its bounds: seconds for times, counts for the rest."""

    text: str
    bounds: Mapping[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.text


MINUTE, HOUR = 60.0, 3600.0

CLAIMS: dict[str, ClaimText] = {
    "XR-01": ClaimText("One cluster record covers two regions."),
    "XR-02": ClaimText("Cluster and Deployments keep IDs, names, namespaces and hostnames after failover."),
    "XR-03": ClaimText("The metadata database is one global cluster with a bounded loss window."),
    "XR-04": ClaimText("The standby database is headless; compute is provisioned only at failover."),
    "XR-05": ClaimText("Promotion fences the old writer."),
    "XR-06": ClaimText("Task logs and the image bucket replicate in both directions, within 15 minutes.",
                       {"task-logs": 15 * MINUTE, "images": 15 * MINUTE}),
    "XR-07": ClaimText("The standby region runs only a curated set, no Deployment workload."),
    "XR-08": ClaimText("Airflow Deployments run in one region at a time."),
    "XR-09": ClaimText("Failover needs no IAM write."),
    "XR-10": ClaimText("Failover and failback call no API in the region that they leave."),
    "XR-11": ClaimText("Manifests come in two variants from one source."),
    "XR-12": ClaimText("Failover is a flag that starts a deterministic, idempotent sequence."),
    "XR-13": ClaimText("Failback is the same in reverse with a switchover: no write is lost."),
    "XR-14": ClaimText("After failover replication runs in the reverse direction by itself."),
    "XR-15": ClaimText("Failover and failback are driven by API; the active region is visible."),
    "XR-16": ClaimText("Both regions are observed from day one."),
    "XR-17": ClaimText("Cluster health rolls up both regions."),
    "XR-18": ClaimText("An existing cluster can be moved onto disaster recovery."),
    "XR-19": ClaimText(
        "RTO under 1 hour; RPO under 15 minutes (5 minutes for Airflow metadata); benchmarked with 80 Deployments"
        " and 1,250 concurrent task runs.",
        {"rto": HOUR, "metadata": 5 * MINUTE, "task-logs": 15 * MINUTE, "images": 15 * MINUTE,
         "deployments": 80, "concurrent-tasks": 1250}),
    "XR-20": ClaimText("Deployments, Dag run history, variables, connections and task logs carry over."),
    "XR-21": ClaimText("What is not carried over is reported as manual work."),
    "XR-22": ClaimText("Tasks in the window may fail and need a retry."),
    "DP-01": ClaimText("A data plane failover source and destination are eligible only when checked."),
    "DP-02": ClaimText("Controlled mode drains the source first; forced mode promotes at once."),
    "DP-03": ClaimText("A request is accepted and runs asynchronously."),
    "DP-04": ClaimText("Each Deployment has its own migration state machine."),
    "DP-05": ClaimText("Per Deployment the migration's steps run in their order."),
    "DP-06": ClaimText("The Deployment at the destination is the same Deployment."),
    "DP-07": ClaimText("Fencing stops split-brain writes."),
    "DP-08": ClaimText("Tasks of the source are rescheduled only as far as their retries allow."),
    "RP-01": ClaimText("Without a standby a lost region is answered by provisioning again."),
    "RP-02": ClaimText("What re-provisioning cannot bring back is reported as lost."),
    "RP-03": ClaimText("Two live clusters drift, and the drift can be shown."),
}
