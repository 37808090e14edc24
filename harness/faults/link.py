"""``link``: the network from one site to another is degraded: cut, delayed or throttled, one way.

Sites are ``primary``, ``secondary`` and ``outside``; ``orchestrator`` and ``users`` name callers
outside both regions, for a link that only they have. The other direction stays as it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, StrictBool, model_validator

from harness.common.durations import Duration, Rate
from harness.environments.base import Environment
from harness.faults.base import FaultFailed, Parameters
from harness.faults.mending import MEND, concern, mend

End = Literal["primary", "secondary", "outside", "orchestrator", "users"]
JOINED = frozenset(map(frozenset, (
    ("primary", "secondary"), ("primary", "outside"), ("secondary", "outside"),
    ("orchestrator", "primary"), ("orchestrator", "secondary"), ("orchestrator", "outside"),
    ("users", "primary"), ("users", "secondary"))))
"""Which ends a link joins; between others nothing passes that could be degraded."""


class LinkParameters(Parameters):
    """``{from: primary, to: secondary, throttle: 64KiB/s}``."""

    source: End = Field(alias="from")
    target: End = Field(alias="to")
    cut: StrictBool = False
    delay: Annotated[Duration, Field(gt=0)] = 0.0
    throttle: Rate | None = None

    @model_validator(mode="after")
    def _degrades(self) -> LinkParameters:
        if not (self.cut or self.delay or self.throttle):
            raise ValueError("say how the link degrades: cut: true, delay: 200ms or throttle: 1MiB/s")
        if self.source == self.target:
            raise ValueError("a link has two different ends")
        if frozenset((self.source, self.target)) not in JOINED:
            others = sorted(end for pair in JOINED if self.source in pair for end in pair - {self.source})
            raise ValueError(f"no link joins {self.source} and {self.target}; from {self.source} there are links to"
                             f" {', '.join(others)}")
        return self


class Link:
    """A degraded direction between two sites."""

    name = "link"
    parameters: type[Parameters] = LinkParameters
    disrupts = False
    cuts_links = True

    def undo(self, parameters: LinkParameters) -> Mapping[str, Any]:
        """Mend the direction."""
        return {MEND: [f"{parameters.source}->{parameters.target}"]}

    def concerns(self, undo: Mapping[str, Any], site: str) -> bool:
        """The sites at either end of its links."""
        return concern(undo, site)

    def revert(self, environment: Environment, undo: Mapping[str, Any]) -> Mapping[str, Any]:
        """Mend the links."""
        return mend(environment, undo)

    def inject(self, environment: Environment, parameters: LinkParameters) -> Mapping[str, Any]:
        """Degrade the direction and read back what the network now does."""
        evidence = environment.set_link(
            parameters.source, parameters.target,
            cut=parameters.cut, delay=parameters.delay, rate=parameters.throttle)
        direction = f"{parameters.source}->{parameters.target}"
        if direction not in evidence.get("links", {}):
            raise FaultFailed(f"the network does not report {direction} as degraded")
        return evidence
