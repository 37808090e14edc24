"""The manifests of a Deployment: one source, two variants (XR-11).

Everything that differs between the region where Airflow runs and the one where it does not is
decided in :class:`Variant`, and nowhere else.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from orchestrator.airflow_settings import AIRFLOW_SETTINGS
from orchestrator.config import OrchestratorConfig, RegionConfig
from orchestrator.store import Deployment

Manifest = dict[str, Any]
AIRFLOW_IMAGE = "airflow:3.3.2"
SYSTEM_NAMESPACE = "dr-system"
FIELD_MANAGER = "dr-orchestrator"
GRACE_S = 10
"""What a pod that is told to stop is given to end in order; a scheduler has the drain time on top."""
STOP_S = 3
"""What a scheduler is given where nothing may be waited for: instead of the drain time, not on top."""


@dataclass(frozen=True)
class Variant:
    """All that differs between the regions: their facts, and whether Airflow runs there."""

    region: RegionConfig
    active: bool

    @property
    def replicas(self) -> int:
        """Inflated or deflated."""
        return 1 if self.active else 0

    def environment(self, deployment: Deployment) -> dict[str, str]:
        """Region-dependent settings of a Deployment's containers."""
        bucket = self.region.log_bucket
        return {
            "AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER": f"s3://{bucket}/{deployment.namespace}",
            "DR_DRILL_AWS_ENDPOINT": self.region.workload_aws_endpoint,
            "DR_DRILL_REGION": self.region.name,
            "AWS_DEFAULT_REGION": self.region.name,
            **self.region.workload_env,
        }

    def database_url(self, deployment: Deployment, driver: str) -> str:
        """The metadata database as this region's workloads reach it."""
        secret = quote(deployment.secrets["db_password"])
        return (f"postgresql+{driver}://{deployment.secrets['db_user']}:{secret}"
                f"@{self.region.database_host}:5432/{deployment.secrets['db_name']}")

    def role_annotation(self, deployment: Deployment) -> dict[str, str]:
        """The IAM role of this region; both regions' roles exist from the start (XR-09)."""
        role = role_name(deployment, self.region.name)
        return {"eks.amazonaws.com/role-arn": f"arn:aws:iam::123456789012:role/{role}"}


def role_name(deployment: Deployment, region: str) -> str:
    """The IAM role of a Deployment in a region."""
    return f"{deployment.namespace}-{region}"


def hostname(deployment: Deployment, config: OrchestratorConfig) -> str:
    """The Deployment's own hostname: the same in either region (XR-02)."""
    return f"{deployment.name}.{config.domain}"


def render(
    config: OrchestratorConfig, deployments: Sequence[Deployment], variant: Variant
) -> list[Manifest]:
    """Every object of every provisioned Deployment for one region, in the order in which to apply them."""
    return [obj for deployment in deployments if deployment.provisioned
            for obj in _deployment(config, deployment, variant)]


def _deployment(
    config: OrchestratorConfig, deployment: Deployment, variant: Variant
) -> list[Manifest]:
    space = deployment.namespace
    labels = {"dr-drill/deployment": deployment.id, "app.kubernetes.io/part-of": "airflow"}
    meta = {"namespace": space, "labels": labels}
    settings = {
        **AIRFLOW_SETTINGS,
        "DR_DRILL_DEPLOYMENT": deployment.name,
        "DR_DRILL_TASK_SECONDS": str(config.task_seconds),
        "DR_DRILL_DRAIN_SECONDS": str(config.drain_seconds),
        "DR_DRILL_STOP_SECONDS": str(STOP_S),
        **_variables(deployment, secret=False),
        **variant.environment(deployment),
    }
    # The Secret is read after the ConfigMap: what is in both would count twice, and the one that is hidden wins.
    hidden = {name: value for name, value in _variables(deployment, secret=True).items()
              if name not in variant.environment(deployment)}
    probe = {"httpGet": {"path": "/api/v2/version", "port": 8080}, "periodSeconds": 10,
             "timeoutSeconds": 2}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space, "labels": labels}},
        {"apiVersion": "v1", "kind": "ServiceAccount",
         "metadata": {**meta, "name": "airflow",
                      "annotations": variant.role_annotation(deployment)}},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {**meta, "name": "airflow-settings"},
         "data": {name: value for name, value in settings.items() if name not in hidden}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {**meta, "name": "airflow-secrets"},
         "stringData": {**hidden, **secrets_for(config, deployment, variant)}},
        _workload("scheduler", meta, ["scheduler"], variant.replicas, None,
                  grace=GRACE_S + math.ceil(config.drain_seconds)),
        _workload("api-server", meta, ["api-server"], variant.replicas, probe),
        {"apiVersion": "v1", "kind": "Service", "metadata": {**meta, "name": "api-server"},
         "spec": {"selector": {"component": "api-server"},
                  "ports": [{"name": "http", "port": 8080, "targetPort": 8080}]}},
        {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
         "metadata": {**meta, "name": "airflow"},
         "spec": {"rules": [{"host": hostname(deployment, config), "http": {"paths": [
             {"path": "/", "pathType": "Prefix",
              "backend": {"service": {"name": "api-server", "port": {"number": 8080}}}}]}}]}},
    ]


def _variables(deployment: Deployment, *, secret: bool) -> dict[str, str]:
    """The variables that a Deployment was made with: those that may be shown, or the others."""
    return {each["key"]: str(each.get("value", "")) for each in deployment.environmentVariables
            if bool(each.get("isSecret")) == secret}


def secrets_for(
    config: OrchestratorConfig, deployment: Deployment, variant: Variant
) -> dict[str, str]:
    """What a Deployment's containers must know and nobody else may."""
    return {
        "AIRFLOW__CORE__FERNET_KEY": deployment.secrets["fernet_key"],
        "AIRFLOW__API_AUTH__JWT_SECRET": deployment.secrets["jwt_secret"],
        "AIRFLOW__API__SECRET_KEY": deployment.secrets["secret_key"],
        "DR_DRILL_ADMIN_PASSWORD": deployment.secrets["admin_password"],
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": variant.database_url(deployment, "psycopg2")
        + "?connect_timeout=3",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": variant.database_url(deployment, "asyncpg"),
        "AIRFLOW_CONN_AWS_DEFAULT": (
            f"aws://{config.workload_aws_access_key}:{config.workload_aws_secret_key}@/?region_name="
            f"{variant.region.name}&endpoint_url={quote(variant.region.workload_aws_endpoint, safe='')}"
        ),
        "AWS_ACCESS_KEY_ID": config.workload_aws_access_key,
        "AWS_SECRET_ACCESS_KEY": config.workload_aws_secret_key,
    }


def _workload(
    name: str, meta: Manifest, command: list[str], replicas: int, probe: Manifest | None,
    grace: int = GRACE_S,
) -> Manifest:
    container: Manifest = {
        "name": name, "image": AIRFLOW_IMAGE, "command": ["airflow"], "args": command,
        "envFrom": [{"configMapRef": {"name": "airflow-settings"}},
                    {"secretRef": {"name": "airflow-secrets"}}],
    }
    if probe:
        container |= {"readinessProbe": probe, "ports": [{"name": "http", "containerPort": 8080}]}
    pod_labels = {**meta["labels"], "component": name}
    return {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {**meta, "name": name},
        "spec": {
            "replicas": replicas, "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": {"component": name}},
            "template": {
                "metadata": {"labels": pod_labels},
                "spec": {"serviceAccountName": "airflow", "terminationGracePeriodSeconds": grace,
                         "containers": [container]},
            },
        },
    }


def provision_job(
    config: OrchestratorConfig, deployment: Deployment, variant: Variant
) -> list[Manifest]:
    """The job that makes a new Deployment's metadata database from the migrated template."""
    name = f"provision-{deployment.name}"
    meta = {"namespace": SYSTEM_NAMESPACE, "name": name}
    return [
        {"apiVersion": "v1", "kind": "Secret", "metadata": meta,
         "stringData": {**secrets_for(config, deployment, variant),
                        "PROVISION_DB": deployment.secrets["db_name"],
                        "PROVISION_USER": deployment.secrets["db_user"],
                        "PROVISION_PASSWORD": deployment.secrets["db_password"],
                        "PROVISION_NAME": deployment.name}},
        {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta,
         "spec": {"backoffLimit": 3, "template": {"spec": {
             "restartPolicy": "Never",
             "containers": [{
                 "name": "provision", "image": AIRFLOW_IMAGE,
                 "command": ["python", "-m", "orchestrator.provision", "deployment"],
                 "envFrom": [{"secretRef": {"name": "database-admin"}},
                             {"secretRef": {"name": name}}]}]}}}},
    ]
