"""The proof of the measures with a watch in its hand, for benches."""

from __future__ import annotations

import time

from harness.measures.history import History
from harness.measures.result import Proof
from harness.selftest.planted import prove


class TimedProver:
    """Plants and looks as every run does, and knows what that took."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self, past: History) -> Proof | None:
        """The proof of a run."""
        began = time.perf_counter()
        try:
            return prove(past)
        finally:
            self.seconds += time.perf_counter() - began
