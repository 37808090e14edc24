"""The orchestrator's public face against the names of the platform's API, and nothing else.

The client below is made from the tables of names, which are the platform's own: it knows no module of the
orchestrator. What it asks for and finds must be there under exactly these names.
"""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.orchestrator.test_api import BASE, client, config, started, store

__all__ = ["client", "config", "started", "store"]

def names(text: str) -> set[str]:
    """The words of a table's row."""
    return set(text.split())


CLUSTER_FIELDS = names(
    "id name type cloudProvider region drRegion vpcSubnetRange drVpcSubnetRange dbInstanceType isDrEnabled "
    "isFailedOver failoverInProgress enableReplicationTimeControl status healthStatus organizationId "
    "metadata nodePools createdAt updatedAt")
DEPLOYMENT_FIELDS = names(
    "id name namespace clusterId clusterName status apiUrl webServerUrl airflowVersion astroRuntimeVersion "
    "executor environmentVariables drWorkloadIdentity drOidcIssuerUrl drExternalIPs")
CLUSTER_STATUS = names(
    "CREATING CREATED CREATE_FAILED UPDATING UPDATE_FAILED UPGRADE_PENDING FAILING_OVER FAILOVER_FAILED "
    "ACCESS_DENIED")
DEPLOYMENT_STATUS = names("CREATING DEPLOYING HEALTHY UNHEALTHY UNKNOWN HIBERNATING")
HEALTH = {"HEALTHY", "UNHEALTHY"}
DETAIL_FIELDS = {"code", "component", "description", "severity"}
ERROR_FIELDS = {"message", "requestId", "statusCode"}
UPDATE = {
    "clusterType": "DEDICATED", "name": "one", "k8sTags": [], "workspaceIds": ["w"],
    "enableReplicationTimeControl": True, "drRegion": "east", "drVpcSubnetRange": "172.21.0.0/19"}


class Platform:
    """A client made from the tables above."""

    def __init__(self, http: TestClient) -> None:
        self._http = http

    def call(self, method: str, path: str, status: int = 200, **more: Any) -> dict[str, Any]:
        answer = self._http.request(method, BASE + path, **more)
        assert answer.status_code == status, answer.text
        return dict(answer.json())

    def cluster(self) -> dict[str, Any]:
        found = self.call("GET", "/clusters/c1")
        assert set(found) >= CLUSTER_FIELDS
        assert found["status"] in CLUSTER_STATUS
        assert found["type"] in {"DEDICATED", "HYBRID"}
        assert found["healthStatus"]["value"] in HEALTH
        assert all(set(d) == DETAIL_FIELDS for d in found["healthStatus"]["details"])
        return found

    def update(self, **fields: Any) -> dict[str, Any]:
        return self.call("POST", "/clusters/c1", json={**UPDATE, **fields})


@pytest.fixture
def platform(client: TestClient) -> Platform:
    return Platform(client)


def test_a_cluster_has_the_fields_and_values_of_the_platform(platform: Platform) -> None:
    found = platform.cluster()
    assert (found["isDrEnabled"], found["isFailedOver"], found["failoverInProgress"]) == (True, False, False)
    page = platform.call("GET", "/clusters?limit=5&offset=0")
    assert set(page) == {"clusters", "limit", "offset", "totalCount"}
    assert set(page["clusters"][0]) >= CLUSTER_FIELDS


def test_every_field_of_an_update_is_taken_and_what_is_set_already_changes_nothing(
    platform: Platform,
) -> None:
    before = platform.cluster()
    after = platform.update(isFailedOver=False, enableDr=None)
    changed = {k for k in CLUSTER_FIELDS if before[k] != after[k]}
    assert changed <= {"updatedAt", "metadata"}
    assert after["status"] == "CREATED"


def test_the_flag_starts_a_failover_that_a_client_can_poll(platform: Platform) -> None:
    asked = platform.update(isFailedOver=True)
    assert (asked["status"], asked["failoverInProgress"]) == ("FAILING_OVER", True)
    assert platform.cluster()["status"] == "FAILING_OVER"


def test_a_cluster_is_created_with_dr_under_the_platforms_names(platform: Platform) -> None:
    platform._http.delete(f"{BASE}/clusters/c1")
    made = platform.call("POST", "/clusters", json={
        "type": "DEDICATED", "cloudProvider": "AWS", "name": "one", "region": "west",
        "isDrEnabled": True, "drRegion": "east", "drVpcSubnetRange": "172.21.0.0/19"})
    assert set(made) >= CLUSTER_FIELDS
    assert made["status"] == "CREATING"


def test_deployments_are_listed_and_filtered_under_the_platforms_names(platform: Platform) -> None:
    for name in ("a", "b"):
        platform.call("POST", "/deployments", json={"name": name, "clusterId": "c1"})
    page = platform.call("GET", "/deployments?limit=1&offset=1")
    assert (len(page["deployments"]), page["limit"], page["offset"], page["totalCount"]) == (1, 1, 1, 2)
    one = platform.call("GET", "/deployments?names=a")["deployments"][0]
    assert set(one) >= DEPLOYMENT_FIELDS
    assert one["status"] in DEPLOYMENT_STATUS
    found = platform.call("GET", f"/deployments?deploymentIds={one['id']}&workspaceIds={one['workspaceId']}")
    assert [d["name"] for d in found["deployments"]] == ["a"]
    assert platform.call("GET", "/deployments?workspaceIds=none")["totalCount"] == 0


@pytest.mark.parametrize(("method", "path", "status", "more"), [
    ("GET", "/clusters/none", 404, {}),
    ("GET", "/clusters?limit=0", 400, {}),
    ("POST", "/clusters/c1", 400, {"json": {**UPDATE, "drRegion": "north"}}),
    ("POST", "/clusters/c1", 400, {"json": {**UPDATE, "clusterType": "HYBRID"}}),
    ("GET", "/clusters/c1", 401, {"headers": {"authorization": "Bearer no"}}),
])
def test_an_error_has_the_platforms_body(
    platform: Platform, method: str, path: str, status: int, more: dict[str, Any]
) -> None:
    body = platform.call(method, path, status, **more)
    assert set(body) == ERROR_FIELDS
    assert body["statusCode"] == status
    assert body["message"]


def test_the_openapi_document_names_every_call(platform: Platform) -> None:
    paths = platform._http.get("/openapi.json").json()["paths"]
    root = "/platform/v1beta1/organizations/{organization}"
    assert {"get", "post"} <= set(paths[f"{root}/clusters"])
    assert {"get", "post", "delete"} <= set(paths[f"{root}/clusters/{{cluster_id}}"])
    assert {"get", "post"} <= set(paths[f"{root}/deployments"])
