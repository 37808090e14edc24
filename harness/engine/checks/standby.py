"""The standby region: its database refuses connections, and it runs what it must run to be one, and nothing else."""

from __future__ import annotations

from typing import Any

import psycopg
from kubernetes import client as kubernetes_client
from kubernetes.client import ApiException
from urllib3.exceptions import HTTPError

from harness.engine.checks.manifests import AIRFLOW
from harness.engine.checks.registry import Check, Moment, Seen, Subject
from harness.environments.base import other_role
from loadgen.load import NAMESPACE as LOAD_NAMESPACE

CURATED = frozenset({"cluster-autoscaler", "manifest-reconciler", "managed-egress", "observability",
                     "cert-manager", "iam-controller", "bin-packing-scheduler"})
"""What may run in a standby region (XR-07), by a pod's label ``app``."""


def headless(subject: Subject) -> Seen:
    """The standby's database refuses connections while it replicates (XR-04)."""
    standby = other_role(subject.active)
    access = subject.environment.database(standby)
    lag = dict(subject.environment.replication_lag(subject.active))
    try:
        psycopg.connect(access.conninfo).close()
    except psycopg.Error as error:
        refused = str(error).strip().splitlines()[-1]
        return lag.get("state") == "streaming", f"refuses connections ({refused}); {lag}"
    return False, "the standby database accepts connections"


def curated_only(subject: Subject) -> Seen:
    """A standby region runs what it must run to be one, and nothing else (XR-07)."""
    role = other_role(subject.active)
    core = kubernetes_client.CoreV1Api(subject.environment.kubernetes(role))
    pods: Any = core.list_pod_for_all_namespaces()
    found = {f"{p.metadata.namespace}/{p.metadata.name}": (p.metadata.labels or {}).get("app")
             for p in pods.items if p.metadata.namespace not in ("kube-system", LOAD_NAMESPACE)}
    strays = sorted(name for name, app in found.items() if app not in CURATED)
    region = subject.environment.region_name(role)
    if strays:
        return False, f"{len(strays)} pods in {region} that a standby does not run: {strays[:5]}"
    return True, f"in {region} runs {', '.join(sorted(filter(None, found.values()))) or 'nothing'}"


def one_region(subject: Subject) -> Seen | None:
    """Airflow runs nowhere but in the active region (XR-08); None when the other one has no power."""
    other = other_role(subject.active)
    if not subject.environment.region_alive(other):
        return None
    try:
        return runs_no_airflow(subject, other)
    except (ApiException, HTTPError) as error:
        return False, f"the Kubernetes API of the {other} region does not answer: {error}"


def runs_no_airflow(subject: Subject, role: str) -> Seen:
    """Whether a region runs no Airflow pod."""
    core = kubernetes_client.CoreV1Api(subject.environment.kubernetes(role))
    pods: Any = core.list_pod_for_all_namespaces(label_selector=AIRFLOW)
    return not pods.items, f"{len(pods.items)} Airflow pods in the standby region"


CHECKS = (
    Check("headless", (Moment.UP,), headless, ("XR-04",)),
    Check("standby-empty", (Moment.UP,), curated_only, ("XR-07",)),
    Check("one-region", (Moment.SETTLED,), one_region, ("XR-08",)),
)
