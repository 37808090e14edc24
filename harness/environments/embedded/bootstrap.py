"""What a fresh pair is filled with before any Deployment: as Terraform and a cluster set-up would.

Everything here goes through the regions' own APIs (boto3 and the Kubernetes client), so that it holds
for LocalStack and kind as well.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from kubernetes import client as kubernetes_client

from harness.environments.base import EnvironmentFailed
from harness.environments.embedded.addresses import (
    GLOBAL_AWS,
    INGRESS,
    KUBERNETES,
    ORCHESTRATOR,
    POSTGRES,
    Caller,
    Site,
)
from harness.environments.embedded.layout import ROLES
from harness.environments.embedded.processes import last_lines

if TYPE_CHECKING:
    from harness.environments.embedded.environment import EmbeddedPair


def make_zone(pair: EmbeddedPair) -> str:
    """The hosted zone, with the one ingress record pointing at the primary; the zone's id."""
    route53 = pair.aws("global", "route53")
    zone = route53.create_hosted_zone(Name=pair.domain, CallerReference=pair.identifier)
    identifier = str(zone["HostedZone"]["Id"]).rsplit("/", 1)[-1]
    route53.change_resource_record_sets(HostedZoneId=identifier, ChangeBatch={"Changes": [{
        "Action": "UPSERT", "ResourceRecordSet": {
            "Name": f"ingress.{pair.domain}", "Type": "A", "TTL": 5, "ResourceRecords": [
                {"Value": pair.block.link(Caller.USERS, Site.PRIMARY, INGRESS)}]}}]})
    return identifier


def make_database(pair: EmbeddedPair) -> None:
    """The global cluster as Terraform would make it: writer with a head, headless secondary."""
    first, second = pair.aws("primary", "rds"), pair.aws("secondary", "rds")
    first.create_global_cluster(GlobalClusterIdentifier="metadata", Engine="aurora-postgresql")
    first.create_db_cluster(DBClusterIdentifier=pair.db_cluster("primary"),
                            GlobalClusterIdentifier="metadata", Engine="aurora-postgresql")
    first.create_db_instance(
        DBInstanceIdentifier=f"{pair.db_cluster('primary')}-1", DBClusterIdentifier=pair.db_cluster("primary"),
        DBInstanceClass="db.r6g.large", Engine="aurora-postgresql")

    def available() -> bool:
        found = first.describe_db_instances()["DBInstances"]
        if found and found[0]["DBInstanceStatus"] == "failed":
            log = pair.log_of("aws primary")
            raise EnvironmentFailed("PostgreSQL of the primary did not start", log=log,
                                    hint=last_lines(log))
        return bool(found) and found[0]["DBInstanceStatus"] == "available"

    pair.wait_for("PostgreSQL primary", available, pair.log_of("aws primary"))
    second.create_db_cluster(DBClusterIdentifier=pair.db_cluster("secondary"),
                             GlobalClusterIdentifier="metadata", Engine="aurora-postgresql")
    first.create_db_cluster_parameter_group(
        DBClusterParameterGroupName="metadata", DBParameterGroupFamily="aurora-postgresql18",
        Description="metadata databases")
    bound = pair.settings.rpo_bound
    first.modify_db_cluster_parameter_group(DBClusterParameterGroupName="metadata", Parameters=[{
        "ParameterName": "rds.global_db_rpo", "ApplyMethod": "immediate",
        "ParameterValue": "-1" if bound is None else f"{bound:.0f}"}])


def make_buckets(pair: EmbeddedPair) -> None:
    """Versioned buckets that replicate both ways; the proxy registry's is left out."""
    for purpose in ("task-logs", "images", "proxy-registry"):
        for role in ROLES:
            s3, name = pair.aws(role, "s3"), pair.bucket(role, purpose)
            s3.create_bucket(Bucket=name, CreateBucketConfiguration={
                "LocationConstraint": pair.region_name(role)})
            s3.put_bucket_versioning(Bucket=name,
                                     VersioningConfiguration={"Status": "Enabled"})
    for purpose in ("task-logs", "images"):
        for role, other in (("primary", "secondary"), ("secondary", "primary")):
            pair.aws(role, "s3").put_bucket_replication(
                Bucket=pair.bucket(role, purpose),
                ReplicationConfiguration={
                    "Role": "arn:aws:iam::123456789012:role/replication", "Rules": [{
                        "ID": "dr", "Status": "Enabled", "Priority": 1, "Filter": {"Prefix": ""},
                        "DeleteMarkerReplication": {"Status": "Disabled"},
                        "Destination": {
                            "Bucket": f"arn:aws:s3:::{pair.bucket(other, purpose)}",
                            "ReplicationTime": {"Status": "Enabled", "Time": {"Minutes": 15}},
                            "Metrics": {"Status": "Enabled",
                                        "EventThreshold": {"Minutes": 15}}}}]})


def bootstrap(pair: EmbeddedPair, role: str) -> None:
    """What a region has before any Deployment: the system namespace and its agent, which runs the curated set."""
    core = kubernetes_client.CoreV1Api(pair.kubernetes(role))
    apps = kubernetes_client.AppsV1Api(pair.kubernetes(role))
    core.create_namespace({"metadata": {"name": "dr-system"}})
    core.create_namespaced_secret("dr-system", {
        "metadata": {"name": "database-admin"},
        "stringData": {"ADMIN_HOST": pair.block.service(ROLES[role], POSTGRES),
                       "ADMIN_PASSWORD": pair.secret("postgres_password")}})
    site = ROLES[role]
    core.create_namespaced_secret("dr-system", {
        "metadata": {"name": "manifest-reconciler"}, "stringData": {
            "CONTROL_URL": pair.link_url(Caller(site), Site.OUTSIDE, ORCHESTRATOR),
            "CONTROL_TOKEN": pair.secret("agent_token"),
            "AGENT_REGION": pair.region_name(role),
            "CLUSTER_ID": pair.cluster_id,
            "RPO_BOUND": str(pair.settings.rpo_bound or ""),
            **pair.workload_aws(role), "ORDERS_BUCKET": pair.bucket(role, "task-logs"),
            "GLOBAL_AWS_ENDPOINT": pair.link_url(Caller(site), Site.OUTSIDE, GLOBAL_AWS),
            "GLOBAL_CLUSTER": "metadata", "DB_CLUSTER": pair.db_cluster(role),
            "KUBE_SERVER": f"https://{pair.block.service(site, KUBERNETES)}:{KUBERNETES.port}",
            "KUBE_TOKEN": pair.secret(f"kube_token_{role}"),
            "KUBE_CA": base64.b64encode((pair.directory / "ca.crt").read_bytes()).decode()}})
    apps.create_namespaced_deployment("dr-system", {
        "metadata": {"name": "manifest-reconciler"}, "spec": {
            "replicas": 1, "selector": {"matchLabels": {"app": "manifest-reconciler"}},
            "template": {"metadata": {"labels": {"app": "manifest-reconciler"}}, "spec": {
                "priorityClassName": "system-cluster-critical",
                "containers": [{
                    "name": "agent", "image": "dr-drill/agent:1",
                    "command": ["python", "-m", "orchestrator.agent"],
                    "readinessProbe": {"httpGet": {"path": "/", "port": 8081}, "periodSeconds": 1},
                    "envFrom": [{"secretRef": {"name": "manifest-reconciler"}}]}]}}}})


def make_template(pair: EmbeddedPair) -> None:
    """The migrated template that every metadata database is cloned from, by a Job in the primary.

    Raises:
        EnvironmentFailed: when the job fails.
    """
    batch = kubernetes_client.BatchV1Api(pair.kubernetes("primary"))
    host, secret = pair.block.service(Site.PRIMARY, POSTGRES), pair.secret("postgres_password")
    url = f"//airflow:{secret}@{host}:{POSTGRES.port}/airflow_template"
    batch.create_namespaced_job("dr-system", {
        "metadata": {"name": "airflow-template"}, "spec": {"backoffLimit": 2, "template": {
            "spec": {"restartPolicy": "Never", "containers": [{
                "name": "template", "image": "airflow:3.3.2",
                "command": ["python", "-m", "orchestrator.provision", "template"],
                "envFrom": [{"secretRef": {"name": "database-admin"}}],
                "env": [{"name": k, "value": v} for k, v in {
                    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2:{url}",
                    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": f"postgresql+asyncpg:{url}",
                    **pair.image_settings,
                    "DR_DRILL_TASK_RETRIES": str(pair.settings.task_retries),
                    "DR_DRILL_CANARY_SECONDS": str(pair.settings.canary_seconds),
                }.items()]}]}}}})

    def done() -> bool:
        status = batch.read_namespaced_job("airflow-template", "dr-system").status
        if any(c.type == "Failed" for c in status.conditions or []):
            raise EnvironmentFailed("the template metadata database could not be migrated",
                                    log=pair.log_of("node primary"))
        return bool(status.succeeded)

    pair.wait_for("job airflow-template", done, pair.log_of("node primary"))
    batch.delete_namespaced_job("airflow-template", "dr-system",
                                propagation_policy="Background")
