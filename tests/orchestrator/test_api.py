"""The orchestrator's API and manifests."""

import time
from pathlib import Path
from typing import Any

import pytest
from dbos import DBOS
from fastapi.testclient import TestClient

from orchestrator.api import build
from orchestrator.config import OrchestratorConfig, RegionConfig
from orchestrator.facts import DatabaseFacts, RegionFacts, StorageFacts
from orchestrator.manifests import Variant, render
from orchestrator.shapes import Readiness
from orchestrator.store import Cluster, Deployment, FailoverRequest, Report, Store

BASE = "/platform/v1beta1/organizations/org"
API, AGENT, READ, ADMIN = (f"{kind}-token-0123456789" for kind in ("api", "agent", "read", "admin"))


DEPLOYMENT = Deployment(
    id="d", name="team-00", namespace="airflow-team-00", provisioned=True,
    secrets=dict.fromkeys(("fernet_key", "jwt_secret", "secret_key", "admin_password", "db_name",
                           "db_user", "db_password"), "s"))


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
        aws_access_key="a", aws_secret_key="s", workload_aws_access_key="wa", workload_aws_secret_key="ws",
        api_token=API, agent_token=AGENT, read_token=READ,
        admin_token=ADMIN, rpo_bound=20.0)


@pytest.fixture
def store(config: OrchestratorConfig) -> Store:
    made = Store(config.store)
    made.put(Cluster(id="c1", name="one", region="west", drRegion="east", activeRegion="west",
                     writer="west", workloads={"west": True, "east": False}), "c1")
    tell(made, "west", writer=True)
    tell(made, "east")
    return made


def tell(store: Store, name: str, *, writer: bool = False, connected: bool = True,
         lag: float | None = 0.1, ago: float = 0.0, drift: list[str] | None = None) -> None:
    """A region's agent reports."""
    store.put(Report(
        region=name, generation=1, running_pods=0, at=time.time() - ago, drift=drift or [],
        facts=RegionFacts(database=DatabaseFacts(writer=writer, connected=connected, lag_s=lag),
                          storage=StorageFacts(pending_operations=2, pending_bytes=5, oldest_s=1.0))),
        name)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids for which a workflow was started (none is run)."""
    ids: list[str] = []
    monkeypatch.setattr(DBOS, "start_workflow", lambda _, id_: ids.append(id_))
    monkeypatch.setattr(DBOS, "enqueue_workflow", lambda _, __, id_: ids.append(id_))
    monkeypatch.setattr(Readiness, "components", lambda *_: {})
    return ids


@pytest.fixture
def client(config: OrchestratorConfig, store: Store, started: list[str]) -> TestClient:
    return TestClient(build(config, store), headers={"authorization": f"Bearer {API}"})


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
    made = store.all(Deployment)[0]
    store.put(made.model_copy(update={"provisioned": True}), made.id)
    agent = {"authorization": f"Bearer {AGENT}"}
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


def test_what_runs_in_a_region_may_come_to_its_end_while_that_is_left_as_planned_only(
    client: TestClient, store: Store
) -> None:
    def may_drain() -> list[bool]:
        return [client.get(f"/agent/clusters/c1/regions/{name}", headers={"authorization": f"Bearer {AGENT}"})
                .json()["drain"] for name in ("west", "east")]

    assert may_drain() == [False, False]
    client.post(f"{BASE}/clusters/c1", json=flag(True))
    assert may_drain() == [False, False]  # a failover
    request = store.all(FailoverRequest)[0]
    store.put(request.model_copy(update={"planned": True}), request.id)
    assert may_drain() == [True, False]
    store.put(request.model_copy(update={"planned": True, "status": "FAILED"}), request.id)
    assert may_drain() == [False, False]


def test_a_scheduler_is_given_the_time_to_drain_on_top_of_the_usual(config: OrchestratorConfig) -> None:
    drains = config.model_copy(update={"drain_seconds": 45.5})
    rendered = render(drains, [DEPLOYMENT], Variant(config.primary, active=True))
    grace = {m["metadata"]["name"]: m["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
             for m in rendered if m["kind"] == "Deployment"}
    assert grace == {"scheduler": 56, "api-server": 10}
    settings = next(m["data"] for m in rendered if m["kind"] == "ConfigMap")
    assert settings["DR_DRILL_DRAIN_SECONDS"] == "45.5"


def test_the_two_variants_differ_only_where_they_must(config: OrchestratorConfig) -> None:
    west = render(config, [DEPLOYMENT], Variant(config.primary, active=True))
    east = render(config, [DEPLOYMENT], Variant(config.secondary, active=False))
    assert [(m["kind"], m["metadata"]["name"]) for m in west] == [
        (m["kind"], m["metadata"]["name"]) for m in east]
    differing = {m["kind"] for m, n in zip(west, east, strict=True) if m != n}
    assert differing == {"ServiceAccount", "ConfigMap", "Secret", "Deployment"}
    hosts = [m["spec"]["rules"][0]["host"] for m in (*west, *east) if m["kind"] == "Ingress"]
    assert hosts == ["team-00.x.test"] * 2


def test_a_secret_variable_is_in_the_secret_alone_and_overrides_no_setting_of_its_region(
        config: OrchestratorConfig) -> None:
    variables = [{"key": "SHOWN", "value": "1", "isSecret": False}, {"key": "UNMARKED", "value": "2"},
                 {"key": "LICENCE", "value": "hunter22", "isSecret": True},
                 {"key": "AIRFLOW__CORE__PARALLELISM", "value": "7", "isSecret": True},
                 {"key": "DR_DRILL_REGION", "value": "elsewhere", "isSecret": True},
                 {"key": "AIRFLOW__CORE__FERNET_KEY", "value": "theirs", "isSecret": True}]
    made = DEPLOYMENT.model_copy(update={"environmentVariables": variables})
    objects = {m["kind"]: m for m in render(config, [made], Variant(config.primary, active=True))}
    settings, secret = objects["ConfigMap"]["data"], objects["Secret"]["stringData"]
    assert (settings["SHOWN"], settings["UNMARKED"], settings["DR_DRILL_REGION"]) == ("1", "2", "west")
    assert (secret["LICENCE"], secret["AIRFLOW__CORE__PARALLELISM"], secret["AIRFLOW__CORE__FERNET_KEY"]) == (
        "hunter22", "7", "s")
    assert not set(settings) & set(secret)
    assert "hunter22" not in str([m for m in objects.values() if m["kind"] != "Secret"])


def moved(store: Store) -> None:
    """The cluster has failed over: east is active, west follows."""
    store.change_cluster("c1", activeRegion="east", writer="east", isFailedOver=True,
                         workloads={"west": False, "east": True})
    tell(store, "east", writer=True)
    tell(store, "west")


def test_a_read_token_may_look_and_change_nothing(client: TestClient, started: list[str]) -> None:
    reader = {"authorization": f"Bearer {READ}"}
    assert client.get(f"{BASE}/clusters/c1", headers=reader).status_code == 200
    refused = client.post(f"{BASE}/clusters/c1", json=flag(True), headers=reader)
    assert refused.status_code == 403
    assert started == []


def test_a_failover_without_dr_is_refused(client: TestClient, store: Store) -> None:
    store.change_cluster("c1", isDrEnabled=False)
    answer = client.post(f"{BASE}/clusters/c1", json=flag(True))
    assert answer.status_code == 400
    assert "no disaster recovery" in answer.json()["message"]


def test_a_failover_to_an_unhealthy_standby_is_refused_unless_an_administrator_forces_it(
    client: TestClient, store: Store, started: list[str]
) -> None:
    tell(store, "east", ago=60)
    answer = client.post(f"{BASE}/clusters/c1", json=flag(True))
    assert answer.status_code == 409
    assert "east" in answer.json()["message"]
    assert client.post(f"{BASE}/clusters/c1?force=true", json=flag(True)).status_code == 403
    forced = client.post(f"{BASE}/clusters/c1?force=true", json=flag(True),
                         headers={"authorization": f"Bearer {ADMIN}"})
    assert forced.json()["status"] == "FAILING_OVER"
    assert len(started) == 1
    assert store.all(FailoverRequest)[0].forced


def test_a_lost_writer_does_not_make_its_standby_unfit_to_take_over(
    client: TestClient, store: Store, started: list[str]
) -> None:
    tell(store, "west", writer=True, ago=60)
    tell(store, "east", connected=False, lag=None)
    assert client.post(f"{BASE}/clusters/c1", json=flag(True)).json()["status"] == "FAILING_OVER"
    assert len(started) == 1


def test_a_failback_is_refused_with_the_lag_until_the_old_primary_has_caught_up(
    client: TestClient, store: Store, started: list[str]
) -> None:
    moved(store)
    tell(store, "west", lag=42.5)
    answer = client.post(f"{BASE}/clusters/c1", json=flag(False))
    assert answer.status_code == 409
    assert "42.5 s behind" in answer.json()["message"]
    assert client.get(f"{BASE}/clusters/c1").json()["metadata"]["failbackBlockedBy"]
    tell(store, "west", lag=0.2)
    assert client.get(f"{BASE}/clusters/c1").json()["metadata"]["failbackBlockedBy"] == ""
    assert client.post(f"{BASE}/clusters/c1", json=flag(False)).json()["status"] == "FAILING_OVER"
    assert len(started) == 1


@pytest.mark.parametrize(("told", "code", "severity"), [
    ({"ago": 60.0}, "REGION_SILENT", "CRITICAL"),
    ({"connected": False}, "DATABASE_REPLICATION_STOPPED", "CRITICAL"),
    ({"lag": 30.0}, "DATABASE_REPLICATION_LAG", "WARNING"),
    ({"lag": None}, "DATABASE_REPLICATION_LAG_UNKNOWN", "WARNING"),
    ({"lag": 400.0}, "DATABASE_REPLICATION_LAG", "CRITICAL")])
def test_an_issue_in_either_region_makes_the_cluster_unhealthy(
    client: TestClient, store: Store, told: dict[str, Any], code: str, severity: str
) -> None:
    assert client.get(f"{BASE}/clusters/c1").json()["healthStatus"] == {"value": "HEALTHY", "details": []}
    tell(store, "east", **told)
    shown = client.get(f"{BASE}/clusters/c1").json()
    assert shown["healthStatus"]["value"] == "UNHEALTHY"
    assert [(d["code"], d["component"], d["severity"]) for d in shown["healthStatus"]["details"]] == [
        (code, "east", severity)]
    assert shown["metadata"]["healthSeverity"] == severity


def test_drift_that_was_put_right_is_told_and_does_not_make_the_cluster_unhealthy(
    client: TestClient, store: Store
) -> None:
    tell(store, "east", drift=["Deployment airflow-x/scheduler: spec.replicas"])
    health = client.get(f"{BASE}/clusters/c1").json()["healthStatus"]
    assert health["value"] == "HEALTHY"
    assert "spec.replicas" in health["details"][0]["description"]


def test_a_role_that_a_region_misses_makes_the_cluster_unhealthy_before_a_failover_needs_it(
    client: TestClient, store: Store
) -> None:
    report = store.get(Report, "east")
    assert report is not None
    store.put(report.model_copy(update={"missing_roles": ["airflow-a-east"]}), "east")
    health = client.get(f"{BASE}/clusters/c1").json()["healthStatus"]
    assert health["value"] == "UNHEALTHY"
    assert [(d["code"], d["component"], d["severity"]) for d in health["details"]] == [
        ("IAM_ROLE_MISSING", "east", "CRITICAL")]


def test_each_region_shows_its_curated_set_and_what_it_does_there(client: TestClient, store: Store) -> None:
    report = store.get(Report, "east")
    assert report is not None
    store.put(report.model_copy(update={"failing": {"observability": "no answer"}}), "east")
    regions = client.get(f"{BASE}/clusters/c1").json()["metadata"]["regions"]
    west, east = ({p["name"]: p for p in regions[name]["plugins"]} for name in ("west", "east"))
    assert west["observability"]["state"] == west["manifest-reconciler"]["state"] == "running"
    assert east["observability"]["state"] == "failing: no answer"
    assert west["manifest-reconciler"]["does"] != east["manifest-reconciler"]["does"]


def test_what_is_not_carried_over_is_listed_per_deployment_before_and_after(
    client: TestClient, store: Store
) -> None:
    client.post(f"{BASE}/deployments", json={"name": "team-00", "clusterId": "c1"})
    before = client.get(f"{BASE}/clusters/c1/manual-work").json()["deployments"]
    assert [(d["deploymentName"], d["region"]) for d in before] == [("team-00", "east")]
    assert {i["code"] for i in before[0]["items"]} == {
        "CUSTOMER_NETWORKING", "IMAGE_PULL_SECRETS", "CUSTOMER_WORKLOAD_IDENTITY",
        "TRANSIT_GATEWAY_ROUTING"}
    assert "airflow-team-00" in before[0]["items"][1]["todo"]
    moved(store)
    assert client.get(f"{BASE}/clusters/c1/manual-work").json()["deployments"] == before


def test_the_metrics_of_both_regions_carry_the_region_and_the_standbys_the_suffix(
    client: TestClient,
) -> None:
    text = client.get("/metrics").text
    assert 'dr_region_database_lag_seconds{cloud_region="east",cluster="c1-dr"} 0.1' in text
    assert 'dr_region_active{cloud_region="west",cluster="c1"} 1.0' in text
    assert client.get("/metrics", headers={"authorization": ""}).status_code == 401


def test_every_answer_has_a_request_id_and_an_error_repeats_it(client: TestClient) -> None:
    answer = client.get(f"{BASE}/clusters/none")
    assert answer.status_code == 404
    assert answer.headers["x-request-id"] == answer.json()["requestId"]


def test_a_cluster_is_made_with_dr_and_removed_when_it_is_empty(
    client: TestClient, store: Store, started: list[str]
) -> None:
    body = {"name": "two", "region": "west", "isDrEnabled": True, "drRegion": "east"}
    assert client.post(f"{BASE}/clusters", json=body).status_code == 409  # there is one
    client.post(f"{BASE}/deployments", json={"name": "team-00", "clusterId": "c1"})
    assert client.delete(f"{BASE}/clusters/c1").status_code == 409
    client.delete(f"{BASE}/deployments/{store.all(Deployment)[0].id}")
    assert client.delete(f"{BASE}/clusters/c1").status_code == 204
    wrong = client.post(f"{BASE}/clusters", json={**body, "drRegion": "north"})
    assert (wrong.status_code, "serves east" in wrong.json()["message"]) == (400, True)
    made = client.post(f"{BASE}/clusters", json=body).json()
    assert (made["status"], made["drRegion"], made["isDrEnabled"]) == ("CREATING", "east", True)
    assert started[-1] == "c1"
