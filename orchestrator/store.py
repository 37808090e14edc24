"""The orchestrator's own records: the cluster, its Deployments, failover requests and their steps.

SQLite, because it survives ``kill -9`` and needs no server. DBOS keeps the workflows' progress in
a file of its own beside it; this one holds what the API shows.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, Field

from orchestrator.facts import RegionFacts

R = TypeVar("R", bound=BaseModel)

SCHEMA = """
create table if not exists documents (kind text, id text, body text, primary key (kind, id));
create table if not exists steps (
    request text, name text, started real, ended real, attempts integer, error text,
    primary key (request, name));
"""


def timestamp() -> str:
    """Now, as the API writes it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Cluster(BaseModel):
    """The one cluster record (XR-01): two regions, one flag."""

    id: str
    name: str
    region: str
    drRegion: str
    isDrEnabled: bool = True
    enableReplicationTimeControl: bool = True
    vpcSubnetRange: str = "172.20.0.0/19"
    drVpcSubnetRange: str = "172.21.0.0/19"
    dbInstanceType: str = "db.r6g.large"
    workspaceIds: list[str] = Field(default_factory=list)
    k8sTags: list[dict[str, Any]] = Field(default_factory=list)
    isFailedOver: bool = False
    status: str = "CREATED"
    activeRegion: str
    writer: str
    generation: int = 1
    """Raised at every change of the desired state; reconcilers report which one they applied."""
    workloads: dict[str, bool]
    """Region to whether Airflow is to run there. Both are false while Airflow moves."""
    createdAt: str = Field(default_factory=timestamp)
    updatedAt: str = Field(default_factory=timestamp)


class Deployment(BaseModel):
    """One Airflow. ``secrets`` never leave the orchestrator except as Kubernetes Secrets."""

    id: str
    name: str
    namespace: str
    workspaceId: str = "default"
    environmentVariables: list[dict[str, Any]] = Field(default_factory=list)
    secrets: dict[str, str] = Field(repr=False)
    provisioned: bool = False
    """Whether its metadata database is there: before, nothing of it is applied anywhere."""
    createdAt: str = Field(default_factory=timestamp)
    updatedAt: str = Field(default_factory=timestamp)


class FailoverRequest(BaseModel):
    """One failover or failback, from acceptance to its end."""

    id: str
    kind: str
    source: str
    target: str
    acceptedAt: float
    planned: bool = False
    """A switchover, which loses nothing and needs the region that it leaves."""
    forced: bool = False
    """Whether an administrator overrode a refusal."""
    status: str = "IN_PROGRESS"
    endedAt: float | None = None
    error: str | None = None


class Report(BaseModel):
    """What a region's reconciler last said about its region."""

    region: str
    generation: int
    running_pods: int
    at: float
    drift: list[str] = Field(default_factory=list)
    """Where the region differed from what is wanted, before it was put right."""
    in_contact_s: float = 0.0
    """How long before ``at`` its database was last known to be in contact with the other region's."""
    facts: RegionFacts = RegionFacts()
    missing_roles: list[str] = Field(default_factory=list)
    """IAM roles of the region's Deployments that are not there."""
    failing: dict[str, str] = Field(default_factory=dict)
    """Plugin of the curated set to what it failed with."""


class Store:
    """All records. Thread-safe."""

    def __init__(self, path: Path) -> None:
        """Open the store in a file, which is made if it is not there.

        Raises:
            OSError: when there is something else than a regular file, or it cannot be made.
            sqlite3.Error: when it is no store.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        _make_private(path)
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.executescript(SCHEMA)
        self._db.execute("pragma journal_mode=wal")
        self._lock = threading.RLock()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Hold the store for a read that leads to a write."""
        with self._lock:
            yield

    def put(self, record: BaseModel, id_: str) -> None:
        """Insert or replace a record."""
        with self._lock:
            self._db.execute("insert or replace into documents values (?, ?, ?)",
                             (type(record).__name__, id_, record.model_dump_json()))

    def get(self, kind: type[R], id_: str) -> R | None:
        """One record, or None."""
        with self._lock:
            row = self._db.execute("select body from documents where kind = ? and id = ?",
                                   (kind.__name__, id_)).fetchone()
        return kind.model_validate_json(row[0]) if row else None

    def remove(self, kind: type[BaseModel], id_: str) -> None:
        """Remove a record; one that is not there is as good."""
        with self._lock:
            self._db.execute("delete from documents where kind = ? and id = ?", (kind.__name__, id_))

    def all(self, kind: type[R]) -> list[R]:
        """All records of a kind, by id."""
        with self._lock:
            rows = self._db.execute("select body from documents where kind = ? order by id",
                                    (kind.__name__,)).fetchall()
        return [kind.model_validate_json(row[0]) for row in rows]

    def change_cluster(self, id_: str, **fields: Any) -> Cluster:
        """Change fields of the cluster record."""
        with self._lock:
            cluster = self.get(Cluster, id_)
            assert cluster is not None
            changed = cluster.model_copy(update={**fields, "updatedAt": timestamp()})
            self.put(changed, id_)
        return changed

    def step_started(self, request: str, name: str) -> None:
        """Note that a step begins (again: then only its attempts grow)."""
        with self._lock:
            self._db.execute(
                "insert into steps values (?, ?, ?, null, 1, null) on conflict (request, name)"
                " do update set attempts = attempts + 1", (request, name, time.time()))

    def step_ended(self, request: str, name: str, error: str | None = None) -> None:
        """Note how a step ended."""
        with self._lock:
            self._db.execute("update steps set ended = ?, error = ? where request = ? and name = ?",
                             (time.time(), error, request, name))

    def steps(self, request: str) -> list[dict[str, Any]]:
        """The steps of a request in the order in which they began."""
        with self._lock:
            rows = self._db.execute(
                "select name, started, ended, attempts, error from steps where request = ?"
                " order by started", (request,)).fetchall()
        return [dict(zip(("name", "started", "ended", "attempts", "error"), row, strict=True))
                for row in rows]


def _make_private(path: Path) -> None:
    """Have a regular file that only its owner can read, from its first byte on. No link is followed, no device touched.

    Raises:
        OSError: when there is something else.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(f"{path} is not a regular file")
        os.fchmod(fd, 0o600)
    finally:
        os.close(fd)
