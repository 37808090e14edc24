"""``manual-drift``: somebody changes a region by hand: scales an Airflow workload, deletes a setting."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.environments.base import Environment
from harness.faults.base import FaultFailed, Parameters, Role

AIRFLOW = "app.kubernetes.io/part-of=airflow"


class ManualDriftParameters(Parameters):
    """``{region: secondary}``."""

    region: Role


class ManualDrift:
    """Airflow started by hand where none may run, and a ConfigMap that is gone."""

    name = "manual-drift"
    parameters: type[Parameters] = ManualDriftParameters
    disrupts = False
    cuts_links = False

    def undo(self, parameters: ManualDriftParameters) -> Mapping[str, Any]:
        """Nothing: putting it right is what the system under drill promises."""
        return {}

    def concerns(self, undo: Mapping[str, Any], site: str) -> bool:
        """No site: there is nothing to take back."""
        return False

    def revert(self, environment: Environment, undo: Mapping[str, Any]) -> Mapping[str, Any]:
        """Nothing to do."""
        return {}

    def inject(self, environment: Environment, parameters: ManualDriftParameters) -> Mapping[str, Any]:
        """Scale the first Deployment's scheduler the other way round and delete its settings."""
        # Imported here: it takes longer than to load a drill file does.
        from kubernetes import client as kubernetes_client

        api = environment.kubernetes(parameters.region)
        apps, core = kubernetes_client.AppsV1Api(api), kubernetes_client.CoreV1Api(api)
        found: Any = apps.list_deployment_for_all_namespaces(label_selector=AIRFLOW)
        if not found.items:
            raise FaultFailed(f"the {parameters.region} region has no Airflow workload to change")
        first = min(found.items, key=lambda d: (d.metadata.namespace, d.metadata.name))
        space, name = first.metadata.namespace, first.metadata.name
        replicas = 0 if first.spec.replicas else 1
        apps.patch_namespaced_deployment_scale(name, space, {"spec": {"replicas": replicas}})
        core.delete_namespaced_config_map("airflow-settings", space)
        changed: Any = apps.read_namespaced_deployment(name, space)
        if changed.spec.replicas != replicas:
            raise FaultFailed(f"{space}/{name} was not scaled")
        return {"namespace": space, "workload": name, "replicas": replicas, "deleted": "airflow-settings"}
