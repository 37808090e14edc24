"""Observability: what a region sees of its database and its buckets, looked at every few seconds (XR-16)."""

from __future__ import annotations

import time

from orchestrator.facts import FactFinder
from orchestrator.region_view import RegionView

LOOK_S = 4.0


class Observability:
    """Looks, and remembers when the two databases were last known to be in contact."""

    def __init__(self, finder: FactFinder, view: RegionView) -> None:
        self._finder, self._view = finder, view
        self._looked = 0.0

    def turn(self) -> None:
        """Look, when it is time."""
        if time.monotonic() - self._looked < LOOK_S:
            return
        self._looked = time.monotonic()
        facts = self._view.facts = self._finder.look()
        if facts.database is not None and facts.database.connected:
            self._view.in_contact = time.monotonic()
