"""A region's Kubernetes through the official client: apply manifests, count what runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path
from typing import Any

from kubernetes import client

from loadgen.wire.kubernetes import kubernetes_client_at, kubernetes_client_of
from orchestrator.drift import Key, key_of
from orchestrator.manifests import FIELD_MANAGER, GRACE_S, STOP_S, Manifest

CONNECT_S, READ_S = 2.0, 10.0
PARALLEL = 4
PLURALS = {"Ingress": "ingresses"}
AIRFLOW = "app.kubernetes.io/part-of=airflow"
MANAGED = "dr-drill/deployment"
"""The label that every object of a Deployment carries."""


class KubernetesRegion:
    """One region's API server."""

    def __init__(self, api: client.ApiClient) -> None:
        self._api = api
        self._core = client.CoreV1Api(api)
        self._batch = client.BatchV1Api(api)
        self._apps = client.AppsV1Api(api)

    @classmethod
    def from_kubeconfig(cls, path: Path) -> KubernetesRegion:
        """Reach the cluster that a kubeconfig file describes."""
        return cls(kubernetes_client_of(path))

    @classmethod
    def at(cls, server: str, token: str, ca: str) -> KubernetesRegion:
        """Reach a cluster by address, bearer token and certificate authority file."""
        return cls(kubernetes_client_at(server, token, ca))

    def apply(self, manifest: Manifest) -> None:
        """Server-side apply one object.

        Raises:
            kubernetes.client.ApiException: when the API refuses it.
        """
        group = manifest["apiVersion"]
        meta = manifest["metadata"]
        plural = _plural(manifest["kind"])
        root = f"/apis/{group}" if "/" in group else f"/api/{group}"
        space = f"/namespaces/{meta['namespace']}" if "namespace" in meta else ""
        request = self._api.param_serialize(
            "PATCH", f"{root}{space}/{plural}/{meta['name']}",
            query_params=[("fieldManager", FIELD_MANAGER), ("force", "true")],
            header_params={"Content-Type": "application/apply-patch+yaml",
                           "Accept": "application/json"},
            body=manifest, auth_settings=["BearerToken"],
        )
        answer = self._api.call_api(*request, _request_timeout=(CONNECT_S, READ_S))
        body = answer.read()
        if not 200 <= answer.status <= 299:
            raise client.ApiException.from_response(
                http_resp=answer, body=body.decode(errors="replace"), data=None)

    def apply_all(self, manifests: Iterable[Manifest]) -> None:
        """Apply many objects: each namespace's in order, a few namespaces at a time.

        Raises:
            kubernetes.client.ApiException: the first refusal, after all have been tried.
        """

        def space(manifest: Manifest) -> str:
            meta = manifest["metadata"]
            return str(meta.get("namespace") or meta["name"])

        groups = [list(group) for _, group in groupby(manifests, key=space)]

        def one(group: list[Manifest]) -> None:
            for manifest in group:
                self.apply(manifest)

        _all(one, groups)

    def list_managed(self, api_version: str, kind: str) -> dict[Key, Manifest]:
        """All objects of a kind that belong to a Deployment, in all namespaces."""
        root = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
        found = self._call("GET", f"{root}/{_plural(kind)}", [("labelSelector", MANAGED)])
        objects = [{**obj, "apiVersion": api_version, "kind": kind} for obj in found["items"]]
        return {key_of(obj): obj for obj in objects}

    def delete(self, key: Key, api_version: str) -> None:
        """Remove one object; one that is gone already is as good.

        Raises:
            kubernetes.client.ApiException: when the API refuses it.
        """
        kind, namespace, name = key
        root = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
        space = f"/namespaces/{namespace}" if namespace else ""
        try:
            self._call("DELETE", f"{root}{space}/{_plural(kind)}/{name}", [])
        except client.ApiException as error:
            if error.status != 404:
                raise

    def stop_airflow(self, *, drain: bool) -> None:
        """Scale every Airflow workload of the region to nothing.

        ``drain``: what runs may come to its end; otherwise it is hurried.

        Raises:
            kubernetes.client.ApiException: the first refusal, after all have been tried.
        """
        found: Any = self._apps.list_deployment_for_all_namespaces(
            label_selector=AIRFLOW, _request_timeout=(CONNECT_S, READ_S))
        running = [] if drain else self._draining()

        def stop(workload: Any) -> None:
            meta = workload.metadata
            if workload.spec.replicas:
                self._apps.patch_namespaced_deployment_scale(
                    meta.name, meta.namespace, {"spec": {"replicas": 0}},
                    _request_timeout=(CONNECT_S, READ_S))
            # At once, lest they drain in the meantime; not before, lest they be replaced.
            for pod in running:
                if (pod.metadata.namespace, pod.metadata.labels["component"]) == (meta.namespace, meta.name):
                    self._hurry(pod)

        _all(stop, found.items)

    def hurry(self) -> None:
        """Give no time to drain any more to Airflow that is being stopped.

        Raises:
            kubernetes.client.ApiException: the first refusal, after all have been tried.
        """
        _all(self._hurry, self._draining())

    def _draining(self) -> list[Any]:
        """The pods that are given, or would be, more than the usual time to end."""

        def grace(pod: Any) -> int:
            own = pod.spec.termination_grace_period_seconds
            return int(pod.metadata.deletion_grace_period_seconds or own or 0)

        return [pod for pod in self._airflow() if grace(pod) > GRACE_S]

    def _hurry(self, pod: Any) -> None:
        try:
            self._core.delete_namespaced_pod(
                pod.metadata.name, pod.metadata.namespace, grace_period_seconds=STOP_S,
                _request_timeout=(CONNECT_S, READ_S))
        except client.ApiException as error:
            if error.status != 404:
                raise

    def _call(self, method: str, path: str, query: list[tuple[str, str]]) -> Manifest:
        request = self._api.param_serialize(
            method, path, query_params=query, header_params={"Accept": "application/json"},
            auth_settings=["BearerToken"])
        answer = self._api.call_api(*request, _request_timeout=(CONNECT_S, READ_S))
        body = answer.read().decode(errors="replace")
        if not 200 <= answer.status <= 299:
            raise client.ApiException.from_response(http_resp=answer, body=body, data=None)
        return dict(json.loads(body))

    def airflow_pods(self) -> int:
        """How many Airflow pods have a process in this region (those being stopped included)."""
        return len(self._airflow())

    def ready_components(self) -> dict[str, set[str]]:
        """Namespace to the Airflow components that are ready there."""
        found: dict[str, set[str]] = {}
        for pod in self._airflow():
            conditions = pod.status.conditions or []
            if any(c.type == "Ready" and c.status == "True" for c in conditions):
                found.setdefault(pod.metadata.namespace, set()).add(pod.metadata.labels["component"])
        return found

    def _airflow(self) -> list[Any]:
        found: Any = self._core.list_pod_for_all_namespaces(
            label_selector=AIRFLOW, _request_timeout=(CONNECT_S, READ_S))
        return [pod for pod in found.items if pod.status.phase in ("Running", "Pending")]

    def job_outcome(self, namespace: str, name: str) -> str | None:
        """``Complete``, ``Failed``, or None while the job runs."""
        job: Any = self._batch.read_namespaced_job(
            name, namespace, _request_timeout=(CONNECT_S, READ_S))
        for condition in job.status.conditions or []:
            if condition.type in ("Complete", "Failed") and condition.status == "True":
                return str(condition.type)
        return None

    def delete_job(self, namespace: str, name: str) -> None:
        """Remove a job with its pods and its secret."""
        self._batch.delete_namespaced_job(
            name, namespace, propagation_policy="Background", _request_timeout=(CONNECT_S, READ_S))
        self._core.delete_namespaced_secret(
            name, namespace, _request_timeout=(CONNECT_S, READ_S))


def _all(act: Callable[[Any], None], objects: Iterable[Any]) -> None:
    """Do something to many objects, a few at a time."""
    with ThreadPoolExecutor(PARALLEL) as pool:
        for done in [pool.submit(act, obj) for obj in objects]:
            done.result()


def _plural(kind: str) -> str:
    return PLURALS.get(kind, kind.lower() + "s")
