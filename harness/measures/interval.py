"""Figures are intervals: what a figure is at least, and what it is at most.

A target is met only if the whole interval is within it, missed only if the whole interval is beyond it;
between the two it is inconclusive. A figure that could not be measured is inconclusive, never a pass.
"""

from __future__ import annotations

from enum import StrEnum
from math import inf

from pydantic import BaseModel, ConfigDict, Field, computed_field


class Verdict(StrEnum):
    """What can be said of a target, a claim or a drill."""

    PASS = "PASS"
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"


PASS, FAIL, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE


class Interval(BaseModel):
    """Between ``low`` and ``high``; ``high`` is None where the figure is known to be no less than ``low`` only."""

    model_config = ConfigDict(frozen=True)

    low: float = Field(ge=0)
    high: float | None

    @classmethod
    def around(cls, value: float, error: float) -> Interval:
        """A value that may be off by so much."""
        return cls(low=max(0.0, value - error), high=max(0.0, value + error))

    @classmethod
    def at_least(cls, low: float) -> Interval:
        """A figure whose upper bound nobody has seen."""
        return cls(low=max(0.0, low), high=None)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def censored(self) -> bool:
        """Whether the truth may be anything beyond ``low``."""
        return self.high is None

    @property
    def most(self) -> float:
        """The upper bound; infinite where there is none."""
        return inf if self.high is None else self.high

    def against(self, target: float) -> Verdict:
        """What can be said against an upper bound."""
        if self.most <= target:
            return PASS
        if self.low > target:
            return FAIL
        return INCONCLUSIVE

    def __add__(self, other: Interval) -> Interval:
        high = None if self.high is None or other.high is None else self.high + other.high
        return Interval(low=self.low + other.low, high=high)


ZERO = Interval(low=0.0, high=0.0)


def exactly(count: float) -> Interval:
    """A figure without error: a count of what was seen."""
    return Interval(low=count, high=count)


def worst(verdicts: list[Verdict]) -> Verdict:
    """FAIL beats INCONCLUSIVE beats PASS; nothing at all is INCONCLUSIVE."""
    for verdict in (FAIL, INCONCLUSIVE):
        if verdict in verdicts:
            return verdict
    return PASS if verdicts else INCONCLUSIVE


def slowest(values: list[Interval]) -> Interval | None:
    """The largest of several figures, each of which may be anywhere in its interval; None of none."""
    if not values:
        return None
    high = None if any(v.high is None for v in values) else max(v.most for v in values)
    return Interval(low=max(v.low for v in values), high=high)


def percentile(values: list[Interval], share: float) -> Interval | None:
    """The nearest-rank percentile, of the lower and of the upper bounds; None of no values.

    A percentile among whose values a censored one stands at or below its rank is censored itself.
    """
    if not values:
        return None
    rank = int(max(1, -(-len(values) * share // 1))) - 1
    high = sorted(v.most for v in values)[rank]
    return Interval(low=sorted(v.low for v in values)[rank], high=None if high == inf else high)
