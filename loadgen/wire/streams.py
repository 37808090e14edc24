"""Bounds for servers on asyncio's streams."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Doorstep:
    """Where connections wait that have not yet said who they are, or what they want: not many, and not for long.

    When there are too many, the one that has waited longest has to go. Whoever belongs here has said so within
    milliseconds.
    """

    def __init__(self, most: int = 256, patience: float = 10.0) -> None:
        """``patience``: seconds."""
        self._most, self._patience = most, patience
        self._waiting: dict[asyncio.StreamWriter, None] = {}

    @asynccontextmanager
    async def wait(self, caller: asyncio.StreamWriter) -> AsyncIterator[None]:
        """Within this, a caller is on the doorstep.

        Raises:
            TimeoutError: when it stays there for too long.
        """
        while len(self._waiting) >= self._most:
            oldest = next(iter(self._waiting))
            del self._waiting[oldest]
            oldest.transport.abort()
        self._waiting[caller] = None
        try:
            async with asyncio.timeout(self._patience):
                yield
        finally:
            self._waiting.pop(caller, None)
