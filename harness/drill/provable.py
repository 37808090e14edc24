"""Which claims a drill can show by the phases that it has, whatever comes of it (the proofs themselves are measures).

A claim that a drill names and that nothing in it could show would be INCONCLUSIVE at the end, so the drill file is
refused before anything is started.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from harness.drill.claims import CLAIMS
from harness.drill.schema import Drill, Phase


@dataclass(frozen=True)
class Need:
    """What a drill must have for a claim, in words."""

    met: Callable[[Drill], bool]
    words: str


def moves(phase: Phase) -> bool:
    """Whether a phase asks for a move that is to happen."""
    return phase.kind in ("failover", "failback") and phase.spec.expect == "accepted"


def _expects(seen: str) -> Callable[[Drill], bool]:
    return lambda drill: any(phase.hold is not None and phase.hold.expect == seen for phase in drill.phases)


def _any_move(drill: Drill) -> bool:
    return any(map(moves, drill.phases))


def _goes_back(drill: Drill) -> bool:
    return any(moves(phase) and phase.kind == "failback" for phase in drill.phases)


def _outage_or_move(drill: Drill) -> bool:
    return _any_move(drill) or any(_disrupts(phase) for phase in drill.phases)


def _disrupts(phase: Phase) -> bool:
    if phase.kind != "fault":
        return False
    name, parameters = phase.spec.chosen
    return name == "region-outage" or (name == "partition" and bool(parameters.disrupts))


def _heals_while_away(drill: Drill) -> bool:
    away = False
    for phase in drill.phases:
        if moves(phase):
            away = phase.kind == "failover"
        if phase.kind == "heal" and away:
            return True
    return False


def _drift_is_waited_for(drill: Drill) -> bool:
    drifts = any(phase.kind == "fault" and phase.spec.chosen[0] == "manual-drift" for phase in drill.phases)
    return not drifts or _expects("drift-repaired")(drill)


def _at_full_size(drill: Drill) -> bool:
    bounds = CLAIMS["XR-19"].bounds
    return (_any_move(drill) and drill.fleet.deployments >= bounds["deployments"]
            and drill.fleet.concurrent_tasks >= bounds["concurrent-tasks"])


ALWAYS = Need(lambda _: True, "")
A_MOVE = Need(_any_move, "a failover or failback (one that is expected to be accepted)")
NEEDS: dict[str, Need] = {
    "XR-01": ALWAYS,
    "XR-02": Need(_outage_or_move, "a failover, a failback or an outage"),
    "XR-03": Need(lambda drill: _any_move(drill) and _expects("commits-wait")(drill)
                  and drill.environment.rpo_bound is not None,
                  "'hold: {expect: commits-wait}', an rpo-bound and a failover"),
    "XR-04": ALWAYS,
    "XR-05": A_MOVE, "XR-06": A_MOVE,
    "XR-07": Need(_drift_is_waited_for, "'hold: {expect: drift-repaired}' after the manual-drift"),
    "XR-08": A_MOVE, "XR-09": A_MOVE, "XR-10": A_MOVE,
    "XR-11": ALWAYS,
    "XR-12": A_MOVE,
    "XR-13": Need(_goes_back, "a failback"),
    "XR-14": Need(_heals_while_away, "a heal between a failover and the failback"),
    "XR-15": A_MOVE,
    "XR-16": ALWAYS,
    "XR-17": Need(_expects("unhealthy"), "'hold: {expect: unhealthy}'"),
    "XR-19": Need(_at_full_size, "a failover of 80 Deployments with 1250 concurrent_tasks"),
    "XR-20": A_MOVE,
    "XR-21": ALWAYS,
    "XR-22": A_MOVE,
}
"""What each claim that there is a proof of needs; a test holds them to be the same ones."""


def unprovable(drill: Drill) -> Iterable[tuple[int, str]]:
    """The claims that a drill names and cannot show: which of ``proves``, and why."""
    for index, claim in enumerate(drill.metadata.proves):
        need = NEEDS.get(claim)
        if need is None:
            yield index, f"no drill can show {claim} yet (nothing looks for it); leave it out"
        elif not need.met(drill):
            yield index, (f"nothing in this drill could show {claim}; that takes {need.words}."
                          f" Add it, or leave {claim} out")
