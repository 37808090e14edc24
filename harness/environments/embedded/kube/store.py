"""The objects of one cluster: versions, watches, deletion, and a log to come back from.

All of it lives in one asyncio thread, so there are no locks. Every change gets the next
``resourceVersion``, goes to the log file first (a region that loses power comes back with its
objects, as etcd does), then into the history that watches are served from.
"""

from __future__ import annotations

import asyncio
import base64
import copy
import json
import uuid
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.environments.embedded.kube.errors import ApiError, conflict, not_found
from harness.environments.embedded.kube.resources import BY_KIND, RESOURCES, Resource
from harness.environments.embedded.kube.validation import check

Object = dict[str, Any]
Matches = Callable[[Object], bool]
HISTORY = 20_000
"""Events kept for watches that start in the past; older ones get 410 Gone and list again."""


@dataclass(frozen=True)
class Event:
    """One change: ``ADDED``, ``MODIFIED`` or ``DELETED``, and the object before it."""

    version: int
    kind: str
    type: str
    object: Object
    before: Object | None


def now() -> str:
    """The current time as Kubernetes writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Store:
    """All objects by kind, namespace and name."""

    def __init__(self, log: Path) -> None:
        self._objects: dict[str, dict[tuple[str, str], Object]] = {r.kind: {} for r in RESOURCES}
        self._history: deque[Event] = deque(maxlen=HISTORY)
        self._forgotten = 0
        self._changed = asyncio.Condition()
        self._wakers: set[asyncio.Event] = set()
        self.version = 0
        self._recover(log)
        self._log = log.open("a")

    # -- reading ------------------------------------------------------------------------

    def get(self, resource: Resource, namespace: str, name: str) -> Object:
        """One object.

        Raises:
            ApiError: 404.
        """
        found = self._objects[resource.kind].get((namespace, name))
        if found is None:
            raise not_found(resource.plural, name)
        return found

    def find(self, kind: str, namespace: str, name: str) -> Object | None:
        """One object, or None."""
        return self._objects[kind].get((namespace, name))

    def list(self, kind: str, namespace: str = "", matches: Matches | None = None) -> list[Object]:
        """All objects of a kind (of one namespace if given) that match, by name."""
        return [
            obj
            for (ns, _), obj in sorted(self._objects[kind].items())
            if (not namespace or ns == namespace) and (matches is None or matches(obj))
        ]

    async def watch(
        self, kind: str, namespace: str, matches: Matches, since: int, timeout: float
    ) -> AsyncIterator[tuple[str, Object]]:
        """Changes after version ``since``, for at most ``timeout`` seconds.

        An object that begins or ceases to match appears as ADDED or DELETED.

        Raises:
            ApiError: 410 when ``since`` is older than the history.
        """
        if since < self._forgotten:
            raise ApiError(410, "Expired", f"too old resource version: {since} ({self._forgotten})")
        waker = asyncio.Event()
        self._wakers.add(waker)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        try:
            while True:
                waker.clear()
                for event in self._since(since):
                    since = event.version
                    if event.kind != kind or (
                        namespace and event.object["metadata"].get("namespace") != namespace
                    ):
                        continue
                    seen = _as_seen(event, matches)
                    if seen:
                        yield seen, event.object
                left = deadline - loop.time()
                if left <= 0:
                    return
                try:
                    await asyncio.wait_for(waker.wait(), left)
                except TimeoutError:
                    return
        finally:
            self._wakers.discard(waker)

    def subscribe(self) -> asyncio.Event:
        """An event that is set at every change (for controllers)."""
        waker = asyncio.Event()
        self._wakers.add(waker)
        return waker

    # -- writing ------------------------------------------------------------------------

    def create(self, resource: Resource, namespace: str, obj: Object, dry: bool = False) -> Object:
        """Create an object.

        Raises:
            ApiError: 400/422 when it is not valid, 404 without its namespace, 403 while that is
                being deleted, 409 when the name is taken.
        """
        obj = copy.deepcopy(obj)
        meta = obj.setdefault("metadata", {})
        if not meta.get("name") and meta.get("generateName"):
            meta["name"] = meta["generateName"] + uuid.uuid4().hex[:5]
        obj["kind"], obj["apiVersion"] = resource.kind, resource.api_version
        if resource.namespaced:
            if meta.setdefault("namespace", namespace) != namespace:
                raise ApiError(400, "BadRequest", "the object's namespace does not match the path")
            home = self.find("Namespace", "", namespace)
            if home is None:
                raise not_found("namespaces", namespace)
            if home["metadata"].get("deletionTimestamp"):
                raise ApiError(403, "Forbidden", f"namespace {namespace} is being terminated")
        if resource.kind == "Secret":
            encode_secret(obj)
        check(resource, obj)
        key = (namespace if resource.namespaced else "", meta["name"])
        if key in self._objects[resource.kind]:
            raise ApiError(409, "AlreadyExists", f'{resource.plural} "{meta["name"]}" already exists')
        meta.update(uid=str(uuid.uuid4()), creationTimestamp=now())
        if resource.status:
            obj["status"] = {}
            meta["generation"] = 1
        _default(obj)
        return obj if dry else self._commit(resource, "ADDED", key, obj, None)

    def update(
        self, resource: Resource, namespace: str, name: str, obj: Object, *,
        subresource: str = "", dry: bool = False,
    ) -> Object:
        """Replace an object, or only its status (``subresource="status"``).

        Raises:
            ApiError: 404; 409 when ``resourceVersion`` is given and stale; 400/422.
        """
        namespace = namespace if resource.namespaced else ""
        live = self.get(resource, namespace, name)
        obj = copy.deepcopy(obj)
        meta = obj.setdefault("metadata", {})
        offered = meta.get("resourceVersion")
        if offered and offered != live["metadata"]["resourceVersion"]:
            raise conflict(
                resource.plural, name,
                "the object has been modified; please apply your changes to the latest version",
            )
        if meta.get("uid", live["metadata"]["uid"]) != live["metadata"]["uid"]:
            raise conflict(resource.plural, name, "the UID in the precondition does not match")
        if subresource == "status":
            obj = {**live, "status": obj.get("status", {})}
        else:
            if resource.status:
                obj["status"] = live.get("status", {})
            _keep_system_fields(obj, live)
            if resource.kind == "Secret":
                encode_secret(obj)
            _default(obj)
        check(resource, obj)
        if _same(obj, live):
            return live
        if resource.status and obj.get("spec") != live.get("spec"):
            obj["metadata"]["generation"] = live["metadata"].get("generation", 1) + 1
        if dry:
            return obj
        key = (namespace, name)
        doomed = obj["metadata"].get("deletionTimestamp") and live["metadata"].get("finalizers")
        if doomed and not obj["metadata"].get("finalizers"):
            return self._drop(resource, key, obj)
        return self._commit(resource, "MODIFIED", key, obj, live)

    def delete(
        self, resource: Resource, namespace: str, name: str, *, grace: int | None = None,
        orphan: bool = False,
    ) -> Object:
        """Delete an object, or begin to.

        A running Pod is first stopped by its node, a Namespace first emptied, an object with
        finalizers first finalized. ``grace``: seconds that a Pod is given to stop, instead of its own; one that
        is being stopped already can be given less, never more.
        """
        namespace = namespace if resource.namespaced else ""
        live = self.get(resource, namespace, name)
        key = (namespace, name)
        waits = bool(live["metadata"].get("finalizers")) or resource.kind == "Namespace"
        if resource.kind == "Pod" and grace != 0 and (live.get("spec") or {}).get("nodeName"):
            waits = waits or (live.get("status") or {}).get("phase") not in ("Succeeded", "Failed")
        if orphan:
            self._orphan(live)
        if not waits:
            return self._drop(resource, key, live)
        if live["metadata"].get("deletionTimestamp"):
            if grace is None or grace >= live["metadata"]["deletionGracePeriodSeconds"]:
                return live
            hurried = copy.deepcopy(live)
            hurried["metadata"]["deletionGracePeriodSeconds"] = grace
            return self._commit(resource, "MODIFIED", key, hurried, live)
        marked = copy.deepcopy(live)
        period = grace
        if resource.kind == "Pod":
            period = grace if grace is not None else (
                live["spec"].get("terminationGracePeriodSeconds", 30))
        marked["metadata"].update(deletionTimestamp=now(), deletionGracePeriodSeconds=period or 0)
        if resource.kind == "Namespace":
            marked["status"] = {**marked.get("status", {}), "phase": "Terminating"}
        return self._commit(resource, "MODIFIED", key, marked, live)

    # -- inner works --------------------------------------------------------------------

    def _drop(self, resource: Resource, key: tuple[str, str], live: Object) -> Object:
        gone = copy.deepcopy(live)
        return self._commit(resource, "DELETED", key, gone, live)

    def _orphan(self, owner: Object) -> None:
        uid = owner["metadata"]["uid"]
        for kind, held in self._objects.items():
            for key, obj in list(held.items()):
                owners = obj["metadata"].get("ownerReferences", [])
                if any(o["uid"] == uid for o in owners):
                    freed = copy.deepcopy(obj)
                    freed["metadata"]["ownerReferences"] = [o for o in owners if o["uid"] != uid]
                    self._commit(BY_KIND[kind], "MODIFIED", key, freed, obj)

    def _commit(
        self, resource: Resource, type_: str, key: tuple[str, str], obj: Object,
        before: Object | None,
    ) -> Object:
        self.version += 1
        obj["metadata"] = {**obj["metadata"], "resourceVersion": str(self.version)}
        event = Event(self.version, resource.kind, type_, obj, before)
        self._log.write(json.dumps(
            {"v": self.version, "k": resource.kind, "t": type_, "o": obj}, separators=(",", ":")
        ) + "\n")
        self._log.flush()
        self._put(event, key)
        for waker in self._wakers:
            waker.set()
        return obj

    def _put(self, event: Event, key: tuple[str, str]) -> None:
        if event.type == "DELETED":
            self._objects[event.kind].pop(key, None)
        else:
            self._objects[event.kind][key] = event.object
        if len(self._history) == HISTORY:
            self._forgotten = self._history[0].version
        self._history.append(event)

    def _since(self, version: int) -> Iterator[Event]:
        fresh: list[Event] = []
        for event in reversed(self._history):
            if event.version <= version:
                break
            fresh.append(event)
        return reversed(fresh)

    def _recover(self, log: Path) -> None:
        if not log.exists():
            return
        data = log.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole != len(data):  # killed in the middle of a write
            with log.open("r+b") as sink:
                sink.truncate(whole)
        for line in data[:whole].splitlines():
            record = json.loads(line)
            obj = record["o"]
            meta = obj["metadata"]
            self.version = record["v"]
            key = (meta.get("namespace", ""), meta["name"])
            self._put(Event(self.version, record["k"], record["t"], obj, None), key)
        # Watches from before the restart cannot be continued: their watchers list again.
        self._history.clear()
        self._forgotten = self.version


def _as_seen(event: Event, matches: Matches) -> str | None:
    """How a change looks to a watcher with a selector."""
    fits = matches(event.object)
    fitted = event.before is not None and matches(event.before)
    if event.type == "DELETED":
        return "DELETED" if fits or fitted else None
    if fits:
        return "MODIFIED" if fitted else "ADDED"
    return "DELETED" if fitted else None


def _keep_system_fields(obj: Object, live: Object) -> None:
    meta, old = obj["metadata"], live["metadata"]
    for field in ("uid", "creationTimestamp", "generation", "deletionTimestamp",
                  "deletionGracePeriodSeconds", "resourceVersion", "namespace", "name"):
        if field in old:
            meta[field] = old[field]
    obj["kind"], obj["apiVersion"] = live["kind"], live["apiVersion"]


def _same(new: Object, live: Object) -> bool:
    """Whether nothing but a manager's time of applying differs."""

    def essence(obj: Object) -> Object:
        fields = [{k: v for k, v in e.items() if k != "time"}
                  for e in obj["metadata"].get("managedFields", [])]
        return {**obj, "metadata": {**obj["metadata"], "managedFields": fields}}

    return essence(new) == essence(live)


def encode_secret(obj: Object) -> None:
    """Turn a Secret's ``stringData`` into ``data``, as the real API does at every write."""
    for key, value in (obj.pop("stringData", None) or {}).items():
        obj.setdefault("data", {})[key] = base64.b64encode(str(value).encode()).decode()
    obj.setdefault("type", "Opaque")


def _default(obj: Object) -> None:
    """The few defaults that controllers and clients rely on."""
    spec = obj.get("spec") or {}
    kind = obj["kind"]
    if kind in ("Deployment", "StatefulSet"):
        spec.setdefault("replicas", 1)
    if kind == "Job":
        spec.setdefault("completions", 1)
        spec.setdefault("parallelism", 1)
        spec.setdefault("backoffLimit", 6)
        name = obj["metadata"]["name"]
        spec.setdefault("selector", {"matchLabels": {"batch.kubernetes.io/job-name": name}})
    if kind == "Pod":
        spec.setdefault("restartPolicy", "Always")
        obj.setdefault("status", {}).setdefault("phase", "Pending")
    if kind == "Namespace":
        obj.setdefault("spec", {"finalizers": ["kubernetes"]})
        obj.setdefault("status", {}).setdefault("phase", "Active")
