"""Drift: where what is there differs from what is wanted, in the fields that were asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Key = tuple[str, str, str]
"""Kind, namespace (empty for none) and name."""
NOT_COMPARED = {"stringData"}
"""Written as one thing and read back as another (base64 ``data``)."""


@dataclass(frozen=True)
class Difference:
    """One object that is not as it was asked for; never shows a value of a Secret."""

    key: Key
    where: tuple[str, ...]
    wanted: dict[str, Any] = field(repr=False)

    def __str__(self) -> str:
        """The object and its fields."""
        kind, namespace, name = self.key
        return f"{kind} {namespace}/{name}: {', '.join(self.where)}"


def key_of(obj: Mapping[str, Any]) -> Key:
    """An object's identity."""
    meta = obj["metadata"]
    return obj["kind"], meta.get("namespace", ""), meta["name"]


def differences(there: Mapping[Key, Any], wanted: list[dict[str, Any]]) -> list[Difference]:
    """All wanted objects that are missing, or differ in a field that was asked for."""
    found = []
    for manifest in wanted:
        key = key_of(manifest)
        actual = there.get(key)
        where = ("missing",) if actual is None else tuple(_paths(manifest, actual, ""))
        if where:
            found.append(Difference(key, where, manifest))
    return found


def _paths(wanted: Any, actual: Any, path: str) -> Iterator[str]:
    if isinstance(wanted, Mapping):
        if not isinstance(actual, Mapping):
            yield path
            return
        for name, value in wanted.items():
            if name not in NOT_COMPARED:
                yield from _paths(value, actual.get(name), f"{path}.{name}".lstrip("."))
    elif isinstance(wanted, list):
        if not isinstance(actual, list) or len(actual) != len(wanted):
            yield path
            return
        for number, (one, other) in enumerate(zip(wanted, actual, strict=True)):
            yield from _paths(one, other, f"{path}[{number}]")
    elif wanted != actual:
        yield path
