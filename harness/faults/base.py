"""What a fault is: parameters, an act, an undo, and a way to see that it is in force.

A fault is written to the journal as intent, then act, then outcome; its undo is written before it
is done. A new fault is one module with a :class:`Fault` and a line in ``harness.faults.FAULTS``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict

from harness.environments.base import Environment

Role = Literal["primary", "secondary"]


class FaultFailed(Exception):
    """A fault could not be brought about: the drill has not tested what it says it tests."""


class Parameters(BaseModel):
    """Base of every fault's parameters in a drill file."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Fault(Protocol):
    """One kind of fault."""

    name: str
    parameters: type[Parameters]
    disrupts: bool
    """Whether service is expected to be lost: only such a fault sets t_fault."""

    cuts_links: bool
    """Whether what a site says may not be heard elsewhere while it stands."""

    def undo(self, parameters: Any) -> Mapping[str, Any]:
        """What takes the fault back, as data that :meth:`revert` understands; empty where there is nothing to do."""

    def concerns(self, undo: Mapping[str, Any], site: str) -> bool:
        """Whether healing a site (``primary`` or ``secondary``) takes the fault back.

        A fault that is nobody's in particular concerns every site. ``undo``: what :meth:`undo` said.
        """

    def revert(self, environment: Environment, undo: Mapping[str, Any]) -> Mapping[str, Any]:
        """Take the fault back, from what the journal holds alone; returns evidence once it is seen to be gone.

        May be called again, and where the fault never came about. ``undo``: what :meth:`undo` said.

        Raises:
            EnvironmentFailed: when it still stands afterwards.
        """

    def inject(self, environment: Environment, parameters: Any) -> Mapping[str, Any]:
        """Bring the fault about; returns evidence once it is *seen* to be in force.

        Raises:
            FaultFailed: when it is not in force afterwards.
        """
