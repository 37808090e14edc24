"""What a check is: something that a drill looks at by itself, besides its figures, and writes down.

A check belongs to moments of a drill; a phase has all checks of its moment made. A new check is one function with a
:class:`Check` in a module of this package, and that module's name in :mod:`harness.engine.checks`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from harness.engine.fleet import Fleet
from harness.environments.base import Environment

Seen = tuple[bool, str]
"""Whether it is so, and what was seen."""


class Subject(Protocol):
    """What a check looks at; a drill's context is one."""

    @property
    def environment(self) -> Environment:
        """The pair."""

    @property
    def fleet(self) -> Fleet:
        """The Deployments in it."""

    @property
    def active(self) -> str:
        """The role of the region where Airflow is to run."""

    @property
    def pushed_image(self) -> str:
        """The object that was pushed last while a region was away; empty where there was none."""


@dataclass(frozen=True)
class Pair:
    """A subject outside a drill: the pair as it stands."""

    environment: Environment
    fleet: Fleet
    active: str = "primary"
    pushed_image: str = ""


Look = Callable[[Subject], Seen | None]


class Moment(StrEnum):
    """When a check is made."""

    UP = "up"
    """The fleet is up, and nothing has happened yet."""
    MOVED = "moved"
    """The orchestrator says that a transition has ended."""
    SETTLED = "settled"
    """The fleet has settled after a fault or a transition."""
    HEALED = "healed"
    """A region that was away follows the active one again."""
    EXPECTED = "expected"
    """A ``hold`` phase waits for it, by its name."""


@dataclass(frozen=True)
class Check:
    """One thing that is looked at."""

    name: str
    """By which the record and the proofs know it."""
    moments: tuple[Moment, ...]
    look: Look
    """Looks, and says what it saw; None where there is nothing to look at now."""
    claims: tuple[str, ...] = ()
    """The claims that it is evidence of."""
