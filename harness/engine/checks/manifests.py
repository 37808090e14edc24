"""The manifests of both regions: the same objects, inflated where Airflow runs and deflated where it does not."""

from __future__ import annotations

from typing import Any

from kubernetes import client as kubernetes_client
from kubernetes.client import ApiException
from urllib3.exceptions import HTTPError

from harness.engine.checks.registry import Check, Moment, Seen, Subject
from harness.environments.base import other_role

MANAGED = "dr-drill/deployment"
AIRFLOW = "app.kubernetes.io/part-of=airflow"


def variants(subject: Subject) -> Seen:
    """The same objects in both regions, inflated in one and deflated in the other (XR-11)."""
    found: dict[str, dict[tuple[str, str], int]] = {}
    for role in ("primary", "secondary"):
        apps = kubernetes_client.AppsV1Api(subject.environment.kubernetes(role))
        workloads: Any = apps.list_deployment_for_all_namespaces(label_selector=MANAGED)
        found[role] = {(d.metadata.namespace, d.metadata.name): d.spec.replicas for d in workloads.items}
    standby = other_role(subject.active)
    if set(found["primary"]) != set(found["secondary"]):
        return False, f"the regions differ in {sorted(set(found['primary']) ^ set(found['secondary']))[:5]}"
    wrong = [key for role, wanted in ((subject.active, 1), (standby, 0))
             for key, count in found[role].items() if count != wanted]
    if wrong:
        return False, f"neither inflated in {subject.active} nor deflated in {standby}: {wrong[:5]}"
    return True, f"{len(found[subject.active])} workloads: inflated in {subject.active}, deflated in {standby}"


def drift_repaired(subject: Subject) -> Seen:
    """What was changed by hand is as it should be again, and was reported (XR-07)."""
    details = subject.fleet.orchestrator.cluster().raw["healthStatus"]["details"]
    told = [d["description"] for d in details if d["code"] == "MANIFEST_DRIFT"]
    try:
        same, why = variants(subject)
        standby = other_role(subject.active)
        core = kubernetes_client.CoreV1Api(subject.environment.kubernetes(standby))
        settings: Any = core.list_config_map_for_all_namespaces(label_selector=MANAGED)
        pods: Any = core.list_pod_for_all_namespaces(label_selector=AIRFLOW)
    except (ApiException, HTTPError) as error:
        return False, f"a Kubernetes API does not answer: {error}"
    if not same or len(settings.items) != len(subject.fleet.members) or pods.items or not told:
        return False, (f"{why}; {len(settings.items)} of {len(subject.fleet.members)} settings, "
                       f"{len(pods.items)} Airflow pods in the standby; reported: {told}")
    return True, "; ".join(told)


CHECKS = (
    Check("variants", (Moment.UP, Moment.HEALED), variants, ("XR-11",)),
    Check("drift-repaired", (Moment.EXPECTED,), drift_repaired, ("XR-07",)),
)
