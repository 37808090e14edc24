"""A result put into the order of the page's tables; nothing is reckoned here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harness.measures.interval import FAIL, INCONCLUSIVE, PASS
from harness.measures.result import Deployment, Epoch, Loss, Recovery, Result, Transition

WORST_FIRST = (FAIL, INCONCLUSIVE, PASS)


@dataclass(frozen=True)
class Moved:
    """One Deployment's part of one transition."""

    recovery: Recovery
    losses: dict[str, Loss]
    """By stream."""


@dataclass(frozen=True)
class Row:
    """A Deployment and, for each transition of the run, its part in it; None where that did not move it."""

    deployment: Deployment
    moves: list[Moved | None]


@dataclass(frozen=True)
class Reign:
    """An epoch and the Deployments for which it began at the same moment."""

    epoch: Epoch
    deployments: list[str]


def rows(result: Result) -> list[Row]:
    """All Deployments, those with the worst verdict first."""
    ordered = sorted(result.deployments, key=lambda d: (WORST_FIRST.index(d.verdict), d.name))
    return [Row(deployment, list(_parts(result, deployment))) for deployment in ordered]


def recoveries(result: Result, index: int) -> dict[str, Recovery]:
    """By Deployment how it came back in one transition, by name."""
    found = {row.deployment.name: row.moves[index] for row in rows(result)}
    return {name: part.recovery for name, part in sorted(found.items()) if part is not None}


def reigns(result: Result, transition: Transition | None = None) -> list[Reign]:
    """The epochs of the run, or those that began at its target from a transition's fault until it had settled."""
    found: dict[tuple[object, ...], Reign] = {}
    for deployment in result.deployments:
        for epoch in deployment.epochs:
            if transition is None or _within(epoch, deployment.name, transition):
                key = (epoch.number, epoch.site, epoch.began, epoch.error_s, epoch.inferred)
                found.setdefault(key, Reign(epoch, [])).deployments.append(deployment.name)
    return sorted(found.values(), key=lambda reign: (reign.epoch.began or 0.0, reign.epoch.number))


def _parts(result: Result, deployment: Deployment) -> Iterator[Moved | None]:
    """A Deployment has an entry only for the transitions that moved it, in their order."""
    own = zip(deployment.recoveries, deployment.losses, strict=True)
    for transition in result.transitions:
        yield Moved(*next(own)) if deployment.name in transition.deployments else None


def _within(epoch: Epoch, name: str, transition: Transition) -> bool:
    if epoch.began is None or name not in transition.deployments or epoch.site != transition.target:
        return False
    since = transition.t_fault - transition.t_fault_error_s
    return epoch.began + epoch.error_s >= since and (
        transition.t_settled is None or epoch.began - epoch.error_s <= transition.t_settled)
