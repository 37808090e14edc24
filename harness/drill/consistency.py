"""What a drill file says against itself: each part of it is right, and together they make no sense.

:func:`contradictions` are refused: phases in an order that cannot be, targets and claims that nothing in the drill
could show. :func:`doubts` are warnings: such a drill can be run, and what comes of it is probably not what was meant.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from harness.drill import overrides
from harness.drill.plain_yaml import Loc
from harness.drill.provable import moves, unprovable
from harness.drill.schema import Drill, Phase

Remark = tuple[Loc, str]
SEEN_FROM_OUTSIDE = ("everything", "outside", "orchestrator")
"""Partitions of a region after which the orchestrator cannot reach it."""


def contradictions(drill: Drill) -> list[Remark]:
    """What cannot be, each with its place and what to do."""
    course = _Course(drill)
    course.walk()
    found = list(course.wrong)
    found += [(("metadata", "proves", index), why) for index, why in unprovable(drill)]
    if drill.fleet.concurrent_tasks < drill.fleet.deployments:
        found.append((("fleet", "concurrent_tasks"),
                      f"{drill.fleet.concurrent_tasks} tasks for {drill.fleet.deployments} Deployments: most would run"
                      " none, and nothing could be said of them; ask for at least one task each"))
    found += [(("fleet", "environment", name), why) for name, value in drill.fleet.environment.items()
              if (why := overrides.fault_of(name, value)) is not None]
    return found + list(_unjudgeable(drill))


def doubts(drill: Drill) -> list[Remark]:
    """What is probably not meant, each with its place."""
    course = _Course(drill)
    course.walk()
    found = list(course.odd)
    never = "cannot be met, because no figure is known to less than the time between two looks"
    if drill.targets.rto == 0:
        found.append((("targets", "rto"), f"an RTO of 0s {never}"))
    for stream, bound in drill.targets.rpo.model_dump(by_alias=True).items():
        if bound == 0:
            found.append((("targets", "rpo", stream), f"an RPO of 0s {never}; 'writes-lost: 0' can be"))
    return found


def _unjudgeable(drill: Drill) -> Iterator[Remark]:
    """The targets that nothing in this drill could be held against."""
    if any(map(moves, drill.phases)):
        return
    why = ("nothing in this drill could meet or miss it, because no phase fails over or back; leave it out"
           " (writes-lost, tasks-lost and split-brain-writes are judged in any drill)")
    for stream in drill.targets.rpo.model_dump(by_alias=True, exclude_none=True):
        yield ("targets", "rpo", stream), why
    if drill.targets.rto is not None:
        yield ("targets", "rto"), why


@dataclass
class _Course:
    """What is so after each phase, as far as the drill file alone tells. Phases are told by their number, from 1."""

    drill: Drill
    active: str = "primary"
    broken: bool = False
    """Whether anything was broken or left so far."""
    out: dict[str, int] = field(default_factory=dict)
    """Regions without power, and the phase that took it."""
    unseen: dict[str, int] = field(default_factory=dict)
    """Regions that the orchestrator cannot reach, and the phase that cut them off."""
    left: dict[str, bool] = field(default_factory=dict)
    """Regions that a move left and no heal has come for: whether it was planned."""
    drifted: bool = False
    armed: int | None = None
    """The phase that set the orchestrator's death, while no move has come after it."""
    at: int = 0
    wrong: list[Remark] = field(default_factory=list)
    odd: list[Remark] = field(default_factory=list)

    def walk(self) -> None:
        """Go through all phases."""
        if self.drill.phases[0].kind != "load":
            self._refuse("a drill begins with load; without it nothing can be lost")
        for at, phase in enumerate(self.drill.phases):
            self.at = at
            self._take(phase)
        if self.active in self.out:
            self._doubt(f"the {self.active} region, where Airflow is to run, is without power to the end (since phase"
                        f" {self.out[self.active]}): the fleet cannot be up then, so this drill cannot pass")
        if self.armed is not None:
            self.at = self.armed - 1
            self._doubt("no failover or failback comes after it, so the orchestrator passes none of these points")

    def _take(self, phase: Phase) -> None:
        spec = phase.spec
        if phase.kind == "load" and self.at:
            self._refuse("load comes first, and once")
        elif phase.kind == "fault":
            self._break(*spec.chosen)
        elif moves(phase):
            self._move(phase.kind, planned=phase.kind == "failback" or spec.planned)
        elif phase.kind == "heal":
            self._heal(spec.region)
        elif phase.kind == "hold":
            self._hold(spec.expect)

    def _break(self, name: str, parameters: Any) -> None:
        self.broken = True
        region = getattr(parameters, "region", getattr(parameters, "site", None))
        if region in self.out and name in ("region-outage", "manual-drift", "api-outage"):
            self._refuse(f"the {region} region is without power since phase {self.out[region]}, so nothing is left"
                         f" there for a fault {name}; heal it first, or leave this phase out")
        if name == "region-outage":
            self.out[parameters.region] = self.at + 1
        elif name == "partition" and parameters.source in SEEN_FROM_OUTSIDE:
            self.unseen[parameters.region] = self.at + 1
        elif name == "manual-drift":
            self.drifted = True
        elif name == "orchestrator-crash":
            self.armed = self.at + 1

    def _move(self, kind: str, *, planned: bool) -> None:
        target = "secondary" if kind == "failover" else "primary"
        if target == self.active:
            self._refuse("the cluster has failed over already; a failback comes first" if kind == "failover"
                         else "there is no failover before it")
            return
        if target in self.out:
            self._refuse(f"the {target} region is without power since phase {self.out[target]}, so nothing can be"
                         " moved there; heal it first, or say 'expect: refused'")
        elif target in self.unseen:
            self._doubt(f"the orchestrator cannot reach the {target} region since phase {self.unseen[target]} and"
                        " should refuse to move there ('expect: refused')")
        elif (since := self.left.get(target)) is not None:
            self._unhealed(target, left_planned=since)
        if planned and self.active in self.out:
            self._refuse(f"a {'failback' if kind == 'failback' else 'planned failover'} is a switchover and needs the"
                         f" region that it leaves alive, and the {self.active} region is without power since phase"
                         f" {self.out[self.active]}; "
                         + ("heal it first" if kind == "failback" else "leave 'planned: true' out, or heal it first"))
        self.left[self.active] = planned
        self.active, self.broken, self.armed = target, True, None

    def _unhealed(self, target: str, *, left_planned: bool) -> None:
        """A region that was left is moved to, and nothing has waited until it follows."""
        if left_planned:
            self._doubt(f"no 'heal: {{region: {target}}}' comes before it, so nothing waits until the {target} region"
                        " follows; an orchestrator may refuse to move there while it is behind")
        else:
            self._refuse(f"the {target} region was left in a failover and has not been healed since; put"
                         f" 'heal: {{region: {target}}}' before it")

    def _heal(self, region: str) -> None:
        if not self.broken:
            self._refuse("there is no fault and no failover before it, so there is nothing to heal")
        # Whatever region it names, all that the drill has broken so far is taken back.
        self.out.clear()
        self.unseen.clear()
        self.left.pop(region, None)

    def _hold(self, expected: str | None) -> None:
        if expected == "commits-wait" and self.drill.environment.rpo_bound is None:
            self._refuse("commits never wait, because environment.rpo-bound is null; give it a bound, or expect"
                         " something else")
        if expected == "drift-repaired" and not self.drifted:
            self._refuse("nothing drifts: there is no fault manual-drift before it")
        if expected == "unhealthy" and not self.broken:
            self._refuse("nothing is broken before it, so the cluster's health says nothing")
        if expected == "up" and self.active in self.out:
            self._refuse(f"no Deployment can be up: the {self.active} region, where Airflow is to run, is without power"
                         f" since phase {self.out[self.active]}")

    def _refuse(self, why: str) -> None:
        self.wrong.append((self._here, why))

    def _doubt(self, why: str) -> None:
        self.odd.append((self._here, why))

    @property
    def _here(self) -> Loc:
        return ("phases", self.at, self.drill.phases[self.at].kind)
