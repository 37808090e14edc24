"""What stopping Airflow means to a region's Kubernetes API."""

from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config

from orchestrator.kubernetes_region import KubernetesRegion
from orchestrator.manifests import STOP_S
from tests.harness.environments.embedded.conftest import block, kubeconfig, sites, until

__all__ = ["block", "kubeconfig", "sites"]

pytestmark = pytest.mark.real
DRAINS, USUAL = 600, 10


def workload(name: str, grace: int) -> dict[str, Any]:
    labels = {"app.kubernetes.io/part-of": "airflow", "component": name}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "labels": labels},
            "spec": {"replicas": 1, "selector": {"matchLabels": {"component": name}},
                     "template": {"metadata": {"labels": labels},
                                  "spec": {"terminationGracePeriodSeconds": grace,
                                           "containers": [{"name": "c", "image": "i"}]}}}}


class Region:
    """A region with one Airflow, on a node that stops nothing until it is told to."""

    def __init__(self, kubeconfig: Path) -> None:
        api = config.new_client_from_config(str(kubeconfig))
        self.core, self.apps = client.CoreV1Api(api), client.AppsV1Api(api)
        self.kube = KubernetesRegion(api)
        self.core.create_node({"metadata": {"name": "node"}})
        self.core.patch_node_status("node", {"status": {"conditions": [{"type": "Ready", "status": "True"}]}})
        self.core.create_namespace({"metadata": {"name": "airflow-a"}})
        for name, grace in (("scheduler", DRAINS), ("api-server", USUAL)):
            self.apps.create_namespaced_deployment("airflow-a", workload(name, grace))
        until(lambda: len(self.pods) == 2 and all(p.spec.node_name for p in self.pods))

    @property
    def pods(self) -> list[Any]:
        return list(self.core.list_namespaced_pod("airflow-a").items)

    def told(self) -> dict[str, int]:
        """Component to the seconds that it is given to end, once both are told to stop."""
        until(lambda: all(p.metadata.deletion_timestamp for p in self.pods))
        return {p.metadata.labels["component"]: p.metadata.deletion_grace_period_seconds for p in self.pods}


@pytest.fixture
def region(kubeconfig: Path) -> Region:
    return Region(kubeconfig)


def test_an_airflow_that_may_drain_is_given_its_own_time_to_end(region: Region) -> None:
    region.kube.stop_airflow(drain=True)
    assert region.told() == {"scheduler": DRAINS, "api-server": USUAL}
    assert region.kube.airflow_pods() == 2


def test_one_that_may_not_has_seconds_and_is_not_replaced(region: Region) -> None:
    region.kube.stop_airflow(drain=False)
    assert region.told() == {"scheduler": STOP_S, "api-server": USUAL}
    assert len(region.pods) == 2


def test_one_that_drains_already_can_be_hurried_as_often_as_one_likes(region: Region) -> None:
    region.kube.stop_airflow(drain=True)
    region.told()
    for _ in range(2):
        region.kube.hurry()
        assert region.told() == {"scheduler": STOP_S, "api-server": USUAL}
