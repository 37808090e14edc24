"""What may stop a drill from outside: a signal, where a command runs it; whatever its caller has, elsewhere."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol


class Interruption(Protocol):
    """What may stop a drill from outside."""

    @property
    def received(self) -> str:
        """Why the drill is to stop, in words; empty while it is not."""

    def raised(self) -> AbstractContextManager[None]:
        """Where the wish to stop is raised, as a KeyboardInterrupt."""

    def check(self) -> None:
        """Raise it again, should the first one have been lost on its way."""


class Uninterrupted:
    """Nothing stops a drill from outside, but for what its caller's own signals do."""

    received = ""

    def raised(self) -> AbstractContextManager[None]:
        """Nothing is raised."""
        return nullcontext()

    def check(self) -> None:
        """Nothing is raised."""


UNINTERRUPTED = Uninterrupted()
