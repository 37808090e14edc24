"""The RDS actions of a global database, acting on the real PostgreSQL pair.

Each region has one of these services. The names, states and errors are those of RDS; what lies
behind them is:

* ``CreateDBCluster`` makes storage (initdb, or a base backup streaming headless);
* ``CreateDBInstance`` provisions the head, ``DeleteDBInstance`` removes it;
* ``ModifyDBClusterParameterGroup`` sets ``rds.global_db_rpo``, the bound behind which commits wait;
* ``FailoverGlobalCluster`` (``AllowDataLoss=True``) fences the writer, or waits out the bound of one
  that cannot be reached, and promotes this region: a new epoch begins;
* ``SwitchoverGlobalCluster`` stops the writer in order, waits until this region holds its last
  byte, and only then promotes: nothing is lost, or it is refused.

Who reigns, and how that changes, is :mod:`global_cluster`'s.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.environments.embedded.aws.global_cluster import GlobalCluster, GlobalState, RdsError
from harness.environments.embedded.postgres import Mode, PostgresError, PostgresMember

ENGINE = "aurora-postgresql"
RPO_PARAMETER = "rds.global_db_rpo"
RPO_LOWEST, RPO_HIGHEST = 20, 2_147_483_647
FOLLOWS_S = 30.0
"""How long storage whose head is removed may take to follow the writer again."""


class RegionalRds:
    """RDS in one region."""

    def __init__(
        self, *, region: str, account: str, directory: Path,
        member: PostgresMember, peer: str, token: str, head_delay: float = 0.0,
    ) -> None:
        """Read what an earlier life of this service left.

        ``peer``: base URL of the other region's endpoint, through the link. ``head_delay``: seconds
        that provisioning a head is made to take (AWS: 5 to 10 minutes).
        """
        self.region, self.account = region, account
        self.member = member
        self.global_cluster = GlobalCluster(region=region, directory=directory, member=member, peer=peer, token=token)
        self._head_delay = head_delay

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
        with self.global_cluster.lock:
            if self.global_cluster.state.identifier:
                raise RdsError("GlobalClusterAlreadyExistsFault", "the global cluster exists")
            self.global_cluster.state = GlobalState(identifier=p["GlobalClusterIdentifier"], epoch=1)
            self.global_cluster.save()
        return {"GlobalCluster": self._describe_global()}

    def _do_CreateDBCluster(self, p: dict[str, str]) -> dict[str, Any]:
        with self.global_cluster.changing:
            if self.member.initialised:
                raise RdsError("DBClusterAlreadyExistsFault", "this region's DB cluster exists")
            if not self.global_cluster.state.identifier:
                self.global_cluster.ask()
            if self.global_cluster.state.identifier != p.get("GlobalClusterIdentifier"):
                raise RdsError("GlobalClusterNotFoundFault", "no such global cluster", 404)
            self.global_cluster.state.clusters[self.region] = p["DBClusterIdentifier"]
            if not self.global_cluster.state.writer:
                self.member.initialise()
                self.global_cluster.state.writer = self.region
            else:
                self.member.copy_from_source()
                self.member.start(Mode.HEADLESS)
            self.global_cluster.save()
            self.global_cluster.tell()
        return {"DBCluster": self._describe_cluster()}

    def _do_CreateDBInstance(self, p: dict[str, str]) -> dict[str, Any]:
        identifier = p["DBInstanceIdentifier"]
        with self.global_cluster.lock:
            if identifier in self.global_cluster.local.instances:
                raise RdsError("DBInstanceAlreadyExists", f"instance {identifier} exists")
            if not self.member.initialised:
                raise RdsError("DBClusterNotFoundFault", "this region has no DB cluster", 404)
            self.global_cluster.local.instances[identifier] = "creating"
            self.global_cluster.save()
        threading.Thread(target=self._provision, args=(identifier,), daemon=True).start()
        return {"DBInstance": self._describe_instance(identifier)}

    def _provision(self, identifier: str) -> None:
        time.sleep(self._head_delay)
        try:
            with self.global_cluster.changing:
                if self.global_cluster.state.writer == self.region:
                    if not self.member.is_writer():
                        self.member.start(Mode.WRITER)
                        self._once_writer()
                elif not self.member.answers():
                    self.member.start(Mode.REPLICA)
            status = "available"
        except PostgresError as error:
            print(f"head {identifier}: {error}", flush=True)
            status = "failed"
        with self.global_cluster.lock:
            self.global_cluster.local.instances[identifier] = status
            self.global_cluster.save()

    def _once_writer(self) -> None:
        with self.member.connect() as connection:
            row = connection.execute("select 1 from pg_roles where rolname = 'replicator'").fetchone()
        if row is None:
            self.member.create_replication_user()

    def _do_DeleteDBInstance(self, p: dict[str, str]) -> dict[str, Any]:
        identifier = p["DBInstanceIdentifier"]
        with self.global_cluster.lock:
            status = self.global_cluster.local.instances.get(identifier)
            if status is None:
                raise RdsError("DBInstanceNotFound", f"no instance {identifier}", 404)
            if self.global_cluster.state.writer == self.region and len(self.global_cluster.local.instances) == 1:
                raise RdsError("InvalidDBClusterStateFault", "the writer's last instance is in use")
            if status == "deleting":
                raise RdsError("InvalidDBInstanceState", f"instance {identifier} is being deleted")
            self.global_cluster.local.instances[identifier] = "deleting"
            self.global_cluster.save()
        threading.Thread(target=self._remove, args=(identifier,), daemon=True).start()
        return {"DBInstance": self._describe_instance(identifier)}

    def _remove(self, identifier: str) -> None:
        """The instance is there until its storage follows the writer again without it."""
        last = list(self.global_cluster.local.instances) == [identifier]
        if last and self.member.pid() is not None and self.global_cluster.state.writer != self.region:
            self.global_cluster.insist(f"going on without {identifier}", self.global_cluster.state.epoch,
                              lambda: self.member.start(Mode.HEADLESS))
            deadline = time.monotonic() + FOLLOWS_S
            while not self.member.receives() and time.monotonic() < deadline:
                time.sleep(0.1)
        with self.global_cluster.lock:
            del self.global_cluster.local.instances[identifier]
            self.global_cluster.save()

    def _do_CreateDBClusterParameterGroup(self, p: dict[str, str]) -> dict[str, Any]:
        return {"DBClusterParameterGroup": {
            "DBClusterParameterGroupName": p["DBClusterParameterGroupName"],
            "DBParameterGroupFamily": p.get("DBParameterGroupFamily", ""), "Description": ""}}

    def _do_ModifyDBClusterParameterGroup(self, p: dict[str, str]) -> dict[str, Any]:
        root = "Parameters.Parameter.1." if "Parameters.Parameter.1.ParameterName" in p else (
            "Parameters.member.1.")
        name, value = p.get(root + "ParameterName"), p.get(root + "ParameterValue", "")
        if name != RPO_PARAMETER:
            raise RdsError("InvalidParameterValue", f"only {RPO_PARAMETER} can be set, not {name}")
        if value != "-1" and not (value.isdigit() and RPO_LOWEST <= int(value) <= RPO_HIGHEST):
            raise RdsError("InvalidParameterValue",
                           f"{RPO_PARAMETER} takes {RPO_LOWEST} to {RPO_HIGHEST} (-1: off), not {value}")
        with self.global_cluster.lock:
            self.global_cluster.state.rpo_bound = None if value == "-1" else float(value)
            self.global_cluster.save()
        self.global_cluster.tell()
        return {"DBClusterParameterGroupName": p["DBClusterParameterGroupName"]}

    def _do_FailoverGlobalCluster(self, p: dict[str, str]) -> dict[str, Any]:
        if p.get("AllowDataLoss", "").lower() != "true":
            return self._do_SwitchoverGlobalCluster(p)
        return self._change_writer(p, planned=False)

    def _do_SwitchoverGlobalCluster(self, p: dict[str, str]) -> dict[str, Any]:
        return self._change_writer(p, planned=True)

    def _change_writer(self, p: dict[str, str], *, planned: bool) -> dict[str, Any]:
        target = p["TargetDbClusterIdentifier"].rsplit(":", 1)[-1]
        with self.global_cluster.lock:
            state = self.global_cluster.state
            if not state.identifier or p["GlobalClusterIdentifier"] != state.identifier:
                raise RdsError("GlobalClusterNotFoundFault", "no such global cluster", 404)
            if target != state.clusters.get(self.region):
                raise RdsError("DBClusterNotFoundFault",
                               "call the region that is to become the writer", 404)
            if state.failover is not None:
                raise RdsError("InvalidGlobalClusterStateFault", "a change of writer is under way")
            if state.writer == self.region:
                return {"GlobalCluster": self._describe_global()}
            if not any(s == "available" for s in self.global_cluster.local.instances.values()):
                raise RdsError("InvalidDBClusterStateFault",
                               "the target cluster is headless: create an instance first")
            self.global_cluster.take_over(planned=planned)
            return {"GlobalCluster": self._describe_global()}

    # -- descriptions -------------------------------------------------------------------

    def _do_DescribeGlobalClusters(self, p: dict[str, str]) -> dict[str, Any]:
        wanted = p.get("GlobalClusterIdentifier")
        if wanted and wanted != self.global_cluster.state.identifier:
            raise RdsError("GlobalClusterNotFoundFault", f"no global cluster {wanted}", 404)
        return {"GlobalClusters": [self._describe_global()] if self.global_cluster.state.identifier else []}

    def _do_DescribeDBClusters(self, p: dict[str, str]) -> dict[str, Any]:
        return {"DBClusters": [self._describe_cluster()] if self.member.initialised else []}

    def _do_DescribeDBInstances(self, p: dict[str, str]) -> dict[str, Any]:
        wanted = p.get("DBInstanceIdentifier")
        if wanted and wanted not in self.global_cluster.local.instances:
            raise RdsError("DBInstanceNotFound", f"no instance {wanted}", 404)
        names = [wanted] if wanted else list(self.global_cluster.local.instances)
        return {"DBInstances": [self._describe_instance(name) for name in names]}

    def _describe_global(self) -> dict[str, Any]:
        with self.global_cluster.lock:
            # Read together: between the two a writer may change, and then there would be none.
            state = self.global_cluster.state
            identifier, held, reigning = state.identifier, dict(state.clusters), state.writer
            failover = dict(state.failover or {})
        members = []
        for region in held:
            writer = region == reigning
            connected = not writer and self._synchronised(region)
            members.append({
                "DBClusterArn": self._arn(region), "IsWriter": writer, "Readers": [],
                "GlobalWriteForwardingStatus": "disabled",
                "SynchronizationStatus": "connected" if writer or connected else "pending-resync",
            })
        described: dict[str, Any] = {
            "GlobalClusterIdentifier": identifier,
            "GlobalClusterArn": f"arn:aws:rds::{self.account}:global-cluster:{identifier}",
            "Status": failover["Status"] if failover else "available",
            "Engine": ENGINE, "EngineVersion": "18.6", "StorageEncrypted": False,
            "DeletionProtection": False, "GlobalClusterMembers": members,
        }
        if failover:
            described["FailoverState"] = {
                **failover, "FromDbClusterArn": self._arn(reigning),
                "ToDbClusterArn": self._arn(self.region)}
        return described

    def _synchronised(self, region: str) -> bool:
        if self.global_cluster.state.writer == self.region:
            return self.global_cluster.replication().get("state") == "streaming"
        return region == self.region and self.member.receives()

    def _describe_cluster(self) -> dict[str, Any]:
        return {
            "DBClusterIdentifier": self.global_cluster.state.clusters.get(self.region, ""),
            "DBClusterArn": self._arn(self.region), "Engine": ENGINE, "EngineVersion": "18.6",
            "Status": "available", "Endpoint": self.member.host, "Port": self.member.port,
            "GlobalClusterIdentifier": self.global_cluster.state.identifier,
            "DBClusterMembers": [
                {"DBInstanceIdentifier": name, "IsClusterWriter": self.global_cluster.state.writer == self.region}
                for name in self.global_cluster.local.instances
            ],
        }

    def _describe_instance(self, identifier: str) -> dict[str, Any]:
        return {
            "DBInstanceIdentifier": identifier, "DBInstanceClass": "db.r6g.large",
            "DBInstanceStatus": self.global_cluster.local.instances[identifier], "Engine": ENGINE,
            "DBClusterIdentifier": self.global_cluster.state.clusters.get(self.region, ""),
            "Endpoint": {"Address": self.member.host, "Port": self.member.port},
            "DBInstanceArn": f"arn:aws:rds:{self.region}:{self.account}:db:{identifier}",
        }

    def _arn(self, region: str) -> str:
        return f"arn:aws:rds:{region}:{self.account}:cluster:{self.global_cluster.state.clusters.get(region, '')}"
