"""What a drill looks at by itself, besides its figures: each look says whether it is so, and what it saw."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from kubernetes import client as kubernetes_client
from kubernetes.client import ApiException
from urllib3.exceptions import HTTPError

from harness.engine.fleet import Fleet
from harness.environments.base import Environment
from loadgen.load import NAMESPACE as LOAD_NAMESPACE

Seen = tuple[bool, str]
CARRIED_S = 60.0
MANAGED = "dr-drill/deployment"
AIRFLOW = "app.kubernetes.io/part-of=airflow"
CURATED = frozenset({"cluster-autoscaler", "manifest-reconciler", "managed-egress", "observability",
                     "cert-manager", "iam-controller", "bin-packing-scheduler"})
"""What may run in a standby region (XR-07), by a pod's label ``app``."""
REGIONAL_METRICS = ("dr_region_report_age_seconds", "dr_region_active")


def one_cluster(fleet: Fleet, environment: Environment) -> Seen:
    """One cluster record for two regions, and every Deployment tied to it (XR-01)."""
    clusters = fleet.orchestrator.clusters()
    if len(clusters) != 1:
        return False, f"{len(clusters)} cluster records: {[c.raw.get('name') for c in clusters]}"
    found = clusters[0]
    regions = {found.region, found.dr_region}
    wanted = {environment.region_name("primary"), environment.region_name("secondary")}
    strays = [d.name for d in fleet.orchestrator.deployments() if d.cluster_id != found.raw["id"]]
    if regions != wanted or strays:
        return False, f"the cluster covers {sorted(regions)}; not of it: {strays}"
    return True, f"one cluster record covers {' and '.join(sorted(regions))} and all Deployments"


def curated_only(environment: Environment, role: str) -> Seen:
    """A standby region runs what it must run to be one, and nothing else (XR-07)."""
    core = kubernetes_client.CoreV1Api(environment.kubernetes(role))
    pods: Any = core.list_pod_for_all_namespaces()
    found = {f"{p.metadata.namespace}/{p.metadata.name}": (p.metadata.labels or {}).get("app")
             for p in pods.items if p.metadata.namespace not in ("kube-system", LOAD_NAMESPACE)}
    strays = sorted(name for name, app in found.items() if app not in CURATED)
    region = environment.region_name(role)
    if strays:
        return False, f"{len(strays)} pods in {region} that a standby does not run: {strays[:5]}"
    return True, f"in {region} runs {', '.join(sorted(filter(None, found.values()))) or 'nothing'}"


def flag_shown(fleet: Fleet, environment: Environment, role: str) -> Seen:
    """The active region can be seen in the cluster's record (XR-15)."""
    state = fleet.orchestrator.cluster()
    active = state.raw.get("metadata", {}).get("activeRegion")
    wanted = environment.region_name(role)
    ok = state.is_failed_over == (role == "secondary") and active in (None, wanted)
    return ok, f"isFailedOver {state.is_failed_over}, active region {active} (Airflow runs in {wanted})"


def manual_work_listed(fleet: Fleet, _: Environment) -> Seen:
    """What is not carried over is listed for every Deployment (XR-21)."""
    listed = fleet.orchestrator.manual_work()
    missing = [d.name for d in fleet.members if not listed.get(d.name)]
    if missing:
        return False, f"no list of manual work for {', '.join(missing[:5])}"
    kinds = sorted({code for items in listed.values() for code in items})
    return True, f"listed for {len(listed)} Deployments: {', '.join(kinds)}"


def observed(fleet: Fleet, environment: Environment) -> Seen:
    """Metrics of both regions, each with its region, the standby's with the suffix (XR-16)."""
    text = fleet.orchestrator.metrics()
    cluster = fleet.orchestrator.cluster().raw["id"]
    for role, label in (("primary", cluster), ("secondary", f"{cluster}-dr")):
        region = environment.region_name(role)
        for metric in REGIONAL_METRICS:
            if f'{metric}{{cloud_region="{region}",cluster="{label}"}}' not in text:
                return False, f"{metric} of {region} is not exposed under the cluster id {label}"
    return True, f"both regions are exposed, as {cluster} and {cluster}-dr"


def variants(_: Fleet, environment: Environment, active: str) -> Seen:
    """The same objects in both regions, inflated in one and deflated in the other (XR-11)."""
    found: dict[str, dict[tuple[str, str], int]] = {}
    for role in ("primary", "secondary"):
        apps = kubernetes_client.AppsV1Api(environment.kubernetes(role))
        workloads: Any = apps.list_deployment_for_all_namespaces(label_selector=MANAGED)
        found[role] = {(d.metadata.namespace, d.metadata.name): d.spec.replicas for d in workloads.items}
    standby = "secondary" if active == "primary" else "primary"
    if set(found["primary"]) != set(found["secondary"]):
        return False, f"the regions differ in {sorted(set(found['primary']) ^ set(found['secondary']))[:5]}"
    wrong = [key for role, wanted in ((active, 1), (standby, 0))
             for key, count in found[role].items() if count != wanted]
    if wrong:
        return False, f"neither inflated in {active} nor deflated in {standby}: {wrong[:5]}"
    return True, f"{len(found[active])} workloads: inflated in {active}, deflated in {standby}"


def one_region(fleet: Fleet, environment: Environment, active: str) -> Seen | None:
    """Airflow runs nowhere but in the active region (XR-08); None when the other one has no power."""
    other = "secondary" if active == "primary" else "primary"
    if not environment.region_alive(other):
        return None
    try:
        return fleet.standby_runs_no_airflow(other)
    except (ApiException, HTTPError) as error:
        return False, f"the Kubernetes API of the {other} region does not answer: {error}"


def commits_wait(_: Fleet, environment: Environment, active: str) -> Seen:
    """The writer's commits wait for a standby that is too far behind (XR-03)."""
    lag = dict(environment.replication_lag(active))
    return bool(lag.get("commits_wait")), f"replication: {lag}"


def unhealthy(fleet: Fleet, _: Environment, __: str) -> Seen:
    """The cluster's health says what is wrong, and where (XR-17)."""
    health = fleet.orchestrator.cluster().raw["healthStatus"]
    grave = [d for d in health["details"] if d["severity"] == "CRITICAL"]
    return (health["value"] == "UNHEALTHY" and bool(grave)), "; ".join(
        f"{d['severity']} {d['code']} of {d['component']}: {d['description']}" for d in health["details"])


def drift_repaired(fleet: Fleet, environment: Environment, active: str) -> Seen:
    """What was changed by hand is as it should be again, and was reported (XR-07)."""
    details = fleet.orchestrator.cluster().raw["healthStatus"]["details"]
    told = [d["description"] for d in details if d["code"] == "MANIFEST_DRIFT"]
    try:
        same, why = variants(fleet, environment, active)
        standby = "secondary" if active == "primary" else "primary"
        core = kubernetes_client.CoreV1Api(environment.kubernetes(standby))
        settings: Any = core.list_config_map_for_all_namespaces(label_selector=MANAGED)
        pods: Any = core.list_pod_for_all_namespaces(label_selector=AIRFLOW)
    except (ApiException, HTTPError) as error:
        return False, f"a Kubernetes API does not answer: {error}"
    if not same or len(settings.items) != len(fleet.members) or pods.items or not told:
        return False, (f"{why}; {len(settings.items)} of {len(fleet.members)} settings, "
                       f"{len(pods.items)} Airflow pods in the standby; reported: {told}")
    return True, "; ".join(told)


def push_image(environment: Environment, active: str, name: str) -> str:
    """Push an image (and a layer of the proxy registry) in the active region; the object's key."""
    key = f"pushed-during-outage/{name}-{uuid.uuid4().hex[:8]}"
    s3, region = environment.aws(active, "s3"), environment.regions[active]
    for bucket in (region.image_bucket, region.proxy_bucket):
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    return key


def image_carried(environment: Environment, active: str, key: str) -> Seen:
    """What was pushed while the other region was away is there now; the proxy registry's is not (XR-06)."""
    standby = "secondary" if active == "primary" else "primary"
    s3, region = environment.aws(standby, "s3"), environment.regions[standby]
    deadline = time.monotonic() + CARRIED_S
    while not _holds(s3, region.image_bucket, key):
        if time.monotonic() > deadline:
            return False, f"{key} was not copied to {region.name} within {CARRIED_S:.0f} s"
        time.sleep(0.5)
    if _holds(s3, region.proxy_bucket, key):
        return False, f"the proxy registry was copied to {region.name}, though it can be rebuilt"
    return True, f"an image pushed while {region.name} was away was copied there afterwards"


def _holds(s3: Any, bucket: str, key: str) -> bool:
    try:
        s3.head_object(Bucket=bucket, Key=key)
    except (ClientError, BotoCoreError):
        return False
    return True


EXPECTED: dict[str, Callable[[Fleet, Environment, str], Seen]] = {
    "commits-wait": commits_wait, "drift-repaired": drift_repaired, "unhealthy": unhealthy}
"""What a ``hold`` phase can wait for, by the word in the drill file."""
