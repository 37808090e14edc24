"""The three patches of the Kubernetes API: JSON merge, strategic merge, server-side apply.

* JSON merge patch: RFC 7386.
* Strategic merge patch: lists of objects are merged by the key that Kubernetes declares for them
  (a Pod's containers by ``name``, its mounts by ``mountPath``); ``$patch: delete|replace``,
  ``$deleteFromPrimitiveList`` and ``$setElementOrder`` directives.
* Server-side apply: a manager owns the fields it applied. What it no longer applies is removed
  unless another manager owns it too; changing a value that another applier owns is a conflict (409)
  unless forced. Ownership is kept in ``metadata.managedFields`` in the FieldsV1 format.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

from harness.environments.embedded.kube.errors import ApiError

MERGE_KEYS = {
    "containers": "name", "initContainers": "name", "ephemeralContainers": "name",
    "env": "name", "volumes": "name", "volumeMounts": "mountPath", "volumeDevices": "devicePath",
    "imagePullSecrets": "name", "hostAliases": "ip", "conditions": "type",
    "ownerReferences": "uid", "secrets": "name", "topologySpreadConstraints": "topologyKey",
}
"""List field to patchMergeKey, from the Kubernetes API conventions' struct tags."""

Path = tuple[str, ...]


def merge_key(field: str, items: list[Any]) -> str | None:
    """The key by which a list of objects is merged, None for an atomic list."""
    if not all(isinstance(item, dict) for item in items):
        return None
    if field == "ports":
        return "port" if any("port" in item for item in items) else "containerPort"
    return MERGE_KEYS.get(field)


def json_merge(target: Any, patch: Any) -> Any:
    """RFC 7386: maps are merged, null removes, anything else replaces."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = json_merge(result.get(key), value)
    return result


def strategic_merge(target: Any, patch: Any, field: str = "") -> Any:
    """Merge as ``application/strategic-merge-patch+json`` does."""
    if isinstance(patch, dict):
        return _strategic_map(target if isinstance(target, dict) else {}, patch)
    if isinstance(patch, list):
        return _strategic_list(target if isinstance(target, list) else [], patch, field)
    return patch


def _strategic_map(target: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    if patch.get("$patch") == "replace":
        return {k: copy.deepcopy(v) for k, v in patch.items() if k != "$patch"}
    result = dict(target)
    for key, value in patch.items():
        if key.startswith("$setElementOrder/") or key == "$retainKeys":
            continue
        if key.startswith("$deleteFromPrimitiveList/"):
            name = key.split("/", 1)[1]
            result[name] = [item for item in result.get(name, []) if item not in value]
        elif value is None:
            result.pop(key, None)
        else:
            result[key] = strategic_merge(result.get(key), value, key)
    if retained := patch.get("$retainKeys"):
        result = {key: value for key, value in result.items() if key in retained}
    return result


def _strategic_list(target: list[Any], patch: list[Any], field: str) -> list[Any]:
    key = merge_key(field, [*target, *patch])
    if any(isinstance(item, dict) and item.get("$patch") == "replace" for item in patch):
        return [copy.deepcopy(i) for i in patch if not (isinstance(i, dict) and "$patch" in i)]
    if key is None:
        if field == "finalizers":  # a list of primitives that Kubernetes merges
            return [*target, *(item for item in patch if item not in target)]
        return copy.deepcopy(patch)
    merged = {item.get(key): item for item in target}
    for item in patch:
        if item.get("$patch") == "delete":
            merged.pop(item.get(key), None)
        else:
            merged[item.get(key)] = strategic_merge(merged.get(item.get(key)), item)
    return list(merged.values())


# -- server-side apply ------------------------------------------------------------------


def apply(live: dict[str, Any], applied: dict[str, Any], manager: str, force: bool,
          now: str) -> dict[str, Any]:
    """Server-side apply ``applied`` by ``manager`` onto ``live`` (empty: create).

    Raises:
        ApiError: 409 when a field's value belongs to another applier and ``force`` is not set.
    """
    wanted = {path for path, _ in _leaves(_owned_part(applied))}
    entries = list((live.get("metadata") or {}).get("managedFields", []))
    mine = next((e for e in entries if e["manager"] == manager and e["operation"] == "Apply"), None)
    others = [e for e in entries if e is not mine and e["operation"] == "Apply"]
    values = dict(_leaves(live))
    new_values = dict(_leaves(applied))
    conflicts = []
    for entry in others:
        theirs = _paths(entry["fieldsV1"])
        for path in sorted(theirs & wanted):
            if values.get(path) != new_values.get(path):
                conflicts.append((entry, path))
    if conflicts and not force:
        listed = ", ".join(f'"{c[0]["manager"]}": .{".".join(c[1])}' for c in conflicts)
        raise ApiError(409, "Conflict", f"Apply failed with conflicts: conflict with {listed}")
    for entry, path in conflicts:
        entry["fieldsV1"] = _fields(_paths(entry["fieldsV1"]) - {path})
    given_up = (_paths(mine["fieldsV1"]) if mine else set()) - wanted
    for entry in others:
        given_up -= _paths(entry["fieldsV1"])
    result = copy.deepcopy(live)
    # The field that identifies a list's element goes last: without it the others are not found.
    for path in sorted(given_up, key=lambda path: (_identifies(path), path)):
        _remove(result, path)
    result = dict(_merge_applied(result, applied))
    kept = [e for e in entries if e is not mine and e["fieldsV1"]]
    result.setdefault("metadata", {})["managedFields"] = [
        *kept,
        {"manager": manager, "operation": "Apply", "apiVersion": applied.get("apiVersion", "v1"),
         "time": now, "fieldsType": "FieldsV1", "fieldsV1": _fields(wanted)},
    ]
    return result


def _owned_part(applied: dict[str, Any]) -> dict[str, Any]:
    part = {k: v for k, v in applied.items() if k not in ("apiVersion", "kind")}
    metadata = {
        k: v for k, v in (applied.get("metadata") or {}).items()
        if k in ("labels", "annotations", "finalizers", "ownerReferences")
    }
    part.pop("metadata", None)
    return {**part, "metadata": metadata} if metadata else part


def _identifies(path: Path) -> bool:
    return len(path) > 1 and path[-2].startswith("k:") and path[-1][2:] in json.loads(path[-2][2:])


def _merge_applied(target: Any, applied: Any, field: str = "") -> Any:
    if isinstance(applied, dict):
        result = dict(target) if isinstance(target, dict) else {}
        for key, value in applied.items():
            result[key] = _merge_applied(result.get(key), value, key)
        return result
    if isinstance(applied, list):
        old = target if isinstance(target, list) else []
        key = merge_key(field, [*old, *applied])
        if key is None:
            return copy.deepcopy(applied)
        merged = {item.get(key): item for item in old}
        for item in applied:
            merged[item.get(key)] = _merge_applied(merged.get(item.get(key)), item)
        return list(merged.values())
    return applied


def _leaves(value: Any, path: Path = (), field: str = "") -> Iterator[tuple[Path, Any]]:
    """Every leaf of an object with its FieldsV1 path; atomic lists are leaves."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _leaves(item, (*path, f"f:{key}"), key)
    elif isinstance(value, list) and (key := merge_key(field, value)) and value:
        for item in value:
            step = "k:" + json.dumps({key: item.get(key)}, separators=(",", ":"))
            yield from _leaves(item, (*path, step))
    else:
        yield path, value


def _fields(paths: set[Path]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path in sorted(paths):
        node = tree
        for step in path:
            node = node.setdefault(step, {})
    return tree


def _paths(tree: dict[str, Any], prefix: Path = ()) -> set[Path]:
    found: set[Path] = set()
    for step, inner in tree.items():
        found |= _paths(inner, (*prefix, step)) if inner else {(*prefix, step)}
    return found


def _remove(obj: Any, path: Path) -> None:
    """Remove a leaf, and every map or list element that is empty without it."""
    step, rest = path[0], path[1:]
    if step.startswith("f:"):
        key = step[2:]
        if not isinstance(obj, dict) or key not in obj:
            return
        if rest:
            _remove(obj[key], rest)
        if not rest or obj[key] in ({}, []):
            del obj[key]
    elif isinstance(obj, list):
        identity = json.loads(step[2:])
        for item in [i for i in obj if all(i.get(k) == v for k, v in identity.items())]:
            if rest:
                _remove(item, rest)
            if not rest or set(item) <= set(identity):
                obj.remove(item)
