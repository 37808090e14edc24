"""The reference orchestrator with promises broken: ``python -m tests.broken.server CONFIG SABOTAGE...``.

Each sabotage breaks one thing and leaves the rest as it is.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet

from orchestrator import api, changes, creation, manifests, metrics, regions, sequence, server, shapes
from orchestrator.durable import Context
from orchestrator.regions import GlobalServices, Region
from orchestrator.store import Cluster

SABOTAGES: dict[str, Callable[[], None]] = {}


def sabotage(function: Callable[[], None]) -> Callable[[], None]:
    """Register under the function's name."""
    SABOTAGES[function.__name__.replace("_", "-")] = function
    return function


def replace(owner: object, name: str, value: Any) -> None:
    """Put something else in the place of a function; one that is not there is not broken.

    Raises:
        AttributeError: when there is no such thing any more.
    """
    getattr(owner, name)
    setattr(owner, name, value)


def once_made(also: Callable[[], None]) -> None:
    """Do something else when a Deployment is made, before the drill begins to look."""
    original = creation.prepare_identity

    def with_it(deployment_id: str) -> None:
        original(deployment_id)
        also()

    replace(creation, "prepare_identity", with_it)


@sabotage
def two_records() -> None:
    """A second cluster record for the second region (XR-01)."""
    def listed(name: str, found: list[Any], limit: int, offset: int) -> dict[str, Any]:
        if name == "clusters":
            found = [*found, *({**c, "id": c["id"] + "-2", "name": "second"} for c in found)]
        return shapes.page(name, found, limit, offset)

    replace(api, "page", listed)


@sabotage
def no_dns() -> None:
    """The ingress record stays where it is (XR-02)."""
    replace(GlobalServices, "point_ingress_at", lambda *_: None)


@sabotage
def new_ids() -> None:
    """A Deployment that has moved is another Deployment (XR-02)."""
    original = api.deployment_shown

    def shown(deployment: Any, cluster: Cluster, *more: Any) -> dict[str, Any]:
        found = original(deployment, cluster, *more)
        return {**found, "id": f"{found['id']}-dr"} if cluster.isFailedOver else found

    replace(api, "deployment_shown", shown)


@sabotage
def unbounded() -> None:
    """Commits never wait for the standby, so a writer that is cut off goes on for ever (XR-03, XR-05)."""
    def off() -> None:
        Context.regions[Context.config.primary.name].rds.modify_db_cluster_parameter_group(
            DBClusterParameterGroupName="metadata", Parameters=[{
                "ParameterName": "rds.global_db_rpo", "ParameterValue": "-1", "ApplyMethod": "immediate"}])

    once_made(off)


@sabotage
def warm_database() -> None:
    """The standby's database has its compute from the start (XR-04)."""
    once_made(lambda: Context.regions[Context.config.secondary.name].provision_head())


@sabotage
def no_copies() -> None:
    """The buckets of the second region copy nothing back (XR-06)."""
    def stop() -> None:
        region = Context.config.secondary
        s3 = regions._client("s3", region.aws_endpoint, region.name, Context.config)
        for bucket in s3.list_buckets()["Buckets"]:
            s3.delete_bucket_replication(Bucket=bucket["Name"])

    once_made(stop)


@sabotage
def no_quiesce() -> None:
    """A switchover leaves Airflow running in the region that it leaves (XR-08, XR-12)."""
    replace(sequence, "quiesce", lambda *_: None)
    original = sequence.inflate

    def inflate_both(request_id: str, target: str) -> None:
        original(request_id, target)
        cluster = Context.store.get(Cluster, Context.config.cluster_id)
        assert cluster is not None
        Context.store.change_cluster(cluster.id, workloads=dict.fromkeys(cluster.workloads, True),
                                     generation=cluster.generation + 1)

    replace(sequence, "inflate", inflate_both)


@sabotage
def iam_write() -> None:
    """A failover makes its IAM roles when it needs them (XR-09)."""
    original = sequence.provision_database_compute

    def with_roles(request_id: str, target: str) -> None:
        Context.services.ensure_role(f"made-in-a-failover-{request_id}")
        original(request_id, target)

    replace(sequence, "provision_database_compute", with_roles)


@sabotage
def calls_home() -> None:
    """A failover asks the region that it leaves first (XR-10)."""
    original = sequence.provision_database_compute

    def asking(request_id: str, target: str) -> None:
        for name, region in Context.regions.items():
            if name != target:
                try:
                    region.head_status()
                except Exception as error:
                    print(f"asked {name}: {error!r}", flush=True)
        original(request_id, target)

    replace(sequence, "provision_database_compute", asking)


@sabotage
def no_deflate() -> None:
    """The standby's variant is the active one (XR-07, XR-11)."""
    replace(manifests.Variant, "replicas", property(lambda _: 1))


@sabotage
def dns_first() -> None:
    """Names lead to the new region before Airflow is there (XR-12)."""
    inflate, move_dns = sequence.inflate, sequence.move_dns
    replace(sequence, "inflate", move_dns)
    replace(sequence, "move_dns", inflate)


@sabotage
def forced_failback() -> None:
    """A failback is a failover: it takes what it finds (XR-13)."""
    original = Region.take_over
    replace(Region, "take_over", lambda self, *, planned: original(self, planned=False))


@sabotage
def no_cleanup() -> None:
    """The region that was left keeps its database compute, and is never ready for the way back (XR-14)."""
    replace(sequence, "remove_left_compute", lambda *_: None)


@sabotage
def old_flag() -> None:
    """The cluster's record goes on to name the region that was left (XR-15)."""
    original = api.cluster_shown

    def shown(cluster: Cluster, *more: Any) -> dict[str, Any]:
        found = original(cluster, *more)
        return {**found, "metadata": {**found["metadata"], "activeRegion": cluster.region}}

    replace(api, "cluster_shown", shown)


@sabotage
def one_name() -> None:
    """The metrics of both regions carry the same cluster id (XR-16)."""
    original = metrics.exposition
    replace(metrics, "exposition", lambda *given: original(*given).replace(b'-dr"', b'"'))


@sabotage
def other_key() -> None:
    """The second region has a fernet key of its own, and can decrypt nothing (XR-20)."""
    original, key = manifests.secrets_for, Fernet.generate_key().decode()

    def secrets_for(config: Any, deployment: Any, variant: Any) -> dict[str, str]:
        found = original(config, deployment, variant)
        away = variant.region.name == config.secondary.name
        return {**found, "AIRFLOW__CORE__FERNET_KEY": key} if away else found

    replace(manifests, "secrets_for", secrets_for)


@sabotage
def other_signature() -> None:
    """The second region signs with a key of its own: whoever was logged in is not any more (XR-20)."""
    original, key = manifests.secrets_for, Fernet.generate_key().decode() * 2

    def secrets_for(config: Any, deployment: Any, variant: Any) -> dict[str, str]:
        found = original(config, deployment, variant)
        away = variant.region.name == config.secondary.name
        return {**found, "AIRFLOW__API_AUTH__JWT_SECRET": key} if away else found

    replace(manifests, "secrets_for", secrets_for)


@sabotage
def no_scheduler() -> None:
    """Only API servers are inflated in the second region: nothing runs what was interrupted (XR-22)."""
    original = manifests._workload

    def workload(name: str, meta: Any, command: Any, replicas: int, probe: Any, **more: Any) -> Any:
        failed_over = Context.store.get(Cluster, Context.config.cluster_id)
        away = failed_over is not None and failed_over.workloads[Context.config.secondary.name]
        return original(name, meta, command, 0 if away and name == "scheduler" else replicas, probe, **more)

    replace(manifests, "_workload", workload)


@sabotage
def no_refusal() -> None:
    """Everything is accepted."""
    replace(changes, "admit_move", lambda *_, **__: None)


@sabotage
def no_list() -> None:
    """Nobody is told what is not carried over (XR-21)."""
    replace(api, "manual_work", lambda *_: [])


@sabotage
def always_healthy() -> None:
    """The cluster's health is what one likes to hear (XR-17)."""
    replace(shapes.health, "shown", lambda _: {"value": "HEALTHY", "details": []})


@sabotage
def forgetful() -> None:
    """What was under way is forgotten when the server starts again (XR-12)."""
    for path in Path.cwd().glob("workflows.sqlite*"):
        path.unlink()


if __name__ == "__main__":
    _, _, *sabotages = sys.argv
    assert sabotages
    for chosen in sabotages:
        SABOTAGES[chosen]()
    server.main()
