"""What the environment costs while a drill runs: CPU and memory by part, into the journal.

CPU is read often and cheaply. Adding up PSS walks the page tables of every process, which for a fleet
takes seconds of CPU, so memory is read rarely; its peak is the largest of those readings.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from harness.journal import Journal

CPU_EVERY_S = 10.0
MEMORY_EVERY_S = 90.0


class UsageObserver:
    """Reads the environment's use from a thread of its own."""

    def __init__(self, journal: Journal,
                 read: Callable[[bool], Sequence[Mapping[str, Any]]]) -> None:
        """``read``: the parts' use so far; told whether to include memory."""
        self._journal, self._read = journal, read
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="usage", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """Stop after a last reading."""
        self._stop.set()
        self._thread.join(30)

    def _run(self) -> None:
        next_memory = 0.0
        last = False
        while True:
            memory = time.monotonic() >= next_memory and not last
            if memory:
                next_memory = time.monotonic() + MEMORY_EVERY_S
            self._journal.append("usage", parts=list(self._read(memory)))
            if last:
                return
            last = self._stop.wait(CPU_EVERY_S)
