"""Links that a fault has degraded, and how they are mended: what ``link`` and ``partition`` share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.environments.base import Environment, EnvironmentFailed

MEND = "mend-links"
"""The key of the directions to mend, each ``SOURCE->TARGET``, in what takes the fault back."""
NOBODYS = {"outside", "orchestrator", "users"}


def concern(undo: Mapping[str, Any], site: str) -> bool:
    """Whether any of the links ends at a site; those between ends outside both concern every site."""
    ends = {end for direction in undo[MEND] for end in direction.split("->")}
    return site in ends or ends <= NOBODYS


def mend(environment: Environment, undo: Mapping[str, Any]) -> Mapping[str, Any]:
    """Mend the links and read back what the network now does.

    Raises:
        EnvironmentFailed: when it still reports one as degraded.
    """
    seen: Mapping[str, Any] = {}
    for direction in undo[MEND]:
        source, target = direction.split("->")
        seen = environment.set_link(source, target)
    if still := sorted(set(undo[MEND]) & set(seen.get("links", {}))):
        raise EnvironmentFailed(f"the network still reports as degraded: {', '.join(still)}")
    return seen
