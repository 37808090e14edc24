"""What the orchestrator shows of the cluster: its record, its health, its metrics, what it leaves to people."""

from __future__ import annotations

from harness.engine.checks.registry import Check, Moment, Seen, Subject

REGIONAL_METRICS = ("dr_region_report_age_seconds", "dr_region_active")


def one_cluster(subject: Subject) -> Seen:
    """One cluster record for two regions, and every Deployment tied to it (XR-01)."""
    clusters = subject.fleet.orchestrator.clusters()
    if len(clusters) != 1:
        return False, f"{len(clusters)} cluster records: {[c.raw.get('name') for c in clusters]}"
    found = clusters[0]
    regions = {found.region, found.dr_region}
    wanted = {subject.environment.region_name("primary"), subject.environment.region_name("secondary")}
    strays = [d.name for d in subject.fleet.orchestrator.deployments() if d.cluster_id != found.raw["id"]]
    if regions != wanted or strays:
        return False, f"the cluster covers {sorted(regions)}; not of it: {strays}"
    return True, f"one cluster record covers {' and '.join(sorted(regions))} and all Deployments"


def flag_shown(subject: Subject) -> Seen:
    """The active region can be seen in the cluster's record (XR-15)."""
    state = subject.fleet.orchestrator.cluster()
    shown = state.raw.get("metadata", {}).get("activeRegion")
    wanted = subject.environment.region_name(subject.active)
    ok = state.is_failed_over == (subject.active == "secondary") and shown in (None, wanted)
    return ok, f"isFailedOver {state.is_failed_over}, active region {shown} (Airflow runs in {wanted})"


def manual_work_listed(subject: Subject) -> Seen:
    """What is not carried over is listed for every Deployment (XR-21)."""
    listed = subject.fleet.orchestrator.manual_work()
    missing = [d.name for d in subject.fleet.members if not listed.get(d.name)]
    if missing:
        return False, f"no list of manual work for {', '.join(missing[:5])}"
    kinds = sorted({code for items in listed.values() for code in items})
    return True, f"listed for {len(listed)} Deployments: {', '.join(kinds)}"


def observed(subject: Subject) -> Seen:
    """Metrics of both regions, each with its region, the standby's with the suffix (XR-16)."""
    text = subject.fleet.orchestrator.metrics()
    cluster = subject.fleet.orchestrator.cluster().raw["id"]
    for role, label in (("primary", cluster), ("secondary", f"{cluster}-dr")):
        region = subject.environment.region_name(role)
        for metric in REGIONAL_METRICS:
            if f'{metric}{{cloud_region="{region}",cluster="{label}"}}' not in text:
                return False, f"{metric} of {region} is not exposed under the cluster id {label}"
    return True, f"both regions are exposed, as {cluster} and {cluster}-dr"


def unhealthy(subject: Subject) -> Seen:
    """The cluster's health says what is wrong, and where (XR-17)."""
    health = subject.fleet.orchestrator.cluster().raw["healthStatus"]
    grave = [d for d in health["details"] if d["severity"] == "CRITICAL"]
    return (health["value"] == "UNHEALTHY" and bool(grave)), "; ".join(
        f"{d['severity']} {d['code']} of {d['component']}: {d['description']}" for d in health["details"])


CHECKS = (
    Check("one-cluster", (Moment.UP,), one_cluster, ("XR-01",)),
    Check("observed", (Moment.UP,), observed, ("XR-16",)),
    Check("flag", (Moment.MOVED,), flag_shown, ("XR-15",)),
    Check("manual-work", (Moment.UP, Moment.MOVED), manual_work_listed, ("XR-21",)),
    Check("unhealthy", (Moment.EXPECTED,), unhealthy, ("XR-17",)),
)
