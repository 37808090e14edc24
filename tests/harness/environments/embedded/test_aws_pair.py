"""Two AWS endpoints with a real, replicated PostgreSQL between them."""

import time
from typing import Any

import psycopg
import pytest
from botocore.exceptions import ClientError

from harness.environments.base import Epoch
from harness.environments.embedded.access import PairAccess
from harness.environments.embedded.addresses import POSTGRES, Site
from harness.environments.embedded.layout import PairSettings
from tests.harness.environments.embedded.conftest import Sites, until

pytestmark = pytest.mark.real
PRIMARY, SECONDARY = Site.PRIMARY, Site.SECONDARY
GLOBAL = {"GlobalClusterIdentifier": "g", "Engine": "aurora-postgresql"}


def instance(name: str) -> dict[str, str]:
    return {"DBInstanceIdentifier": name, "DBClusterIdentifier": name[:1],
            "DBInstanceClass": "db.r6g.large", "Engine": "aurora-postgresql"}


def query(sites: Sites, site: Site, sql: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(
        host=sites.block.service(site, POSTGRES), user="postgres", password="pg-secret",
        dbname="postgres", connect_timeout=2, autocommit=True,
    ) as connection:
        cursor = connection.execute(sql)
        return cursor.fetchall() if cursor.description else []


def holds_table(sites: Sites, site: Site) -> bool:
    """Whether the table of the test has come so far: what has not is lost with a writer that is killed."""
    return bool(query(sites, site, "select 1 from pg_tables where tablename = 't'"))


def available(rds: Any, name: str) -> None:
    until(lambda: rds.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"][0][
        "DBInstanceStatus"] == "available")


def writer(rds: Any) -> str | None:
    described = rds.describe_global_clusters()["GlobalClusters"][0]
    if described.get("FailoverState"):
        return None
    return str(next(m["DBClusterArn"] for m in described["GlobalClusterMembers"]
                    if m["IsWriter"])).rsplit(":", 1)[-1]


def in_sync(rds: Any) -> bool:
    members = rds.describe_global_clusters()["GlobalClusters"][0]["GlobalClusterMembers"]
    return len(members) == 2 and all(m["SynchronizationStatus"] == "connected" for m in members)


def global_database(sites: Sites) -> tuple[Any, Any]:
    west, east = sites.client("rds", PRIMARY), sites.client("rds", SECONDARY)
    west.create_global_cluster(**GLOBAL)
    west.create_db_cluster(DBClusterIdentifier="p", **GLOBAL)
    west.create_db_instance(**instance("p-1"))
    available(west, "p-1")
    east.create_db_cluster(DBClusterIdentifier="s", **GLOBAL)
    until(lambda: in_sync(west))
    return west, east


def test_a_region_that_dies_is_replaced_fenced_and_taken_back_in(aws_pair: Sites) -> None:
    west, east = global_database(aws_pair)
    query(aws_pair, PRIMARY, "create table t as select generate_series(1, 100) as i")
    with pytest.raises(psycopg.OperationalError):  # headless: it replicates and answers nobody
        query(aws_pair, SECONDARY, "select 1")
    with pytest.raises(ClientError, match="headless"):
        east.failover_global_cluster(GlobalClusterIdentifier="g", TargetDbClusterIdentifier="s",
                                     AllowDataLoss=True)
    east.create_db_instance(**instance("s-1"))
    available(east, "s-1")
    assert query(aws_pair, SECONDARY, "select pg_is_in_recovery()") == [(True,)]
    until(lambda: holds_table(aws_pair, SECONDARY))

    assert aws_pair.kill("primary") > 1
    asked = east.failover_global_cluster(
        GlobalClusterIdentifier="g", TargetDbClusterIdentifier="s", AllowDataLoss=True)
    assert asked["GlobalCluster"]["FailoverState"]["IsDataLossAllowed"] is True
    until(lambda: writer(east) == "s")
    query(aws_pair, SECONDARY, "insert into t values (101)")

    aws_pair.start("aws", "aws.server", "primary")
    until(lambda: aws_pair.answers(PRIMARY))
    until(lambda: in_sync(east))  # rewound, and following
    assert writer(west) == "s"
    assert query(aws_pair, PRIMARY, "select count(*), pg_is_in_recovery() from t") == [(101, True)]

    query(aws_pair, SECONDARY, "insert into t values (102)")
    west.switchover_global_cluster(GlobalClusterIdentifier="g", TargetDbClusterIdentifier="p")
    until(lambda: writer(west) == "p")
    assert query(aws_pair, PRIMARY, "select count(*) from t") == [(102,)]
    with pytest.raises(psycopg.Error):
        query(aws_pair, SECONDARY, "insert into t values (103)")
    until(lambda: in_sync(west))
    removed = east.delete_db_instance(DBInstanceIdentifier="s-1", SkipFinalSnapshot=True)
    assert removed["DBInstance"]["DBInstanceStatus"] == "deleting"
    until(lambda: not east.describe_db_instances()["DBInstances"])
    assert in_sync(east)  # a head that is gone leaves storage that follows already
    with pytest.raises(psycopg.OperationalError):
        query(aws_pair, SECONDARY, "select 1")


def epochs(sites: Sites) -> list[Epoch]:
    """The reigns so far, as an environment in this place tells them, once none is about to begin."""
    pair = PairAccess("test", PairSettings(primary="us-west-2", secondary="us-east-2"))
    pair.directory = sites.root
    until(lambda: not pair.epoch_gaps())
    return pair.epochs()


def first_write(sites: Sites, site: Site) -> float:
    """Try to write until it works; when it had worked."""
    def written() -> float | None:
        try:
            query(sites, site, "insert into t values (1)")
        except psycopg.Error:
            return None
        return time.time()

    return float(until(written))


def assert_began_between(epoch: Epoch, asked: float, written: float) -> None:
    assert epoch.error <= 0.1
    assert asked - epoch.error <= epoch.began <= written + epoch.error


def test_each_change_of_writer_begins_one_epoch_by_the_databases_own_word(aws_pair: Sites) -> None:
    west, east = global_database(aws_pair)
    query(aws_pair, PRIMARY, "create table t (i int)")
    east.create_db_instance(**instance("s-1"))
    available(east, "s-1")
    until(lambda: holds_table(aws_pair, SECONDARY))
    first, = epochs(aws_pair)
    assert (first.deployment, first.number, first.site) == (None, 1, "us-west-2")

    aws_pair.kill("primary")
    asked = time.time()
    east.failover_global_cluster(GlobalClusterIdentifier="g", TargetDbClusterIdentifier="s", AllowDataLoss=True)
    written = first_write(aws_pair, SECONDARY)
    _, second = epochs(aws_pair)  # although the region of the first is dead
    assert (second.number, second.site) == (2, "us-east-2")
    assert_began_between(second, asked, written)

    aws_pair.start("aws", "aws.server", "primary")
    until(lambda: aws_pair.answers(PRIMARY))
    until(lambda: in_sync(east))
    assert epochs(aws_pair) == [first, second]  # who follows again does not reign
    asked = time.time()
    west.switchover_global_cluster(GlobalClusterIdentifier="g", TargetDbClusterIdentifier="p")
    written = first_write(aws_pair, PRIMARY)
    *earlier, third = epochs(aws_pair)
    assert earlier == [first, second]
    assert (third.number, third.site) == (3, "us-west-2")
    assert_began_between(third, asked, written)


def test_a_returning_writer_that_cannot_ask_its_peer_does_not_reign(aws_pair: Sites) -> None:
    global_database(aws_pair)
    reigns_before = epochs(aws_pair)
    aws_pair.kill("secondary")
    aws_pair.kill("primary")
    aws_pair.start("aws", "aws.server", "primary")
    until(lambda: aws_pair.answers(PRIMARY))
    with pytest.raises(psycopg.OperationalError):
        query(aws_pair, PRIMARY, "select 1")
    aws_pair.start("aws", "aws.server", "secondary")
    until(lambda: aws_pair.answers(SECONDARY))

    def reigns() -> bool:
        try:
            return query(aws_pair, PRIMARY, "select pg_is_in_recovery()") == [(False,)]
        except psycopg.Error:
            return False

    until(reigns)
    assert epochs(aws_pair) == reigns_before  # the same reign goes on


def buckets(sites: Sites) -> tuple[Any, Any]:
    west, east = sites.client("s3", PRIMARY), sites.client("s3", SECONDARY)
    for s3, name, other in ((west, "logs-west", "logs-east"), (east, "logs-east", "logs-west")):
        s3.create_bucket(Bucket=name,
                         CreateBucketConfiguration={"LocationConstraint": "us-west-2"})
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        s3.put_object(Bucket=name, Key="older-than-the-rule", Body=b"x")
        s3.put_bucket_replication(Bucket=name, ReplicationConfiguration={
            "Role": "arn:aws:iam::1:role/r", "Rules": [{
                "ID": "all", "Status": "Enabled", "Priority": 1, "Filter": {"Prefix": "a/"},
                "DeleteMarkerReplication": {"Status": "Disabled"},
                "Destination": {"Bucket": f"arn:aws:s3:::{other}"}}]})
    return west, east


def there(s3: Any, bucket: str, key: str) -> dict[str, Any] | None:
    try:
        return dict(s3.get_object(Bucket=bucket, Key=key))
    except s3.exceptions.NoSuchKey:
        return None


def test_objects_replicate_both_ways_once_and_only_where_a_rule_asks(aws_pair: Sites) -> None:
    west, east = buckets(aws_pair)
    put = west.put_object(Bucket="logs-west", Key="a/x=1/log", Body=b"hello", Metadata={"k": "v"})
    west.put_object(Bucket="logs-west", Key="b/other-prefix", Body=b"x")
    copy = until(lambda: there(east, "logs-east", "a/x=1/log"))
    assert copy["Body"].read() == b"hello"
    assert (copy["VersionId"], copy["ReplicationStatus"], copy["Metadata"]) == (
        put["VersionId"], "REPLICA", {"k": "v"})
    until(lambda: west.head_object(Bucket="logs-west", Key="a/x=1/log")
          .get("ReplicationStatus") == "COMPLETED")
    east.put_object(Bucket="logs-east", Key="a/back", Body=b"y")
    until(lambda: there(west, "logs-west", "a/back"))
    assert there(east, "logs-east", "b/other-prefix") is None
    assert there(east, "logs-east", "older-than-the-rule")["Body"].read() == b"x"  # its own
    versions = west.list_object_versions(Bucket="logs-west")["Versions"]
    assert len([v for v in versions if v["Key"] == "a/x=1/log"]) == 1  # it did not come back


def test_a_killed_endpoint_comes_back_with_its_objects_and_catches_up(aws_pair: Sites) -> None:
    west, east = buckets(aws_pair)
    aws_pair.kill("secondary")
    put = west.put_object(Bucket="logs-west", Key="a/during", Body=b"kept")
    assert west.head_object(Bucket="logs-west", Key="a/during")["ReplicationStatus"] == "PENDING"
    aws_pair.kill("primary")
    for name, site in (("primary", PRIMARY), ("secondary", SECONDARY)):
        aws_pair.start("aws", "aws.server", name)
        until(lambda site=site: aws_pair.answers(site))
    again = there(west, "logs-west", "a/during")
    assert again is not None
    assert (again["Body"].read(), again["VersionId"]) == (b"kept", put["VersionId"])
    until(lambda: there(east, "logs-east", "a/during"))


def test_an_unknown_access_key_is_refused(aws_pair: Sites) -> None:
    with pytest.raises(ClientError, match="403"):
        aws_pair.client("s3", PRIMARY, key="AKSTRANGER").list_buckets()


def test_an_rds_action_that_is_not_offered_says_so(aws_pair: Sites) -> None:
    with pytest.raises(ClientError, match="InvalidAction"):
        aws_pair.client("rds", PRIMARY).describe_events()
