"""Label and field selectors: the query strings by which lists and watches are narrowed."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from harness.environments.embedded.kube.errors import bad_request

Matches = Callable[[dict[str, Any]], bool]
_SET = re.compile(r"^(\S+)\s+(in|notin)\s+\(([^)]*)\)$")


def label_selector(text: str) -> Matches:
    """``a=b,c!=d,e in (f,g),h,!i`` as a predicate over objects.

    Raises:
        ApiError: 400 when it cannot be parsed.
    """
    tests = [_label_test(part.strip()) for part in _split(text)]

    def matches(obj: dict[str, Any]) -> bool:
        labels = obj["metadata"].get("labels") or {}
        return all(test(labels) for test in tests)

    return matches


def field_selector(text: str) -> Matches:
    """``metadata.name=x,status.phase!=Running`` as a predicate over objects."""
    tests: list[tuple[list[str], bool, str]] = []
    for part in filter(None, text.split(",")):
        path, equal, value = _comparison(part)
        tests.append((path.split("."), equal, value))

    def matches(obj: dict[str, Any]) -> bool:
        return all((_at(obj, path) == value) is equal for path, equal, value in tests)

    return matches


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """Whether a LabelSelector object (``matchLabels``, ``matchExpressions``) selects labels."""
    if any(labels.get(k) != v for k, v in (selector.get("matchLabels") or {}).items()):
        return False
    for term in selector.get("matchExpressions") or []:
        value, held = labels.get(term["key"]), term["key"] in labels
        passed = {
            "In": value in term.get("values", []),
            "NotIn": value not in term.get("values", []),
            "Exists": held,
            "DoesNotExist": not held,
        }[term["operator"]]
        if not passed:
            return False
    return True


def _split(text: str) -> list[str]:
    """Split at commas that are not inside parentheses."""
    return [part for part in re.split(r",(?![^(]*\))", text) if part.strip()]


def _label_test(part: str) -> Callable[[dict[str, str]], bool]:
    if found := _SET.match(part):
        key, operator, values = found.groups()
        wanted = {value.strip() for value in values.split(",")}
        if operator == "in":
            return lambda labels: labels.get(key) in wanted
        return lambda labels: labels.get(key) not in wanted
    if "=" in part:
        key, equal, value = _comparison(part)
        return lambda labels: (labels.get(key) == value) is equal
    if part.startswith("!"):
        return lambda labels: part[1:] not in labels
    if " " in part:
        raise bad_request(f"unable to parse selector requirement: {part!r}")
    return lambda labels: part in labels


def _comparison(part: str) -> tuple[str, bool, str]:
    for operator, equal in (("!=", False), ("==", True), ("=", True)):
        if operator in part:
            key, value = part.split(operator, 1)
            return key.strip(), equal, value.strip()
    raise bad_request(f"unable to parse selector requirement: {part!r}")


def _at(obj: Any, path: list[str]) -> str:
    for step in path:
        obj = obj.get(step) if isinstance(obj, dict) else None
    return "" if obj is None else str(obj)
