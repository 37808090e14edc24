"""All figures of a run, each by its own measure; a measure that fails is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from harness.measures import (
    audit,
    conservation,
    fingerprint,
    gaps,
    resources,
    rpo,
    rto,
    split_brain,
    tasks,
)
from harness.measures.fingerprint import Differences
from harness.measures.history import History
from harness.measures.result import Audit, Fates, Loss, Recovery, Resources, SplitBrain, Tasks
from harness.measures.tasks import Task

T = TypeVar("T")


class MeasureFailed(Exception):
    """A measure did not come to its end: there is no figure that could be trusted."""

    def __init__(self, measure: str, error: Exception) -> None:
        super().__init__(f"the measure {measure} failed: {type(error).__name__}: {error}")
        self.measure = measure


@dataclass(frozen=True)
class Figures:
    """What was measured. Lists have an entry for each transition."""

    history: History
    recoveries: list[dict[str, Recovery]]
    """By Deployment."""
    up_at_end: dict[str, bool | None]
    up_between: dict[str, bool | None]
    """By Deployment whether it was up while nothing moved it; None: not always watched."""
    losses: list[dict[str, dict[str, Loss]]]
    """By stream and Deployment."""
    fates: dict[str, dict[str, Fates]]
    """By Deployment and stream."""
    split: SplitBrain
    split_of: list[SplitBrain]
    split_by: dict[str, SplitBrain]
    followed: list[Task] | None
    tasks: list[Tasks | None]
    audits: list[Audit | None]
    differences: Differences
    gaps: list[str]
    resources: Resources

    @property
    def planned(self) -> bool:
        """Whether nothing was broken in any transition."""
        return all(move.planned for move in self.history.moves)


def measured(measure: str, work: Callable[[], T]) -> T:
    """The outcome of a measure.

    Raises:
        MeasureFailed: naming it, when it does not come to its end.
    """
    try:
        return work()
    except MeasureFailed:
        raise
    except Exception as error:
        raise MeasureFailed(measure, error) from error


def compute(history: History) -> Figures:
    """All figures of a run.

    Raises:
        MeasureFailed: naming the measure that did not come to its end.
    """
    moves = history.moves
    measured("conservation", lambda: conservation.account(history))
    measured("split_brain", lambda: split_brain.find(history))
    followed = measured("tasks", lambda: tasks.follow(history))
    return Figures(
        history=history,
        recoveries=measured("rto", lambda: rto.recoveries(history)),
        up_at_end=measured("rto", lambda: rto.up_at_end(history)),
        up_between=measured("rto", lambda: rto.up_between(history)),
        losses=measured("rpo", lambda: rpo.losses(history)),
        fates=measured("conservation", lambda: conservation.fates(history)),
        split=measured("split_brain", lambda: split_brain.of(history)),
        split_of=measured("split_brain", lambda: [split_brain.of(history, m.index) for m in moves]),
        split_by=measured("split_brain", lambda: split_brain.by_deployment(history)),
        followed=followed,
        tasks=measured("tasks", lambda: tasks.of_moves(history, followed)),
        audits=measured("audit", lambda: [audit.audit(history, move) for move in moves]),
        differences=measured("fingerprint", lambda: fingerprint.differences(history)),
        gaps=measured("gaps", lambda: gaps.gaps(history)),
        resources=measured("resources", lambda: resources.resources(history)))
