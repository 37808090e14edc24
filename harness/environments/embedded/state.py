"""What an environment says of itself: ``environment.json``, written as a whole and read with care.

It may be missing (the environment is just being made, or removed), and it may be anything at all: then what it does not
say is unknown, and nobody fails for that.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.environments.embedded.private import read_private, write_atomically

FILE = "environment.json"
STARTING, UP, UNKNOWN = "starting", "up", "unknown"


@dataclass(frozen=True)
class EnvironmentState:
    """What is known of an environment; None: it does not say."""

    identifier: str
    state: str = UNKNOWN
    block: int | None = None
    """The number of its block of addresses."""
    owner: int | None = None
    """The process that made it, with the tick of the clock at which that began."""
    owner_started: int | None = None
    since: float | None = None
    """Wall time at which it said so."""
    run: Path | None = None
    """The run directory that it serves."""
    settings: Mapping[str, Any] = field(default_factory=dict)

    def save(self, directory: Path) -> None:
        """Write it down, whole or not at all.

        Raises:
            OSError: when it cannot be written.
        """
        write_atomically(directory / FILE, json.dumps({
            "identifier": self.identifier, "state": self.state, "block": self.block, "owner": self.owner,
            "owner_started": self.owner_started, "since": self.since,
            "run": None if self.run is None else str(self.run), "settings": dict(self.settings)}))

    @classmethod
    def load(cls, directory: Path) -> EnvironmentState:
        """What an environment says of itself. Never raises."""
        said: Any = None
        with contextlib.suppress(OSError, ValueError, RecursionError):
            said = json.loads(read_private(directory / FILE))
        told: dict[str, Any] = said if isinstance(said, dict) else {}
        run, settings, state = told.get("run"), told.get("settings"), told.get("state")
        return cls(
            identifier=directory.name,
            state=state if state in (STARTING, UP) else UNKNOWN,
            block=_whole(told.get("block"), 1, 254),
            owner=_whole(told.get("owner"), 1, 2**31), owner_started=_whole(told.get("owner_started"), 0, 2**63),
            since=_seconds(told.get("since")),
            run=Path(run) if isinstance(run, str) and run and "\0" not in run else None,
            settings=settings if isinstance(settings, dict) else {})


def _whole(value: object, least: int, most: int) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most else None


def _seconds(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < 2**53 and math.isfinite(value) else None
