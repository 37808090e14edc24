"""Figures are intervals: a value and how far it may be off.

A target is met only if the whole interval is within it, missed only if the whole interval is
beyond it; between the two it is inconclusive. A figure that could not be measured is inconclusive,
never a pass.
"""

from __future__ import annotations

from dataclasses import dataclass

PASS, FAIL, INCONCLUSIVE = "PASS", "FAIL", "INCONCLUSIVE"


@dataclass(frozen=True)
class Interval:
    """``value`` plus or minus ``error``; ``censored``: the truth is more than ``value``."""

    value: float
    error: float = 0.0
    censored: bool = False

    @property
    def low(self) -> float:
        """The least it can be."""
        return self.value if self.censored else max(0.0, self.value - self.error)

    @property
    def high(self) -> float:
        """The most it can be."""
        return float("inf") if self.censored else self.value + self.error

    def against(self, target: float) -> str:
        """PASS, FAIL or INCONCLUSIVE against an upper bound."""
        if self.high <= target:
            return PASS
        if self.low > target:
            return FAIL
        return INCONCLUSIVE


def worst(verdicts: list[str]) -> str:
    """FAIL beats INCONCLUSIVE beats PASS; nothing at all is INCONCLUSIVE."""
    for verdict in (FAIL, INCONCLUSIVE):
        if verdict in verdicts:
            return verdict
    return PASS if verdicts else INCONCLUSIVE


def percentile(values: list[float], share: float) -> float | None:
    """The nearest-rank percentile; None of no values."""
    if not values:
        return None
    ordered = sorted(values)
    rank = max(1, -(-len(ordered) * share // 1))
    return ordered[int(rank) - 1]
