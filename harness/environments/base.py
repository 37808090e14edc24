"""What a drill needs of the place it runs in: the environment protocol.

An environment is a pair of regions, the sites outside them, and the acts that only the one who
built them can do (take a region's power away, degrade a link). ``embedded`` implements it with
processes; kind + LocalStack and attached real clusters implement the same protocol, and run the
same manifests, orchestrator, load and measures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
    proxy_bucket: str
    """The pull-through cache's: not replicated, because it can be rebuilt."""


PROOF = "scram-sha-256"
"""How a database is logged in to: both sides prove that they know the password, and neither says it."""


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
            f"password={self.password} dbname={self.database} connect_timeout=3 require_auth={PROOF}"
        )


@dataclass(frozen=True)
class Epoch:
    """A reign of one writer, begun by a promotion, by the database's own word.

    Attributes:
        deployment: whose metadata database it is; None where all Deployments share the server.
        number: the database's own number of the reign; a later reign has a higher one.
        site: the name of the region where the writer is.
        began: wall time at which the writer began to accept writes, seconds.
        error: how far ``began`` may be off, seconds.
        source: what said so, for the report.
    """

    deployment: str | None
    number: int
    site: str
    began: float
    error: float
    source: str


def other_role(role: str) -> str:
    """The role of the other region of the pair."""
    return "primary" if role == "secondary" else "secondary"


class Environment(Protocol):
    """A pair of regions, with what lies outside them."""

    identifier: str
    directory: Path
    logs: Path
    cluster_id: str

    # -- life -----------------------------------------------------------------------------

    def up(self, progress: Callable[[str], None] = ...) -> None:
        """Start everything; returns when it serves.

        Raises:
            EnvironmentFailed: naming the part that does not come up. What was started is left for
                :meth:`down`.
        """

    def check(self) -> None:
        """Raise EnvironmentFailed when a part has died that nobody killed on purpose."""

    def down(self) -> None:
        """Stop and remove everything that :meth:`up` made. May be called at any time, and again."""

    def processes(self) -> set[int]:
        """Ids of the local processes that belong to the environment."""

    def process_options(self, directory: Path) -> Mapping[str, Any]:
        """How a process is started beside it, to observe it or to put load on it: what ``subprocess.Popen`` is given.

        ``directory``: where it works, made if it is not there. Besides, its whole environment block, by which it counts
        as one of :meth:`processes`, and the ``user`` and ``group`` that it runs as where that is not ours.
        """

    @property
    def runs_as(self) -> str:
        """Whose its processes are, in words."""

    @property
    def simulated(self) -> Sequence[str]:
        """What of this environment is simulated, one sentence each, for the report."""

    # -- where things are -------------------------------------------------------------------

    @property
    def regions(self) -> Mapping[str, RegionAccess]:
        """Both regions by role: ``primary`` and ``secondary``."""

    def region_name(self, role: str) -> str:
        """A role's region."""

    @property
    def organization_id(self) -> str:
        """The organization under which the orchestrator knows the cluster."""

    @property
    def orchestrator_url(self) -> str:
        """The base URL of the system's own orchestrator."""

    def secret(self, name: str) -> str:
        """One of the environment's secrets, by name (``api_token``...)."""

    def database(self, role: str, database: str = ...) -> DatabaseAccess:
        """A region's PostgreSQL, directly, for the observer."""

    def kubernetes(self, role: str) -> Any:
        """The official Kubernetes client for a region, directly, for the observer."""

    def aws(self, role: str, service: Any) -> Any:
        """A boto3 client of a region (``global``: the global services), directly."""

    @property
    def ingress_port(self) -> int:
        """The port of every ingress."""

    def public_address(self, role: str) -> str:
        """The address at which users reach a region's ingress."""

    def public_addresses(self) -> Mapping[str, str]:
        """Public ingress address to region name."""

    def resolve(self, hostname: str) -> tuple[str, int]:
        """A hostname's address by DNS as it answers now, and the answer's TTL in seconds."""

    def dns_address(self) -> tuple[str, int]:
        """Where DNS questions are answered."""

    # -- evidence -----------------------------------------------------------------------------

    def witness_address(self) -> tuple[str, int, str]:
        """Host, port and token of the witness, for the observer."""

    def workload_witness(self, role: str) -> Mapping[str, str]:
        """The variables by which a region's workloads find the witness."""

    def workload_aws(self, role: str) -> Mapping[str, str]:
        """The variables by which a region's workloads reach its AWS APIs."""

    @property
    def witness_log(self) -> Path:
        """Every record that the witness received."""

    @property
    def link_log(self) -> Path:
        """What crossed the borders of the sites."""

    @property
    def usage_log(self) -> Path:
        """CPU and memory of the environment's parts over time (table ``usage``)."""

    def access_logs(self) -> Mapping[str, Sequence[Path]]:
        """The servers' own access logs, by role (``global`` for the global services).

        A line's ``who`` is the caller by the credential that it offered: ``orchestrator``, ``observer`` or
        ``workload``; absent where it offered none that is known.
        """

    def epochs(self) -> Sequence[Epoch]:
        """Every reign of a writer so far, oldest first, by the databases' own word.

        A dead region's are among them. A reign whose begin is not known is left out, and
        :meth:`epoch_gaps` tells of it.
        """

    def epoch_gaps(self) -> Sequence[str]:
        """What is not known of the reigns, one sentence each; empty when :meth:`epochs` is complete."""

    def spools(self) -> Sequence[Path]:
        """Files of witness records (JSON lines) that clients in the sites could not send, and kept."""

    def replication_lag(self, role: str) -> Mapping[str, Any]:
        """The writer's view of its standby (``state``, ``lag_bytes``, ``lag_s``).

        Never raises: a region that gives no answer has the state ``unknown: <why>`` and lags of None.
        """

    def pending_objects(self, role: str) -> Mapping[str, Any]:
        """A region's S3 replication metrics, by their CloudWatch names; None where it is silent."""

    # -- acts that only the maker of an environment can do ----------------------------------------

    def kill_region(self, role: str) -> Mapping[str, Any]:
        """Take away a region's power: all its processes at once. Returns evidence."""

    def restore_region(self, role: str) -> Mapping[str, Any]:
        """Give a region its power back; returns evidence once it serves.

        Raises:
            EnvironmentFailed: when a part does not come back.
        """

    def arm_orchestrator(self, points: Sequence[str]) -> Mapping[str, Any]:
        """Have the orchestrator die once at each point of its sequence (``armed``); none: disarm."""

    def orchestrator_crashes(self) -> Sequence[str]:
        """The points at which it has died so far."""

    def api_outage(
        self, site: str, services: Sequence[str], *, seconds: float | None = None
    ) -> Mapping[str, Any]:
        """Have AWS services of a site answer 503 (``refused``), for so long; none: they answer again."""

    def region_alive(self, role: str) -> bool:
        """Whether any part of the region still runs."""

    def set_link(self, source: str, target: str, **quality: float | bool | None) -> Mapping[str, Any]:
        """Degrade a direction (``cut``, ``delay`` in s, ``rate`` in bytes/s), or mend it (nothing).

        Returns the qualities in force, by direction, under ``links``.
        """
