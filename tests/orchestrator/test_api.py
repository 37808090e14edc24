"""The orchestrator's API and manifests."""

from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from orchestrator import api as api_module
from orchestrator.api import build
from orchestrator.config import OrchestratorConfig, RegionConfig
from orchestrator.manifests import Variant, render
from orchestrator.store import Cluster, Deployment, FailoverRequest, Report, Store

BASE = "/platform/v1beta1/organizations/org"


def region(name: str) -> RegionConfig:
    return RegionConfig(
        name=name, aws_endpoint=f"http://{name}", kubeconfig=Path("none"), db_cluster_id=name,
        db_instance_id=f"{name}-1", database_host=f"db.{name}", ingress_address=f"in.{name}",
        log_bucket=f"logs-{name}", workload_aws_endpoint=f"http://aws.{name}",
        workload_env={"WITNESS": name})


@pytest.fixture
def config(tmp_path: Path) -> OrchestratorConfig:
    return OrchestratorConfig(
        host="127.0.0.1", port=1, store=tmp_path / "o.sqlite", organization_id="org",
        cluster_id="c1", cluster_name="one", primary=region("west"), secondary=region("east"),
        global_cluster_id="g", global_aws_endpoint="http://g", hosted_zone_id="z", domain="x.test",
        aws_access_key="a", aws_secret_key="s", api_token="api", agent_token="agent")


@pytest.fixture
def store(config: OrchestratorConfig) -> Store:
    made = Store(config.store)
    made.put(Cluster(id="c1", name="one", region="west", drRegion="east", activeRegion="west",
                     writer="west", workloads={"west": True, "east": False}), "c1")
    return made


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids for which a workflow was started (none is run)."""
    ids: list[str] = []
    monkeypatch.setattr(api_module.DBOS, "start_workflow", lambda _, id_: ids.append(id_))
    monkeypatch.setattr(api_module.DBOS, "enqueue_workflow", lambda _, __, id_: ids.append(id_))
    monkeypatch.setattr(api_module._Readiness, "components", lambda *_: {})
    return ids


@pytest.fixture
def client(config: OrchestratorConfig, store: Store, started: list[str]) -> TestClient:
    return TestClient(build(config, store), headers={"authorization": "Bearer api"})


def flag(value: bool | None, **more: Any) -> dict[str, Any]:
    return {"clusterType": "DEDICATED", "name": "one", "k8sTags": [], "isFailedOver": value, **more}


def test_a_wrong_token_is_refused_with_the_platforms_error_body(client: TestClient) -> None:
    answer = client.get(f"{BASE}/clusters", headers={"authorization": "Bearer no"})
    assert answer.status_code == 401
    assert set(answer.json()) == {"message", "requestId", "statusCode"}
    assert client.get("/agent/clusters/c1/regions/west").status_code == 401  # not the agents' token


def test_the_cluster_has_the_platforms_fields(client: TestClient) -> None:
    shown = client.get(f"{BASE}/clusters/c1").json()
    assert {"id", "name", "type", "cloudProvider", "region", "drRegion", "isDrEnabled",
            "isFailedOver", "failoverInProgress", "status", "healthStatus", "organizationId",
            "nodePools", "createdAt", "updatedAt"} <= set(shown)
    assert (shown["status"], shown["isFailedOver"]) == ("CREATED", False)
    page = client.get(f"{BASE}/clusters?limit=1&offset=1").json()
    assert page == {"clusters": [], "limit": 1, "offset": 1, "totalCount": 1}


def test_setting_the_flag_accepts_one_failover_and_a_second_is_refused(
    client: TestClient, store: Store, started: list[str]
) -> None:
    answer = client.post(f"{BASE}/clusters/c1", json=flag(True)).json()
    assert (answer["status"], answer["failoverInProgress"]) == ("FAILING_OVER", True)
    assert started == [store.all(FailoverRequest)[0].id]
    again = client.post(f"{BASE}/clusters/c1", json=flag(True))
    assert again.status_code == 409
    assert "in progress" in again.json()["message"]
    assert len(started) == 1


def test_sending_the_value_it_has_already_changes_nothing(
    client: TestClient, started: list[str]
) -> None:
    assert client.post(f"{BASE}/clusters/c1", json=flag(False)).json()["status"] == "CREATED"
    assert started == []


def test_a_failed_failover_can_be_asked_for_again(
    client: TestClient, store: Store, started: list[str]
) -> None:
    store.change_cluster("c1", status="FAILOVER_FAILED")
    client.post(f"{BASE}/clusters/c1", json=flag(True))
    assert len(started) == 1


@pytest.mark.parametrize(("body", "message"), [
    (flag(None, drRegion="north"), "cannot be changed"), ({"name": "x"}, "Field required"),
    (flag(True, surprise=1), "Extra inputs")])
def test_a_bad_update_is_refused_with_a_reason(
    client: TestClient, body: dict[str, Any], message: str
) -> None:
    answer = client.post(f"{BASE}/clusters/c1", json=body)
    assert answer.status_code == 400
    assert message in answer.json()["message"]


def test_creating_a_deployment_twice_makes_one(client: TestClient, store: Store) -> None:
    body = {"name": "team-00", "clusterId": "c1"}
    first = client.post(f"{BASE}/deployments", json=body).json()
    assert client.post(f"{BASE}/deployments", json=body).json()["id"] == first["id"]
    listed = client.get(f"{BASE}/deployments?names=team-00").json()
    assert listed["totalCount"] == 1
    assert listed["deployments"][0]["webServerUrl"] == "http://team-00.x.test"
    assert store.all(Deployment)[0].secrets["fernet_key"] not in str(listed)


def test_an_agent_pulls_its_variant_once_and_reports(client: TestClient, store: Store) -> None:
    client.post(f"{BASE}/deployments", json={"name": "team-00", "clusterId": "c1"})
    agent = {"authorization": "Bearer agent"}
    wanted = client.get("/agent/clusters/c1/regions/east", headers=agent).json()
    assert (wanted["active"], wanted["generation"]) == (False, 1)
    assert {m["spec"]["replicas"] for m in wanted["manifests"] if m["kind"] == "Deployment"} == {0}
    again = client.get("/agent/clusters/c1/regions/east?have=1", headers=agent).json()
    assert again["manifests"] == []
    client.post("/agent/clusters/c1/regions/east", headers=agent,
                json={"generation": 1, "running_pods": 3})
    report = store.get(Report, "east")
    assert report is not None
    assert (report.generation, report.running_pods) == (1, 3)


def test_the_two_variants_differ_only_where_they_must(config: OrchestratorConfig) -> None:
    deployment = Deployment(
        id="d", name="team-00", namespace="airflow-team-00",
        secrets=dict.fromkeys(("fernet_key", "jwt_secret", "secret_key", "admin_password", "db_name",
                               "db_user", "db_password"), "s"))
    west = render(config, [deployment], Variant(config.primary, active=True))
    east = render(config, [deployment], Variant(config.secondary, active=False))
    assert [(m["kind"], m["metadata"]["name"]) for m in west] == [
        (m["kind"], m["metadata"]["name"]) for m in east]
    differing = {m["kind"] for m, n in zip(west, east, strict=True) if m != n}
    assert differing == {"ServiceAccount", "ConfigMap", "Secret", "Deployment"}
    hosts = [m["spec"]["rules"][0]["host"] for m in (*west, *east) if m["kind"] == "Ingress"]
    assert hosts == ["team-00.x.test"] * 2
