"""The reference orchestrator with promises broken: ``python -m tests.broken.server CONFIG``.

Which ones is said by ``DR_DRILL_SABOTAGE`` (names with commas between). Each breaks one thing and leaves
the rest as it is.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orchestrator import api, changes, sequence, server, shapes
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
    original = api.Variant
    replace(api, "Variant", lambda region, active: original(region, True))


@sabotage
def forced_failback() -> None:
    """A failback is a failover: it takes what it finds (XR-13)."""
    original = Region.take_over
    replace(Region, "take_over", lambda self, *, planned: original(self, planned=False))


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
    for chosen in os.environ["DR_DRILL_SABOTAGE"].split(","):
        SABOTAGES[chosen]()
    assert len(sys.argv) == 2
    server.main()
