"""Check objects against the official Python client's typed models.

The models know every field of every kind: its name, its type and whether it must be there. So a
manifest that this API accepts is one that a real API server would accept too, as far as types go.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import kubernetes.client.models as models

from harness.environments.embedded.kube.errors import bad_request, invalid
from harness.environments.embedded.kube.resources import Resource

_LABEL = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
_SUBDOMAIN = re.compile(r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
_PRIMITIVES: dict[str, tuple[type, ...]] = {
    "str": (str,), "int": (int,), "float": (int, float), "bool": (bool,), "datetime": (str,),
    "bytes": (str,),  # base64 in JSON
}


def check(resource: Resource, obj: dict[str, Any]) -> None:
    """Raise ApiError 400 for unknown fields and wrong types, 422 for missing ones and bad names."""
    if obj.get("kind", resource.kind) != resource.kind:
        raise bad_request(f"the object is a {obj.get('kind')}, not a {resource.kind}")
    if obj.get("apiVersion", resource.api_version) != resource.api_version:
        raise bad_request(f"apiVersion must be {resource.api_version}, not {obj.get('apiVersion')}")
    name = str((obj.get("metadata") or {}).get("name", ""))
    pattern = _LABEL if resource.kind in ("Namespace", "Service") else _SUBDOMAIN
    if not pattern.match(name) or len(name) > (63 if pattern is _LABEL else 253):
        raise invalid(
            f'{resource.kind} "{name}" is invalid: metadata.name: must consist of lower case '
            "alphanumeric characters, '-' or '.', and start and end with one of the former"
        )
    unknown: list[str] = []
    missing: list[str] = []
    _walk(obj, resource.model, "", unknown, missing)
    if unknown:
        raise bad_request("strict decoding error: " + ", ".join(unknown))
    if missing:
        raise invalid(f'{resource.kind} "{name}" is invalid: ' + ", ".join(missing))


def _walk(value: Any, kind: str, path: str, unknown: list[str], missing: list[str]) -> None:
    if value is None or kind == "object":
        return
    if kind.startswith("List["):
        if not isinstance(value, list):
            raise bad_request(f"{path}: expected a list, got {type(value).__name__}")
        for index, item in enumerate(value):
            _walk(item, kind[5:-1], f"{path}[{index}]", unknown, missing)
    elif kind.startswith("Dict["):
        if not isinstance(value, dict):
            raise bad_request(f"{path}: expected a map, got {type(value).__name__}")
        inner = kind[5:-1].split(",", 1)[1].strip()
        quantity = path.rsplit(".", 1)[-1] in ("limits", "requests", "capacity", "allocatable")
        for key, item in value.items():
            if not (quantity and isinstance(item, int | float)):
                _walk(item, inner, f"{path}.{key}", unknown, missing)
    elif kind in _PRIMITIVES:
        wrong = not isinstance(value, _PRIMITIVES[kind])
        if wrong or (kind in ("int", "float") and isinstance(value, bool)):
            raise bad_request(f"{path}: expected {kind}, got {type(value).__name__} ({value!r})")
    else:
        _walk_model(value, kind, path, unknown, missing)


def _walk_model(value: Any, kind: str, path: str, unknown: list[str], missing: list[str]) -> None:
    fields, required = _model(kind)
    if not fields:
        return
    if not isinstance(value, dict):
        raise bad_request(f"{path}: expected an object ({kind}), got {type(value).__name__}")
    for key, item in value.items():
        here = f"{path}.{key}" if path else key
        if key not in fields:
            unknown.append(f'unknown field "{here}"')
        else:
            _walk(item, fields[key], here, unknown, missing)
    missing.extend(
        f"{path}.{key}: Required value" if path else f"{key}: Required value"
        for key in required
        if value.get(key) is None
    )


@cache
def _model(kind: str) -> tuple[dict[str, str], tuple[str, ...]]:
    """Field name to type, and the required fields, of one of the client's models."""
    model = getattr(models, kind, None)
    if model is None or not hasattr(model, "openapi_types"):
        return {}, ()
    fields = {model.attribute_map[name]: kind_ for name, kind_ in model.openapi_types.items()}
    required = tuple(
        model.attribute_map[name]
        for name, field in model.model_fields.items()
        if field.is_required()
    )
    return fields, required
