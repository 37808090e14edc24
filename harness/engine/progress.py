"""Where a drill says how far it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class Progress(Protocol):
    """Where a runner says what it does."""

    def say(self, text: str) -> None:
        """One line that stays."""

    def show(self, status: Mapping[str, Any]) -> None:
        """The status now; the next one replaces it."""

    def close(self) -> None:
        """Show nothing more."""
