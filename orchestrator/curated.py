"""The curated set (XR-07): what runs in a region whether Airflow does or not, declared once.

Each plugin says what it does where Airflow runs and what it does in a standby. Those with a duty are run by
the region's agent (:mod:`agent`); the others are the platform's, and the declaration says why there is
nothing for them to do on the embedded pair, so that nobody takes them for drilled.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx

from orchestrator.facts import FactFinder, Sources
from orchestrator.iam_controller import IamController
from orchestrator.kubernetes_region import KubernetesRegion
from orchestrator.observability import Observability
from orchestrator.orders import Orders
from orchestrator.reconciler import Reconciler
from orchestrator.region_view import Duty, RegionView


@dataclass(frozen=True)
class Surroundings:
    """All that a plugin may need of its region."""

    view: RegionView
    control: httpx.Client
    """The control plane."""
    kube: KubernetesRegion
    sources: Sources
    iam: Any
    """A boto3 client of IAM's control plane."""
    orders_bucket: str
    cluster: str
    rpo_bound: float | None


@dataclass(frozen=True)
class Plugin:
    """One member of the curated set."""

    name: str
    active: str
    """What it does where Airflow runs."""
    standby: str
    """What it does where it does not."""
    duty: Callable[[Surroundings], Duty] | None = None
    absent: str = ""
    """Why the embedded pair has nothing for it to do; empty where it has a duty."""

    def shown(self, *, active: bool, failing: str | None) -> dict[str, str]:
        """How the API shows it for a region."""
        state = "running" if not failing else f"failing: {failing}"
        if self.duty is None:
            state = f"absent: {self.absent}"
        return {"name": self.name, "does": self.active if active else self.standby, "state": state}


def _observability(around: Surroundings) -> Duty:
    return Observability(FactFinder(around.sources), around.view)


def _iam_controller(around: Surroundings) -> Duty:
    return IamController(around.iam, around.view)


def _manifest_reconciler(around: Surroundings) -> Duty:
    orders = Orders(around.sources.client("s3"), around.orders_bucket, around.cluster)
    return Reconciler(around.control, around.kube, orders, around.view, around.cluster,
                      around.sources.region, around.rpo_bound)


CURATED = (
    Plugin("observability",
           "reports the writer, how far its standby is behind, and what waits to be copied",
           "reports the replica and its lag, under the cluster's id with -dr",
           _observability),
    Plugin("iam-controller",
           "looks whether the roles of this region's Deployments exist",
           "looks whether the roles exist that Deployments will run as here",
           _iam_controller),
    # Last: it tells the control plane what the others have found.
    Plugin("manifest-reconciler",
           "applies the active variant, puts right what was changed by hand, stops Airflow when it must",
           "applies the standby variant, in which nothing runs, and takes away what does not belong",
           _manifest_reconciler),
    Plugin("cluster-autoscaler",
           "adds nodes for pods that wait, removes empty ones",
           "keeps the few nodes that the curated set needs, and grows when Airflow is inflated",
           absent="the embedded pair has one node that never fills"),
    Plugin("managed-egress",
           "gives what leaves the region its fixed addresses",
           "holds the region's own addresses, so that they can be allowed beforehand",
           absent="nothing leaves loopback on the embedded pair"),
    Plugin("certificates",
           "renews the certificates of all hostnames",
           "holds valid certificates for the same hostnames",
           absent="the embedded ingress speaks plain HTTP"),
    Plugin("bin-packing-scheduler",
           "packs pods onto few nodes",
           "is there for the moment when Airflow is inflated",
           absent="the embedded pair has one node"),
)
