"""A region as the orchestrator acts on it: boto3 for RDS, the official client for Kubernetes.

Every call has a time-out far below a step's deadline and no retries of its own: retrying is the
durable sequence's business.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

from loadgen.wire.aws import aws_client
from orchestrator.config import OrchestratorConfig, RegionConfig
from orchestrator.kubernetes_region import KubernetesRegion
from orchestrator.orders import Orders

ALIAS_TTL_S = 300
"""Of a Deployment's hostname, which is an alias for good; only the ingress record moves."""


class Region:
    """The regional adapters of one region."""

    def __init__(self, config: OrchestratorConfig, region: RegionConfig) -> None:
        self.config, self.region = config, region

    @cached_property
    def kubernetes(self) -> KubernetesRegion:
        """The region's Kubernetes API."""
        return KubernetesRegion.from_kubeconfig(self.region.kubeconfig)

    @cached_property
    def rds(self) -> Any:
        """The region's RDS API."""
        return _client("rds", self.region.aws_endpoint, self.region.name, self.config)

    @cached_property
    def orders(self) -> Orders:
        """Orders to the regions, by way of this region's bucket."""
        s3 = _client("s3", self.region.aws_endpoint, self.region.name, self.config)
        return Orders(s3, self.region.log_bucket, self.config.cluster_id)

    # -- database compute (the head) ------------------------------------------------------

    def provision_head(self) -> None:
        """Ask for the DB instance; one that exists already is as good."""
        try:
            self.rds.create_db_instance(
                DBInstanceIdentifier=self.region.db_instance_id,
                DBClusterIdentifier=self.region.db_cluster_id,
                DBInstanceClass="db.r6g.large", Engine="aurora-postgresql",
            )
        except self.rds.exceptions.DBInstanceAlreadyExistsFault:
            return

    def head_status(self) -> str | None:
        """The DB instance's status, None where there is no instance."""
        try:
            found = self.rds.describe_db_instances(DBInstanceIdentifier=self.region.db_instance_id)
        except self.rds.exceptions.DBInstanceNotFoundFault:
            return None
        return str(found["DBInstances"][0]["DBInstanceStatus"])

    def remove_head(self) -> bool:
        """Ask for the DB instance to be removed; whether it is gone (that takes minutes on AWS)."""
        status = self.head_status()
        if status not in (None, "deleting"):
            self.rds.delete_db_instance(
                DBInstanceIdentifier=self.region.db_instance_id, SkipFinalSnapshot=True)
        return status is None

    # -- the global database ----------------------------------------------------------------

    def is_writer(self) -> bool:
        """Whether this region's cluster is the global database's writer, and settled as such.

        Raises:
            botocore.exceptions.BotoCoreError: when the region does not answer.
        """
        described = self._global()
        if described.get("FailoverState"):
            return False
        return any(m["IsWriter"] and m["DBClusterArn"].endswith(f":{self.region.db_cluster_id}")
                   for m in described["GlobalClusterMembers"])

    def change_status(self) -> str | None:
        """How far a change of writer is: ``pending`` while the old one is fenced; None when none runs."""
        state = self._global().get("FailoverState") or {}
        return str(state["Status"]) if "Status" in state else None

    def in_sync(self) -> bool:
        """Whether the writer's standby is connected (asked at the writer's region)."""
        return all(m["SynchronizationStatus"] == "connected"
                   for m in self._global()["GlobalClusterMembers"])

    def take_over(self, *, planned: bool) -> None:
        """Make this region the writer: a switchover when planned, else a failover."""
        if planned:
            self.rds.switchover_global_cluster(
                GlobalClusterIdentifier=self.config.global_cluster_id,
                TargetDbClusterIdentifier=self.region.db_cluster_id)
        else:
            self.rds.failover_global_cluster(
                GlobalClusterIdentifier=self.config.global_cluster_id,
                TargetDbClusterIdentifier=self.region.db_cluster_id, AllowDataLoss=True)

    def _global(self) -> dict[str, Any]:
        found = self.rds.describe_global_clusters(
            GlobalClusterIdentifier=self.config.global_cluster_id)
        return dict(found["GlobalClusters"][0])


class GlobalServices:
    """Route 53 and IAM: control planes that live in us-east-1."""

    def __init__(self, config: OrchestratorConfig) -> None:
        self._config = config

    @cached_property
    def route53(self) -> Any:
        """Route 53's control plane."""
        return _client("route53", self._config.global_aws_endpoint, "us-east-1", self._config)

    @cached_property
    def iam(self) -> Any:
        """IAM's control plane."""
        return _client("iam", self._config.global_aws_endpoint, "us-east-1", self._config)

    def point_ingress_at(self, address: str) -> None:
        """Move the one top-level ingress record (all hostnames are CNAMEs of it)."""
        self._upsert(f"ingress.{self._config.domain}", "A", address, self._config.dns_ttl)

    def add_hostname(self, hostname: str) -> None:
        """A Deployment's hostname, as a CNAME of the ingress record."""
        self._upsert(hostname, "CNAME", f"ingress.{self._config.domain}", ALIAS_TTL_S)

    def ensure_role(self, name: str) -> None:
        """An IAM role; one that exists already is as good."""
        try:
            self.iam.create_role(RoleName=name, AssumeRolePolicyDocument='{"Version":"2012-10-17"}')
        except self.iam.exceptions.EntityAlreadyExistsException:
            return

    def _upsert(self, name: str, kind: str, value: str, ttl: int) -> None:
        self.route53.change_resource_record_sets(
            HostedZoneId=self._config.hosted_zone_id,
            ChangeBatch={"Changes": [{"Action": "UPSERT", "ResourceRecordSet": {
                "Name": name, "Type": kind, "TTL": ttl,
                "ResourceRecords": [{"Value": value}]}}]},
        )


def _client(service: Any, endpoint: str, region: str, config: OrchestratorConfig) -> Any:
    return aws_client(service, endpoint=endpoint, region=region, access_key=config.aws_access_key,
                      secret_key=config.aws_secret_key, connect=2, read=5)
