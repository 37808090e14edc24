"""The controllers: what makes a Deployment become Pods and a deleted Namespace disappear.

One loop over the whole store at every change. With about a thousand objects a pass takes
milliseconds, and a pass that looks at everything cannot miss an event.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import hashlib
import json
import uuid
from typing import Any

from harness.environments.embedded.kube.errors import ApiError
from harness.environments.embedded.kube.resources import BY_KIND, RESOURCES
from harness.environments.embedded.kube.selectors import selects
from harness.environments.embedded.kube.store import Object, Store, now

SETTLE = 0.02
"""Changes that come within this many seconds of each other are handled in one pass."""
REQUEUE = 1.0
"""A pass that was refused something is done again so many seconds later, whether anything has changed or not."""


class Controllers:
    """Namespace, garbage-collection, scheduling, Deployment, StatefulSet and Job control."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def run(self) -> None:
        """Reconcile at every change, for as long as the task lives."""
        changed = self._store.subscribe()
        while True:
            changed.clear()
            again: float | None = None
            for work in (self._namespaces, self._orphans, self._schedule, self._deployments,
                         self._stateful_sets, self._jobs):
                try:
                    work()
                except ApiError as error:
                    print(f"{work.__name__.strip('_')}: {error!r}; looking again", flush=True)
                    again = REQUEUE
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), again)
            await asyncio.sleep(SETTLE)

    # -- the controllers ------------------------------------------------------------------

    def _namespaces(self) -> None:
        for space in self._store.list("Namespace"):
            if not space["metadata"].get("deletionTimestamp"):
                continue
            name, empty = space["metadata"]["name"], True
            for resource in RESOURCES:
                if not resource.namespaced:
                    continue
                for obj in self._store.list(resource.kind, name):
                    empty = False
                    if not obj["metadata"].get("deletionTimestamp"):
                        self._store.delete(resource, name, obj["metadata"]["name"])
            if empty:
                self._store._drop(BY_KIND["Namespace"], ("", name), space)

    def _orphans(self) -> None:
        """Delete what is owned by nothing that still exists (background cascade)."""
        alive = {
            obj["metadata"]["uid"] for r in RESOURCES for obj in self._store.list(r.kind)
        }
        for resource in RESOURCES:
            for obj in self._store.list(resource.kind):
                owners = obj["metadata"].get("ownerReferences", [])
                if owners and not any(o["uid"] in alive for o in owners):
                    meta = obj["metadata"]
                    if not meta.get("deletionTimestamp"):
                        self._store.delete(resource, meta.get("namespace", ""), meta["name"])

    def _schedule(self) -> None:
        node = next(
            (n["metadata"]["name"] for n in self._store.list("Node") if _condition(n, "Ready")),
            None,
        )
        if node is None:
            return
        for pod in self._store.list("Pod"):
            if not (pod.get("spec") or {}).get("nodeName"):
                bound = copy.deepcopy(pod)
                bound["spec"]["nodeName"] = node
                self._update("Pod", bound)

    def _deployments(self) -> None:
        for owner in self._store.list("Deployment"):
            if owner["metadata"].get("deletionTimestamp"):
                continue
            wanted = owner["spec"]["replicas"]
            mark = _hash(owner["spec"]["template"])
            pods = self._owned(owner)
            fresh = [p for p in pods if p["metadata"]["labels"].get("pod-template-hash") == mark]
            stale = [p for p in pods if p not in fresh]
            recreate = (owner["spec"].get("strategy") or {}).get("type") == "Recreate"
            living = [p for p in fresh if not p["metadata"].get("deletionTimestamp")]
            if not (recreate and stale):
                for _ in range(wanted - len(living)):
                    name = f"{owner['metadata']['name']}-{mark[:8]}-{uuid.uuid4().hex[:5]}"
                    self._create_pod(owner, name, {"pod-template-hash": mark})
                self._delete_pods(living[wanted:])
            if recreate or wanted == 0 or sum(map(_ready, fresh)) >= wanted:
                self._delete_pods(stale)
            self._workload_status(owner, pods, fresh)

    def _stateful_sets(self) -> None:
        for owner in self._store.list("StatefulSet"):
            if owner["metadata"].get("deletionTimestamp"):
                continue
            mark = _hash(owner["spec"]["template"])
            pods = {p["metadata"]["name"]: p for p in self._owned(owner)}
            names = [f"{owner['metadata']['name']}-{i}" for i in range(owner["spec"]["replicas"])]
            for name in names:
                pod = pods.get(name)
                if pod is None:
                    self._create_pod(owner, name, {"controller-revision-hash": mark})
                    break  # in order, one after the other is ready
                if pod["metadata"]["labels"].get("controller-revision-hash") != mark:
                    self._delete_pods([pod])
                if not _ready(pod):
                    break
            self._delete_pods([p for n, p in pods.items() if n not in names])
            fresh = [p for p in pods.values()
                     if p["metadata"]["labels"].get("controller-revision-hash") == mark]
            self._workload_status(owner, list(pods.values()), fresh)

    def _jobs(self) -> None:
        for owner in self._store.list("Job"):
            status = dict(owner.get("status") or {})
            if any(c["type"] in ("Complete", "Failed") for c in status.get("conditions", [])):
                continue
            pods = self._owned(owner)
            count = {phase: sum((p.get("status") or {}).get("phase") == phase for p in pods)
                     for phase in ("Succeeded", "Failed", "Pending", "Running")}
            active = count["Pending"] + count["Running"]
            missing = owner["spec"]["completions"] - count["Succeeded"] - active
            done = ""
            if count["Succeeded"] >= owner["spec"]["completions"]:
                done = "Complete"
            elif count["Failed"] > owner["spec"]["backoffLimit"]:
                done = "Failed"
            else:
                for _ in range(min(missing, owner["spec"]["parallelism"] - active)):
                    name = f"{owner['metadata']['name']}-{uuid.uuid4().hex[:5]}"
                    labels = {"batch.kubernetes.io/job-name": owner["metadata"]["name"],
                              "job-name": owner["metadata"]["name"]}
                    self._create_pod(owner, name, labels)
            status.setdefault("startTime", now())
            status.update(active=active, succeeded=count["Succeeded"], failed=count["Failed"])
            if done:
                status["conditions"] = [{"type": done, "status": "True", "lastTransitionTime": now()}]
                if done == "Complete":
                    status["completionTime"] = now()
            self._status("Job", owner, status)

    # -- helpers ------------------------------------------------------------------------

    def _owned(self, owner: Object) -> list[Object]:
        space, uid = owner["metadata"]["namespace"], owner["metadata"]["uid"]
        return [
            pod for pod in self._store.list("Pod", space)
            if any(o["uid"] == uid for o in pod["metadata"].get("ownerReferences", []))
        ]

    def _create_pod(self, owner: Object, name: str, labels: dict[str, str]) -> None:
        template = copy.deepcopy(owner["spec"]["template"])
        meta = template.get("metadata") or {}
        selector = owner["spec"].get("selector") or {}
        held = {**(meta.get("labels") or {}), **labels}
        if not selects(selector, held):
            raise ApiError(422, "Invalid", "selector does not match template labels")
        self._store.create(BY_KIND["Pod"], owner["metadata"]["namespace"], {
            "metadata": {
                "name": name, "labels": held, "annotations": meta.get("annotations") or {},
                "ownerReferences": [{
                    "apiVersion": owner["apiVersion"], "kind": owner["kind"],
                    "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"],
                    "controller": True, "blockOwnerDeletion": True,
                }],
            },
            "spec": template["spec"],
        })

    def _delete_pods(self, pods: list[Object]) -> None:
        for pod in pods:
            if not pod["metadata"].get("deletionTimestamp"):
                meta = pod["metadata"]
                self._store.delete(BY_KIND["Pod"], meta["namespace"], meta["name"])

    def _workload_status(self, owner: Object, pods: list[Object], fresh: list[Object]) -> None:
        ready = sum(map(_ready, pods))
        available = ready >= owner["spec"]["replicas"]
        old = {c["type"]: c for c in (owner.get("status") or {}).get("conditions", [])}
        state = "True" if available else "False"
        since = old.get("Available", {})
        condition = since if since.get("status") == state else {
            "type": "Available", "status": state, "lastTransitionTime": now(),
            "reason": "MinimumReplicasAvailable" if available else "MinimumReplicasUnavailable",
        }
        status = {
            "observedGeneration": owner["metadata"].get("generation", 1), "replicas": len(pods),
            "updatedReplicas": len(fresh), "readyReplicas": ready, "availableReplicas": ready,
        }
        if owner["kind"] == "Deployment":
            status |= {"unavailableReplicas": max(0, owner["spec"]["replicas"] - ready),
                       "conditions": [condition]}
        self._status(owner["kind"], owner, status)

    def _status(self, kind: str, obj: Object, status: dict[str, Any]) -> None:
        if status != obj.get("status"):
            self._update(kind, {**obj, "status": status}, "status")

    def _update(self, kind: str, obj: Object, subresource: str = "") -> None:
        meta = obj["metadata"]
        self._store.update(BY_KIND[kind], meta.get("namespace", ""), meta["name"], obj,
                           subresource=subresource)


def _hash(template: Object) -> str:
    return hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:10]


def _condition(obj: Object, kind: str) -> bool:
    return any(
        c["type"] == kind and c["status"] == "True"
        for c in (obj.get("status") or {}).get("conditions", [])
    )


def _ready(pod: Object) -> bool:
    return _condition(pod, "Ready") and not pod["metadata"].get("deletionTimestamp")
