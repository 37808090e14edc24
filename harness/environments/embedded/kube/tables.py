"""Lists as tables: what ``kubectl get`` prints."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

Object = dict[str, Any]
Cells = Callable[[Object], list[Any]]


def table(kind: str, objects: list[Object], version: str) -> Object:
    """A ``meta.k8s.io/v1`` Table of objects of one kind."""
    names, cells = COLUMNS.get(kind, (["Name", "Age"], lambda o: [_name(o), _age(o)]))
    return {
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {"resourceVersion": version},
        "columnDefinitions": [
            {"name": name, "type": "string", "format": "name" if name == "Name" else "",
             "description": name, "priority": 1 if name in ("IP", "Node") else 0}
            for name in names
        ],
        "rows": [
            {"cells": cells(obj),
             "object": {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
                        "metadata": obj["metadata"]}}
            for obj in objects
        ],
    }


def _pod(obj: Object) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    statuses = status.get("containerStatuses", [])
    shown = status.get("reason") or status.get("phase", "Pending")
    for entry in statuses:
        waiting = (entry.get("state") or {}).get("waiting")
        shown = waiting["reason"] if waiting else shown
    if obj["metadata"].get("deletionTimestamp"):
        shown = "Terminating"
    ready = sum(1 for entry in statuses if entry.get("ready"))
    restarts = sum(entry.get("restartCount", 0) for entry in statuses)
    return [_name(obj), f"{ready}/{len(spec.get('containers', []))}", shown, restarts, _age(obj),
            status.get("podIP", "<none>"), spec.get("nodeName", "<none>")]


def _workload(obj: Object) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    return [_name(obj), f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 0)}",
            status.get("updatedReplicas", 0), status.get("availableReplicas", 0), _age(obj)]


def _job(obj: Object) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    return [_name(obj), f"{status.get('succeeded', 0)}/{spec.get('completions', 1)}", _age(obj)]


def _namespace(obj: Object) -> list[Any]:
    return [_name(obj), (obj.get("status") or {}).get("phase", ""), _age(obj)]


def _node(obj: Object) -> list[Any]:
    conditions = (obj.get("status") or {}).get("conditions", [])
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
    version = ((obj.get("status") or {}).get("nodeInfo") or {}).get("kubeletVersion", "")
    return [_name(obj), "Ready" if ready else "NotReady", _age(obj), version]


def _service(obj: Object) -> list[Any]:
    spec = obj.get("spec") or {}
    ports = ",".join(f"{p['port']}/{p.get('protocol', 'TCP')}" for p in spec.get("ports", []))
    return [_name(obj), spec.get("type", "ClusterIP"), ports or "<none>", _age(obj)]


def _data(obj: Object) -> list[Any]:
    return [_name(obj), len(obj.get("data") or {}), _age(obj)]


def _ingress(obj: Object) -> list[Any]:
    hosts = [r.get("host", "*") for r in (obj.get("spec") or {}).get("rules", [])]
    return [_name(obj), ",".join(hosts), _age(obj)]


def _event(obj: Object) -> list[Any]:
    involved = obj.get("involvedObject") or {}
    return [obj.get("lastTimestamp", ""), obj.get("type", ""), obj.get("reason", ""),
            f"{str(involved.get('kind', '')).lower()}/{involved.get('name', '')}",
            obj.get("message", "")]


COLUMNS: dict[str, tuple[list[str], Cells]] = {
    "Pod": (["Name", "Ready", "Status", "Restarts", "Age", "IP", "Node"], _pod),
    "Deployment": (["Name", "Ready", "Up-to-date", "Available", "Age"], _workload),
    "StatefulSet": (["Name", "Ready", "Up-to-date", "Available", "Age"], _workload),
    "Job": (["Name", "Completions", "Age"], _job),
    "Namespace": (["Name", "Status", "Age"], _namespace),
    "Node": (["Name", "Status", "Age", "Version"], _node),
    "Service": (["Name", "Type", "Port(s)", "Age"], _service),
    "Secret": (["Name", "Data", "Age"], _data),
    "ConfigMap": (["Name", "Data", "Age"], _data),
    "Ingress": (["Name", "Hosts", "Age"], _ingress),
    "Event": (["Last seen", "Type", "Reason", "Object", "Message"], _event),
}


def _name(obj: Object) -> str:
    return str(obj["metadata"]["name"])


def _age(obj: Object) -> str:
    created = datetime.strptime(obj["metadata"]["creationTimestamp"], "%Y-%m-%dT%H:%M:%SZ")
    seconds = int((datetime.now(UTC) - created.replace(tzinfo=UTC)).total_seconds())
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{max(0, seconds)}s"
