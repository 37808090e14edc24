"""The ``astro`` driver: an Astro-shaped platform API (v1beta1).

The same calls drive the reference orchestrator and the real platform; only the base URL, the
organization and the token differ.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import httpx
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_exponential

from harness.systems.base import ClusterState, FleetMember, Kind, OrchestratorFailed
from loadgen.wire.http import http_client

PAGE = 100


class AstroOrchestrator:
    """A client for one cluster. Implements :class:`harness.systems.base.Orchestrator`."""

    def __init__(self, base_url: str, organization: str, cluster_id: str, token: str) -> None:
        self._cluster_id = cluster_id
        self._http = http_client(
            base_url=f"{base_url}/platform/v1beta1/organizations/{organization}", timeout=10,
            headers={"authorization": f"Bearer {token}"},
        )

    def create_deployments(self, names: Sequence[str], environment: Mapping[str, str],
                           secret: Collection[str] = ()) -> None:
        """Have Deployments made; a name that exists already is left as it is."""
        variables = [{"key": k, "value": v, "isSecret": k in secret} for k, v in environment.items()]
        for name in names:
            self._call("POST", "/deployments", {
                "name": name, "clusterId": self._cluster_id, "environmentVariables": variables})

    def deployments(self) -> list[FleetMember]:
        """All Deployments, over all pages."""
        found: list[FleetMember] = []
        while True:
            page = self._call("GET", f"/deployments?limit={PAGE}&offset={len(found)}")
            found += [
                FleetMember(d["id"], d["name"], d["namespace"], d["status"],
                            urllib.parse.urlsplit(d["webServerUrl"]).hostname or "",
                            d["clusterId"])
                for d in page["deployments"]
            ]
            if len(found) >= page["totalCount"] or not page["deployments"]:
                return found

    def cluster(self) -> ClusterState:
        """The cluster record."""
        return _state(self._call("GET", f"/clusters/{self._cluster_id}"))

    def clusters(self) -> list[ClusterState]:
        """All clusters of the organization."""
        return [_state(raw) for raw in self._call("GET", f"/clusters?limit={PAGE}")["clusters"]]

    def manual_work(self) -> dict[str, list[str]]:
        """The reference orchestrator's list; empty where the platform has none."""
        try:
            found = self._call("GET", f"/clusters/{self._cluster_id}/manual-work")
        except OrchestratorFailed:
            return {}
        return {d["deploymentName"]: [item["code"] for item in d["items"]] for d in found["deployments"]}

    def metrics(self) -> str:
        """The exposition of the server's ``/metrics``; empty where there is none."""
        base = str(self._http.base_url).split("/platform/", 1)[0]
        answer = self._http.get(f"{base}/metrics")
        return answer.text if answer.is_success else ""

    def trigger(self, kind: Kind, *, planned: bool = False) -> None:
        """Set or clear ``isFailedOver``. Where the answer is lost, look whether the request was taken."""
        before = self.cluster()
        body = {"clusterType": "DEDICATED", "name": before.raw["name"], "k8sTags": [],
                "isFailedOver": kind == "failover"}
        try:
            answer = self._http.post(f"/clusters/{self._cluster_id}", json=body,
                                     params={"planned": True} if planned else None)
        except httpx.HTTPError as error:
            after = self.cluster()
            if not after.settled or after.is_failed_over == (kind == "failover"):
                return
            raise OrchestratorFailed(f"the {kind} request got no answer: {error!r}") from error
        if answer.status_code >= 400:
            raise OrchestratorFailed(f"the {kind} was refused: {_message(answer)}")

    def history(self) -> list[dict[str, Any]]:
        """Requests with their steps; empty where the platform does not show them."""
        try:
            found = self._call("GET", f"/clusters/{self._cluster_id}/failovers")
        except OrchestratorFailed:
            return []
        return list(found["failovers"])

    @retry(retry=retry_if_exception_type(httpx.TransportError), reraise=True,
           stop=stop_after_delay(20), wait=wait_exponential(multiplier=0.1, max=1))
    def _call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        answer = self._http.request(method, path, json=body)
        if answer.status_code >= 400:
            raise OrchestratorFailed(f"{method} {path}: {_message(answer)}")
        return dict(answer.json())


def _state(raw: dict[str, Any]) -> ClusterState:
    return ClusterState(raw["status"], raw["isFailedOver"], raw["region"], raw["drRegion"], raw)


def _message(answer: httpx.Response) -> str:
    try:
        return f"{answer.status_code} {answer.json().get('message', answer.text)}"
    except ValueError:
        return f"{answer.status_code} {answer.text[:200]}"
