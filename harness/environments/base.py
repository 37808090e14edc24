"""What a drill needs of the place it runs in: the environment protocol.

An environment is a pair of regions, the sites outside them, and the acts that only the one who
built them can do (take a region's power away, degrade a link). ``embedded`` implements it with
processes; kind + LocalStack and attached real clusters implement the same protocol, and run the
same manifests, orchestrator, load and measures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol


class EnvironmentFailed(Exception):
    """A part of the environment could not be started, or died. Exit code 4.

    Attributes:
        log: where that part wrote its log, if it has one.
        hint: what to look at or to do next.
    """

    def __init__(self, message: str, *, log: Path | None = None, hint: str = "") -> None:
        super().__init__(message)
        self.log = log
        self.hint = hint

    def explain(self) -> str:
        """The message with the log's place and the hint, one a line."""
        parts = [str(self)]
        if self.log is not None:
            parts.append(f"  log: {self.log}")
        if self.hint:
            parts.extend(f"  | {line}" for line in self.hint.splitlines())
        return "\n".join(parts)


@dataclass(frozen=True)
class RegionAccess:
    """How the harness, as the observer, reaches one region directly (through no link)."""

    name: str
    role: str
    kubeconfig: Path
    aws_endpoint: str
    postgres_host: str
    postgres_port: int
    log_bucket: str
    image_bucket: str


@dataclass(frozen=True)
class DatabaseAccess:
    """Host, port and credentials of one database."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    database: str = "postgres"

    @property
    def conninfo(self) -> str:
        """A libpq connection string."""
        return (
            f"host={self.host} port={self.port} user={self.user} "
            f"password={self.password} dbname={self.database} connect_timeout=3"
        )


class Environment(Protocol):
    """A running pair of regions."""

    directory: Path
    cluster_id: str

    @property
    def regions(self) -> Mapping[str, RegionAccess]:
        """Both regions by role: ``primary`` and ``secondary``."""

    @property
    def simulated(self) -> Sequence[str]:
        """What of this environment is simulated, one sentence each, for the report."""

    def up(self) -> None:
        """Start everything; returns when it serves.

        Raises:
            EnvironmentFailed: when a part does not come up. What was started is left for
                :meth:`down`.
        """

    def check(self) -> None:
        """Raise EnvironmentFailed when a part that should run has died."""

    def kill_region(self, role: str) -> Mapping[str, Any]:
        """Take away a region's power: all its processes at once. Returns evidence."""

    def restore_region(self, role: str) -> Mapping[str, Any]:
        """Give a region its power back. Returns evidence."""

    def region_alive(self, role: str) -> bool:
        """Whether any part of the region still runs."""

    def set_link(self, source: str, target: str, **quality: float | bool | None) -> None:
        """Degrade or mend the direction ``source`` to ``target`` (``cut``, ``delay``, ``rate``)."""

    def resolve_ingress(self, hostname: str) -> tuple[str, int]:
        """Address and port at which the hostname's DNS answer points right now."""

    def down(self) -> None:
        """Stop and remove everything that :meth:`up` made. May be called at any time."""
