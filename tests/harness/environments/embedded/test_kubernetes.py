"""The Kubernetes API as the official client and kubectl see it."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from kubernetes import client, config, watch

from tests.harness.environments.embedded.conftest import until

pytestmark = pytest.mark.real
DEPLOYMENT: dict[str, Any] = {
    "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"},
    "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}},
             "template": {"metadata": {"labels": {"app": "web"}},
                          "spec": {"containers": [{"name": "c", "image": "i",
                                                   "env": [{"name": "A", "value": "1"}]}]}}}}


@pytest.fixture
def api(kubeconfig: Path) -> client.ApiClient:
    made = config.new_client_from_config(str(kubeconfig))
    client.CoreV1Api(made).create_namespace({"metadata": {"name": "shop"}})
    return made


def raw(kubeconfig: Path, token: str) -> httpx.Client:
    server = yaml.safe_load(kubeconfig.read_text())["clusters"][0]["cluster"]
    return httpx.Client(base_url=server["server"], verify=server["certificate-authority"],
                        headers={"authorization": f"Bearer {token}"})


def pods(core: client.CoreV1Api) -> list[Any]:
    return [p for p in core.list_namespaced_pod("shop").items if not p.metadata.deletion_timestamp]


def test_a_deployment_becomes_pods_and_a_deleted_namespace_takes_everything_along(
    api: client.ApiClient,
) -> None:
    core, apps = client.CoreV1Api(api), client.AppsV1Api(api)
    apps.create_namespaced_deployment("shop", DEPLOYMENT)
    until(lambda: len(pods(core)) == 2)
    apps.patch_namespaced_deployment_scale("web", "shop", {"spec": {"replicas": 3}})
    until(lambda: len(pods(core)) == 3)
    core.delete_namespace("shop")
    until(lambda: "shop" not in [s.metadata.name for s in core.list_namespace().items])
    assert apps.list_deployment_for_all_namespaces().items == []
    assert core.list_pod_for_all_namespaces().items == []


def test_a_stale_resource_version_is_a_conflict(api: client.ApiClient) -> None:
    core = client.CoreV1Api(api)
    core.create_namespaced_config_map("shop", {"metadata": {"name": "c"}, "data": {"a": "1"}})
    first = core.read_namespaced_config_map("c", "shop")
    core.patch_namespaced_config_map("c", "shop", {"data": {"a": "2"}})
    first.data = {"a": "3"}
    with pytest.raises(client.ApiException) as caught:
        core.replace_namespaced_config_map("c", "shop", first)
    assert caught.value.status == 409
    assert core.read_namespaced_config_map("c", "shop").data == {"a": "2"}


def test_unknown_fields_and_missing_ones_are_refused_by_name(
    api: client.ApiClient, kubeconfig: Path
) -> None:
    # Sent raw: the official client would not let these out.
    http = raw(kubeconfig, "kube-token")
    path = "/apis/apps/v1/namespaces/shop/deployments"
    wrong = yaml.safe_load(yaml.safe_dump(DEPLOYMENT))
    wrong["spec"]["replicaz"] = 1
    answer = http.post(path, json=wrong)
    assert answer.status_code == 400
    assert 'unknown field "spec.replicaz"' in answer.json()["message"]
    del wrong["spec"]["replicaz"], wrong["spec"]["template"]["spec"]["containers"][0]["name"]
    answer = http.post(path, json=wrong)
    assert answer.status_code == 422
    assert "spec.template.spec.containers[0].name: Required value" in answer.json()["message"]
    wrong["spec"]["replicas"] = "two"
    assert "spec.replicas: expected int, got str" in http.post(path, json=wrong).json()["message"]


def test_a_watch_continues_from_a_resource_version_and_follows_a_selector(
    api: client.ApiClient,
) -> None:
    core = client.CoreV1Api(api)
    since = core.list_namespaced_config_map("shop").metadata.resource_version
    core.create_namespaced_config_map("shop", {"metadata": {"name": "a", "labels": {"x": "1"}}})
    core.create_namespaced_config_map("shop", {"metadata": {"name": "b", "labels": {"x": "2"}}})
    core.patch_namespaced_config_map("a", "shop", {"metadata": {"labels": {"x": "3"}}})
    seen = [
        (event["type"], event["object"].metadata.name)
        for event in watch.Watch().stream(
            core.list_namespaced_config_map, "shop", label_selector="x=1", resource_version=since,
            timeout_seconds=1)
    ]
    assert seen == [("ADDED", "a"), ("DELETED", "a")]


def test_a_wrong_token_is_unauthorized(kubeconfig: Path) -> None:
    http = raw(kubeconfig, "wrong")
    assert http.get("/api/v1/namespaces").status_code == 401
    assert raw(kubeconfig, "kube-token").get("/api/v1/namespaces").status_code == 200


def test_a_pod_that_is_being_stopped_can_be_given_less_time_and_never_more(
    api: client.ApiClient, kubeconfig: Path
) -> None:
    core = client.CoreV1Api(api)
    core.create_node({"metadata": {"name": "n"}})
    core.patch_node_status("n", {"status": {"conditions": [{"type": "Ready", "status": "True"}]}})
    core.create_namespaced_pod("shop", {"metadata": {"name": "p"}, "spec": {
        "terminationGracePeriodSeconds": 60, "containers": [{"name": "c", "image": "i"}]}})
    until(lambda: core.read_namespaced_pod("p", "shop").spec.node_name)
    http, path = raw(kubeconfig, "kube-token"), "/api/v1/namespaces/shop/pods/p"

    def given(**options: Any) -> int:
        answer = http.request("DELETE", path, **options).raise_for_status().json()
        return int(answer["metadata"]["deletionGracePeriodSeconds"])

    assert given() == 60
    assert given(params={"gracePeriodSeconds": "90"}) == 60
    assert given(params={"gracePeriodSeconds": "30"}) == 30
    assert given(json={"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 5}) == 5
    assert given() == 5
    assert http.request("DELETE", path, params={"gracePeriodSeconds": "-1"}).status_code == 400
    core.delete_collection_namespaced_pod("shop", grace_period_seconds=0)
    assert core.list_namespaced_pod("shop").items == []


def test_objects_survive_a_kill(sites: Any, api: client.ApiClient) -> None:
    core = client.CoreV1Api(api)
    core.create_namespaced_config_map("shop", {"metadata": {"name": "kept"}, "data": {"a": "1"}})
    version = core.read_namespaced_config_map("kept", "shop").metadata.resource_version
    sites.kill("primary")
    sites.start("kubernetes", "kube.server", "primary")

    def again() -> Any:
        try:
            return core.read_namespaced_config_map("kept", "shop")
        except Exception:
            return None

    assert until(again).metadata.resource_version == version


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_kubectl_applies_gets_scales_patches_and_deletes(kubeconfig: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "m.yaml"
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}
    manifest.write_text(yaml.safe_dump_all([space, DEPLOYMENT]))

    def kubectl(*arguments: str, ok: bool = True) -> str:
        done = subprocess.run(
            ["kubectl", "--kubeconfig", str(kubeconfig), *arguments], capture_output=True, text=True,
            env={**os.environ, "HOME": str(tmp_path)}, check=False)
        assert (done.returncode == 0) is ok, done.stderr
        return done.stdout + done.stderr

    assert "deployment.apps/web created" in kubectl("apply", "-f", str(manifest))
    assert "deployment.apps/web unchanged" in kubectl("apply", "-f", str(manifest))
    assert "serverside-applied" in kubectl("apply", "--server-side", "--force-conflicts", "-f",
                                           str(manifest))
    until(lambda: kubectl("get", "pods", "-A").count("Pending") == 2)
    assert "0/2" in kubectl("get", "deploy", "-n", "shop")
    kubectl("scale", "-n", "shop", "deploy/web", "--replicas=3")
    until(lambda: kubectl("get", "pods", "-n", "shop", "-l", "app=web", "--no-headers").count("\n") == 3)
    kubectl("-n", "shop", "patch", "deploy", "web", "-p",
            '{"spec":{"template":{"spec":{"containers":[{"name":"c","image":"new"}]}}}}')
    image = kubectl("-n", "shop", "get", "deploy", "web", "-o",
                    "jsonpath={.spec.template.spec.containers[0]}")
    assert '"image":"new"' in image
    assert '"A"' in image  # a strategic merge keeps what the patch does not name
    manifest.write_text(manifest.read_text().replace("replicas: 2", "replicaz: 2"))
    assert 'unknown field "spec.replicaz"' in kubectl("apply", "-f", str(manifest), ok=False)
    kubectl("delete", "namespace", "shop")
    assert "NotFound" in kubectl("get", "namespace", "shop", ok=False)
