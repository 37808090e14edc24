"""The kinds that the embedded Kubernetes API serves, and what is known about each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Resource:
    """One kind: where it is served, and under which model of the official client it is checked."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    short: tuple[str, ...] = ()
    status: bool = False
    scale: bool = False

    @property
    def api_version(self) -> str:
        """``v1`` or ``group/version``."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def path(self) -> str:
        """The prefix of the group's paths: ``/api/v1`` or ``/apis/group/version``."""
        return f"/apis/{self.api_version}" if self.group else f"/api/{self.version}"

    @property
    def model(self) -> str:
        """The official Python client's class for this kind."""
        return {"Event": "CoreV1Event"}.get(self.kind, f"V1{self.kind}")


RESOURCES = (
    Resource("", "v1", "namespaces", "Namespace", namespaced=False, short=("ns",), status=True),
    Resource("", "v1", "nodes", "Node", namespaced=False, short=("no",), status=True),
    Resource("", "v1", "pods", "Pod", short=("po",), status=True),
    Resource("", "v1", "services", "Service", short=("svc",), status=True),
    Resource("", "v1", "secrets", "Secret"),
    Resource("", "v1", "configmaps", "ConfigMap", short=("cm",)),
    Resource("", "v1", "serviceaccounts", "ServiceAccount", short=("sa",)),
    Resource("", "v1", "events", "Event", short=("ev",)),
    Resource("apps", "v1", "deployments", "Deployment", short=("deploy",), status=True, scale=True),
    Resource("apps", "v1", "statefulsets", "StatefulSet", short=("sts",), status=True, scale=True),
    Resource("batch", "v1", "jobs", "Job", status=True),
    Resource("networking.k8s.io", "v1", "ingresses", "Ingress", short=("ing",), status=True),
)

BY_PLURAL = {(r.group, r.version, r.plural): r for r in RESOURCES}
BY_KIND = {r.kind: r for r in RESOURCES}
VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]


def discovery(group: str, version: str) -> dict[str, object] | None:
    """The APIResourceList of a group and version, or None where there is none."""
    held = [r for r in RESOURCES if (r.group, r.version) == (group, version)]
    if not held:
        return None
    entries: list[dict[str, object]] = []
    for r in held:
        base = {"namespaced": r.namespaced, "kind": r.kind, "singularName": r.kind.lower()}
        entries.append({**base, "name": r.plural, "verbs": VERBS, "shortNames": list(r.short)})
        if r.status:
            entries.append({**base, "name": f"{r.plural}/status", "singularName": "",
                            "verbs": ["get", "patch", "update"]})
        if r.scale:
            entries.append({"name": f"{r.plural}/scale", "singularName": "", "namespaced": True,
                            "group": "autoscaling", "version": "v1", "kind": "Scale",
                            "verbs": ["get", "patch", "update"]})
        if r.kind == "Pod":
            entries.append({**base, "name": "pods/log", "singularName": "", "verbs": ["get"]})
    return {
        "kind": "APIResourceList", "apiVersion": "v1",
        "groupVersion": f"{group}/{version}" if group else version, "resources": entries,
    }


def groups() -> dict[str, object]:
    """The APIGroupList of all named groups."""
    found: dict[str, object] = {}
    for r in RESOURCES:
        if r.group and r.group not in found:
            version = {"groupVersion": r.api_version, "version": r.version}
            found[r.group] = {"name": r.group, "versions": [version], "preferredVersion": version}
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": list(found.values())}


def openapi(group: str, version: str) -> dict[str, object]:
    """A minimal OpenAPI v3 document: tells kubectl that the server validates fields itself."""
    paths: dict[str, object] = {}
    for r in RESOURCES:
        if (r.group, r.version) != (group, version):
            continue
        where = f"/namespaces/{{namespace}}/{r.plural}" if r.namespaced else f"/{r.plural}"
        paths[f"{r.path}{where}/{{name}}"] = {
            "patch": {
                "parameters": [
                    {"name": "fieldValidation", "in": "query",
                     "schema": {"type": "string", "uniqueItems": True}},
                ],
                "x-kubernetes-group-version-kind": {"group": group, "version": version,
                                                    "kind": r.kind},
                "responses": {},
            }
        }
    return {"openapi": "3.0.0", "info": {"title": "dr-drill", "version": "v1.32"}, "paths": paths}
