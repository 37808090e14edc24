"""A teardown is a stack: whoever starts something first pushes how it ends, and the ends run in reverse.

Each of them runs whatever became of those before it, a full disk and a lost terminal included.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

RESERVE = 16
"""File descriptors that are kept for the teardown: who removes something must be able to look."""


@dataclass(frozen=True)
class Failed:
    """A step of a teardown that raised."""

    what: str
    error: BaseException


class Teardown:
    """The steps that are still to be done."""

    def __init__(self, told: Callable[[Failed], None]) -> None:
        """``told`` hears of every step that failed, at once; what it raises itself is dropped."""
        self._told = told
        self._steps: list[tuple[str, Callable[[], Any]]] = []
        self._reserve: list[int] = []
        with contextlib.suppress(OSError):
            for _ in range(RESERVE):
                self._reserve.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))

    def push(self, what: str, act: Callable[[], Any]) -> None:
        """Have ``act`` done when all is over, before everything that was pushed earlier.

        To be called before what ``act`` ends is started: so no moment between the two leaves it behind.
        """
        self._steps.append((what, act))

    def run(self) -> list[Failed]:
        """Do all steps, the latest first; those that failed. A second call does nothing."""
        failed = []
        while self._reserve:
            os.close(self._reserve.pop())
        while self._steps:
            what, act = self._steps.pop()
            try:
                act()
            except BaseException as error:  # not even an exit may keep the rest from being done
                failed.append(Failed(what, error))
                with contextlib.suppress(Exception):
                    self._told(failed[-1])
        return failed


def in_words(error: BaseException) -> str:
    """Why something came to a bad end, for people: what the system refuses is said by the system."""
    return f"cannot go on: {error}" if isinstance(error, OSError) else f"the harness failed: {error!r}"
