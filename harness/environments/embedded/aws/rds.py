"""The RDS actions of a global database, acting on the real PostgreSQL pair.

Each region has one of these services. It owns its region's PostgreSQL and a copy of the global
cluster's record (who is the writer, since which **epoch**), which it exchanges with its peer over
the link. The names, states and errors are those of RDS; what lies behind them is:

* ``CreateDBCluster`` makes storage (initdb, or a base backup streaming headless);
* ``CreateDBInstance`` provisions the head, ``DeleteDBInstance`` removes it;
* ``FailoverGlobalCluster`` (``AllowDataLoss=True``) promotes this region whether or not the other
  answers, and begins a new epoch;
* ``SwitchoverGlobalCluster`` stops the writer in order, waits until this region holds its last
  byte, and only then promotes: nothing is lost, or it is refused.

Fencing: a region that comes back never resumes as the writer on its own word. Until its peer has
said which epoch reigns, its database stays down; if a newer one reigns, it rewinds and follows.
A writer that still runs when another epoch begins is told to stop over the link.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg

from harness.environments.embedded.postgres import Mode, PostgresError, PostgresMember

CATCH_UP_TIMEOUT = 60.0
PEER_TIMEOUT = 3.0
ENGINE = "aurora-postgresql"


class RdsError(Exception):
    """An RDS error: ``code`` is the name that boto3 shows."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.status = code, status


@dataclass
class GlobalState:
    """What both regions agree on about the global cluster. A higher epoch wins."""

    identifier: str = ""
    epoch: int = 0
    writer: str = ""
    clusters: dict[str, str] = field(default_factory=dict)
    """Region to DB cluster identifier."""
    failover: dict[str, Any] | None = None


@dataclass
class LocalState:
    """What only this region knows: its instances (identifier to status)."""

    instances: dict[str, str] = field(default_factory=dict)


class RegionalRds:
    """RDS in one region."""

    def __init__(
        self, *, region: str, account: str, directory: Path,
        member: PostgresMember, peer: str, token: str, head_delay: float = 0.0,
    ) -> None:
        """Read what an earlier life of this service left.

        ``peer``: base URL of the other region's endpoint, through the link. ``head_delay``: seconds that provisioning a head is made to take (AWS: 5 to 10 minutes).
        """
        self.region, self.account = region, account
        self.member = member
        self._path = directory / "rds.json"
        self._peer = httpx.Client(
            base_url=peer, timeout=PEER_TIMEOUT, headers={"x-dr-token": token}
        )
        self._head_delay = head_delay
        self._lock = threading.RLock()
        self._changing = threading.Lock()
        self.state, self.local = GlobalState(), LocalState()
        if self._path.exists():
            stored = json.loads(self._path.read_text())
            self.state = GlobalState(**stored["global"])
            self.local = LocalState(**stored["local"])

    # -- start --------------------------------------------------------------------------

    def resume(self) -> None:
        """After a restart of the region: find out who reigns, then take the place that is ours."""
        if self.member.initialised and self.local.instances is not None and self.state.epoch:
            threading.Thread(target=self._resume, name="rds-resume", daemon=True).start()

    def _resume(self) -> None:
        while True:
            try:
                answer = self._peer.get("/_dr/rds/state")
                answer.raise_for_status()
                break
            except httpx.HTTPError:
                time.sleep(0.3)  # alone, a returning region must not reign
        with self._changing:
            self._adopt(GlobalState(**answer.json()["global"]))
            if self.state.writer == self.region:
                self._insist("resuming as the writer", lambda: self.member.start(Mode.WRITER))
            else:
                self._follow()

    def _follow(self) -> None:
        """Become a standby of the other region again, throwing away what that never had."""

        def join() -> None:
            try:
                self.member.rewind_to_source()
            except PostgresError as error:
                print(f"rewind not possible, copying instead: {error}", flush=True)
                self.member.copy_from_source()
            self.member.start(Mode.REPLICA if self.local.instances else Mode.HEADLESS)

        self._insist(f"reaching {self.state.writer}", self.member.reach_source)
        self._insist(f"following {self.state.writer}", join)

    def _insist(self, what: str, act: Callable[[], None]) -> None:
        """Try again until it works: nobody else would."""
        while True:
            try:
                act()
                return
            except (PostgresError, OSError) as error:
                print(f"{what} failed, trying again: {error}", flush=True)
                time.sleep(0.5)

    # -- the actions --------------------------------------------------------------------

    def action(self, name: str, p: dict[str, str]) -> dict[str, Any]:
        """Carry out an RDS action with its query parameters; the result by RDS's shape.

        Raises:
            RdsError: with RDS's own code where RDS would refuse.
        """
        handler: Callable[[dict[str, str]], dict[str, Any]] | None = getattr(self, f"_do_{name}", None)
        if handler is None:
            raise RdsError("InvalidAction", f"{name} is not offered by the embedded RDS")
        return handler(p)

    def _do_CreateGlobalCluster(self, p: dict[str, str]) -> dict[str, Any]:
        with self._lock:
            if self.state.identifier:
                raise RdsError("GlobalClusterAlreadyExistsFault", "the global cluster exists")
            self.state = GlobalState(identifier=p["GlobalClusterIdentifier"], epoch=1)
            self._save()
        return {"GlobalCluster": self._describe_global()}

    def _do_CreateDBCluster(self, p: dict[str, str]) -> dict[str, Any]:
        with self._changing:
            if self.member.initialised:
                raise RdsError("DBClusterAlreadyExistsFault", "this region's DB cluster exists")
            if not self.state.identifier:
                self._ask_peer()
            if self.state.identifier != p.get("GlobalClusterIdentifier"):
                raise RdsError("GlobalClusterNotFoundFault", "no such global cluster", 404)
            self.state.clusters[self.region] = p["DBClusterIdentifier"]
            if not self.state.writer:
                self.member.initialise()
                self.state.writer = self.region
            else:
                self.member.copy_from_source()
                self.member.start(Mode.HEADLESS)
            self._save()
            self._tell_peer()
        return {"DBCluster": self._describe_cluster()}

    def _do_CreateDBInstance(self, p: dict[str, str]) -> dict[str, Any]:
        identifier = p["DBInstanceIdentifier"]
        with self._lock:
            if identifier in self.local.instances:
                raise RdsError("DBInstanceAlreadyExists", f"instance {identifier} exists")
            if not self.member.initialised:
                raise RdsError("DBClusterNotFoundFault", "this region has no DB cluster", 404)
            self.local.instances[identifier] = "creating"
            self._save()
        threading.Thread(target=self._provision, args=(identifier,), daemon=True).start()
        return {"DBInstance": self._describe_instance(identifier)}

    def _provision(self, identifier: str) -> None:
        time.sleep(self._head_delay)
        try:
            with self._changing:
                if self.state.writer == self.region:
                    if not self.member.is_writer():
                        self.member.start(Mode.WRITER)
                        self._once_writer()
                elif not self.member.answers():
                    self.member.start(Mode.REPLICA)
            status = "available"
        except PostgresError as error:
            print(f"head {identifier}: {error}", flush=True)
            status = "failed"
        with self._lock:
            self.local.instances[identifier] = status
            self._save()

    def _once_writer(self) -> None:
        with self.member.connect() as connection:
            row = connection.execute("select 1 from pg_roles where rolname = 'replicator'").fetchone()
        if row is None:
            self.member.create_replication_user()

    def _do_DeleteDBInstance(self, p: dict[str, str]) -> dict[str, Any]:
        identifier = p["DBInstanceIdentifier"]
        with self._changing, self._lock:
            if identifier not in self.local.instances:
                raise RdsError("DBInstanceNotFound", f"no instance {identifier}", 404)
            described = self._describe_instance(identifier) | {"DBInstanceStatus": "deleting"}
            if self.state.writer == self.region and len(self.local.instances) == 1:
                raise RdsError("InvalidDBClusterStateFault", "the writer's last instance is in use")
            del self.local.instances[identifier]
            self._save()
            if not self.local.instances and self.member.pid() is not None:
                self.member.start(Mode.HEADLESS)
        return {"DBInstance": described}

    def _do_FailoverGlobalCluster(self, p: dict[str, str]) -> dict[str, Any]:
        if p.get("AllowDataLoss", "").lower() != "true":
            return self._do_SwitchoverGlobalCluster(p)
        return self._change_writer(p, "failing-over", self._failover)

    def _do_SwitchoverGlobalCluster(self, p: dict[str, str]) -> dict[str, Any]:
        return self._change_writer(p, "switching-over", self._switchover)

    def _change_writer(
        self, p: dict[str, str], status: str, work: Callable[[], None]
    ) -> dict[str, Any]:
        target = p["TargetDbClusterIdentifier"].rsplit(":", 1)[-1]
        with self._lock:
            if not self.state.identifier or p["GlobalClusterIdentifier"] != self.state.identifier:
                raise RdsError("GlobalClusterNotFoundFault", "no such global cluster", 404)
            if target != self.state.clusters.get(self.region):
                raise RdsError("DBClusterNotFoundFault",
                               "call the region that is to become the writer", 404)
            if self.state.failover is not None:
                raise RdsError("InvalidGlobalClusterStateFault", "a change of writer is under way")
            if self.state.writer == self.region:
                return {"GlobalCluster": self._describe_global()}
            if not any(s == "available" for s in self.local.instances.values()):
                raise RdsError("InvalidDBClusterStateFault",
                               "the target cluster is headless: create an instance first")
            self.state.failover = {
                "Status": status, "IsDataLossAllowed": status == "failing-over",
                "FromDbClusterArn": self._arn(self.state.writer),
                "ToDbClusterArn": self._arn(self.region),
            }
            self._save()
            described = self._describe_global()
        threading.Thread(target=self._run_change, args=(work,), daemon=True).start()
        return {"GlobalCluster": described}

    def _run_change(self, work: Callable[[], None]) -> None:
        try:
            with self._changing:
                work()
        except (PostgresError, httpx.HTTPError, psycopg.Error, RdsError) as error:
            print(f"change of writer failed: {error}", flush=True)
        finally:
            with self._lock:
                self.state.failover = None
                self._save()

    def _failover(self) -> None:
        epoch = self.state.epoch + 1
        try:
            self._peer.post("/_dr/rds/fence", json={"epoch": epoch, "writer": self.region})
        except httpx.HTTPError as error:
            print(f"old writer not reachable to be fenced: {error!r}", flush=True)
        self._begin_epoch(epoch)
        self._tell_peer(wait=False)

    def _switchover(self) -> None:
        epoch = self.state.epoch + 1
        answer = self._peer.post("/_dr/rds/quiesce", timeout=60)
        answer.raise_for_status()
        last = answer.json()["checkpoint_lsn"]
        try:
            self._await_received(last)
            self._begin_epoch(epoch)
        except PostgresError:
            self._peer.post("/_dr/rds/reign")  # nobody reigns yet: the old writer resumes
            raise
        self._tell_peer()

    def _await_received(self, lsn: str) -> None:
        deadline = time.monotonic() + CATCH_UP_TIMEOUT
        while time.monotonic() < deadline:
            received = self.member.received_lsn()
            if received is not None and _lsn(received) >= _lsn(lsn):
                return
            time.sleep(0.02)
        raise PostgresError(f"the replica did not receive {lsn} in {CATCH_UP_TIMEOUT:.0f} s")

    def _begin_epoch(self, epoch: int) -> None:
        """Promote, and write the epoch's beginning into the database itself."""
        self.member.promote()
        with self._lock:
            self.state.epoch, self.state.writer = epoch, self.region
            self._save()

    # -- between the regions --------------------------------------------------------------

    def control(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """What the peer (or the environment) may ask over the link; see each branch."""
        if path == "state":
            return {"global": asdict(self.state), "local": asdict(self.local)}
        if path == "replication":
            return self._replication()
        if path == "announce":
            threading.Thread(target=self._announced, args=(GlobalState(**body),)).start()
            return {}
        if path == "fence":
            # A newer epoch begins elsewhere: no commit may be acknowledged from here on.
            if body["epoch"] > self.state.epoch and self.member.pid() is not None:
                self.member.stop(immediate=True)
            return {"fenced": True}
        if path == "quiesce":
            with self._changing:
                if self.state.writer != self.region:
                    raise RdsError("InvalidGlobalClusterStateFault", "this region is not the writer")
                if self._replication().get("state") != "streaming":
                    raise RdsError("InvalidGlobalClusterStateFault", "the target is not streaming")
                self.member.stop()
                return {"checkpoint_lsn": self.member.checkpoint_lsn()}
        if path == "reign":
            with self._changing:
                self.member.start(Mode.WRITER)
            return {}
        raise RdsError("InvalidAction", f"no such control call: {path}", 404)

    def _announced(self, state: GlobalState) -> None:
        with self._changing:
            before = self.state.writer
            self._adopt(state)
            if before == self.region and self.state.writer != self.region:
                self._follow()

    def _adopt(self, state: GlobalState) -> None:
        with self._lock:
            if state.epoch >= self.state.epoch:
                clusters = {**self.state.clusters, **state.clusters}
                self.state = state
                self.state.clusters = clusters
                self.state.failover = None
                self._save()

    def _ask_peer(self) -> None:
        answer = self._peer.get("/_dr/rds/state")
        answer.raise_for_status()
        self._adopt(GlobalState(**answer.json()["global"]))

    def _tell_peer(self, *, wait: bool = True) -> None:
        def tell() -> None:
            try:
                self._peer.post("/_dr/rds/announce", json=asdict(self.state))
            except httpx.HTTPError as error:
                print(f"peer not told of epoch {self.state.epoch}: {error!r}", flush=True)

        if wait:
            tell()
        else:
            threading.Thread(target=tell, daemon=True).start()

    def _replication(self) -> dict[str, Any]:
        if self.state.writer != self.region:
            return {"state": "not the writer"}
        try:
            return self.member.replication()
        except psycopg.Error as error:
            return {"state": f"unknown: {error}"}

    # -- descriptions -------------------------------------------------------------------

    def _do_DescribeGlobalClusters(self, p: dict[str, str]) -> dict[str, Any]:
        wanted = p.get("GlobalClusterIdentifier")
        if wanted and wanted != self.state.identifier:
            raise RdsError("GlobalClusterNotFoundFault", f"no global cluster {wanted}", 404)
        return {"GlobalClusters": [self._describe_global()] if self.state.identifier else []}

    def _do_DescribeDBClusters(self, p: dict[str, str]) -> dict[str, Any]:
        return {"DBClusters": [self._describe_cluster()] if self.member.initialised else []}

    def _do_DescribeDBInstances(self, p: dict[str, str]) -> dict[str, Any]:
        wanted = p.get("DBInstanceIdentifier")
        if wanted and wanted not in self.local.instances:
            raise RdsError("DBInstanceNotFound", f"no instance {wanted}", 404)
        names = [wanted] if wanted else list(self.local.instances)
        return {"DBInstances": [self._describe_instance(name) for name in names]}

    def _describe_global(self) -> dict[str, Any]:
        members = []
        for region in self.state.clusters:
            writer = region == self.state.writer
            connected = not writer and self._synchronised(region)
            members.append({
                "DBClusterArn": self._arn(region), "IsWriter": writer, "Readers": [],
                "GlobalWriteForwardingStatus": "disabled",
                "SynchronizationStatus": "connected" if writer or connected else "pending-resync",
            })
        described: dict[str, Any] = {
            "GlobalClusterIdentifier": self.state.identifier,
            "GlobalClusterArn": f"arn:aws:rds::{self.account}:global-cluster:{self.state.identifier}",
            "Status": self.state.failover["Status"] if self.state.failover else "available",
            "Engine": ENGINE, "EngineVersion": "18.6", "StorageEncrypted": False,
            "DeletionProtection": False, "GlobalClusterMembers": members,
        }
        if self.state.failover:
            described["FailoverState"] = self.state.failover
        return described

    def _synchronised(self, region: str) -> bool:
        if self.state.writer == self.region:
            return self._replication().get("state") == "streaming"
        return region == self.region and self.member.pid() is not None

    def _describe_cluster(self) -> dict[str, Any]:
        return {
            "DBClusterIdentifier": self.state.clusters.get(self.region, ""),
            "DBClusterArn": self._arn(self.region), "Engine": ENGINE, "EngineVersion": "18.6",
            "Status": "available", "Endpoint": self.member.host, "Port": self.member.port,
            "GlobalClusterIdentifier": self.state.identifier,
            "DBClusterMembers": [
                {"DBInstanceIdentifier": name, "IsClusterWriter": self.state.writer == self.region}
                for name in self.local.instances
            ],
        }

    def _describe_instance(self, identifier: str) -> dict[str, Any]:
        return {
            "DBInstanceIdentifier": identifier, "DBInstanceClass": "db.r6g.large",
            "DBInstanceStatus": self.local.instances[identifier], "Engine": ENGINE,
            "DBClusterIdentifier": self.state.clusters.get(self.region, ""),
            "Endpoint": {"Address": self.member.host, "Port": self.member.port},
            "DBInstanceArn": f"arn:aws:rds:{self.region}:{self.account}:db:{identifier}",
        }

    def _arn(self, region: str) -> str:
        return f"arn:aws:rds:{region}:{self.account}:cluster:{self.state.clusters.get(region, '')}"

    def _save(self) -> None:
        new = self._path.with_suffix(".new")
        new.write_text(json.dumps({"global": asdict(self.state), "local": asdict(self.local)}))
        os.replace(new, self._path)


def _lsn(text: str) -> int:
    high, low = text.split("/")
    return (int(high, 16) << 32) + int(low, 16)
