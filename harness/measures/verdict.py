"""Targets and verdict: figures held against what the drill file asks for.

FAIL beats INCONCLUSIVE beats PASS. What the drill names is judged: its targets, and the claims that
it says it proves. A named target without a figure, and any gap in the evidence, is inconclusive.
The clean-up is not judged here: it has a verdict of its own, so that a failed clean-up neither hides
nor fakes a drill's result.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness.durations import show_duration
from harness.measures.figures import Figures, TransitionFigures
from harness.measures.interval import FAIL, INCONCLUSIVE, PASS, Interval, worst
from harness.measures.rpo import STREAMS


@dataclass(frozen=True)
class Judged:
    """One target and what was observed."""

    name: str
    target: str
    observed: str
    error: float
    verdict: str


def judge(figures: Figures, targets: dict[str, Any]) -> list[Judged]:
    """Every target for every transition. ``targets``: as in the drill file, durations in seconds."""
    found: list[Judged] = []
    for f in figures.transitions:
        found += _of_transition(f, targets)
    if figures.steady is not None:
        found += _of_steady(figures, targets)
    return found


def verdict(figures: Figures, judged: list[Judged], failures: list[str],
            claims: list[str]) -> str:
    """The drill's verdict.

    ``failures``: what went wrong outright (a refused failover, say); ``claims``: the verdicts of the
    claims that the drill says it proves: a drill that fails to prove one has not passed.
    """
    verdicts = [j.verdict for j in judged] + claims
    verdicts += [FAIL] * len(failures) + [INCONCLUSIVE] * len(figures.gaps)
    return worst(verdicts)


def _of_transition(f: TransitionFigures, targets: dict[str, Any]) -> list[Judged]:
    kind, found = f.transition.kind, []
    if targets.get("rto") is not None:
        found.append(_duration(f"{kind}: RTO of the fleet", targets["rto"], f.recovery.fleet))
    for stream in STREAMS:
        bound, loss = (targets.get("rpo") or {}).get(stream), f.losses.get(stream)
        if bound is not None:
            found.append(_duration(f"{kind}: RPO of {stream}", bound, loss.window if loss else None))
            if stream == "metadata" and f.stranded is not None and f.stranded.count:
                # Lost all the same, though the definition of the RPO ends at the fault.
                found.append(_duration(f"{kind}: writes acknowledged after the fault, and lost", bound,
                                       f.stranded.window))
    found += _counts(
        kind, targets, split_brain=f.split_brain.total if f.transition.t_promoted else None,
        tasks_lost=None if f.tasks is None else f.tasks.counts["lost"] + f.tasks.counts["stuck"],
        writes_lost=None if "metadata" not in f.losses else f.losses["metadata"].lost + (
            f.stranded.count if f.stranded else 0))
    return found


def _of_steady(figures: Figures, targets: dict[str, Any]) -> list[Judged]:
    assert figures.steady is not None
    found, steady = [], figures.steady
    for stream, loss in steady.losses.items():
        bound = (targets.get("rpo") or {}).get(stream)
        if bound is not None:
            found.append(_duration(f"steady state: loss of {stream}", bound, loss.window))
    return found + _counts("steady state", targets, split_brain=steady.split_brain.total,
                           tasks_lost=steady.tasks_failed, writes_lost=steady.losses["metadata"].lost)


def _counts(where: str, targets: dict[str, Any], *, split_brain: int | None,
            tasks_lost: int | None, writes_lost: int | None) -> list[Judged]:
    found = []
    for key, label, value in (("split-brain-writes", "split-brain writes", split_brain),
                              ("tasks-lost", "tasks lost or stuck", tasks_lost),
                              ("writes-lost", "metadata writes lost", writes_lost)):
        bound = targets.get(key)
        if bound is None:
            continue
        outcome = INCONCLUSIVE if value is None else PASS if value <= bound else FAIL
        shown = "not measured" if value is None else str(value)
        found.append(Judged(f"{where}: {label}", f"at most {bound}", shown, 0.0, outcome))
    return found


def _duration(name: str, bound: float, figure: Interval | None) -> Judged:
    target = f"at most {show_duration(bound)}"
    if figure is None:
        return Judged(name, target, "not measured", 0.0, INCONCLUSIVE)
    shown = ("more than " if figure.censored else "") + show_duration(figure.value)
    outcome = figure.against(bound)
    if figure.censored:  # never restored is failed, whatever the bound
        outcome = FAIL
    return Judged(name, target, shown, round(figure.error, 3), outcome)
