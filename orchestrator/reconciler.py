"""The manifest reconciler: in each region it pulls its region's variant and applies it.

The region asks; the control plane answers. So a region
can be told to stop its Airflow although nobody calls into it (XR-10), and one that comes back
after an outage finds out by itself that it is the standby now. It reports which generation it
has applied and how many Airflow pods it still runs: that report is what a planned switchover
waits for before the other region may start (XR-08). Where Airflow is left as planned, what runs may come
to its end (it drains); otherwise, and from the moment on at which that is over, it is gone within seconds.

Between changes it looks now and then whether the region still is what it should be, puts right what
is not, removes what is not wanted any more, and reports what it found.

Nothing of a region that is left may act on the outside world after a promotion elsewhere (XR-08). So a
region that does not hear the control plane looks in its own bucket for an order to stop (:mod:`orders`).
And one that is alone, because it does not know the other region behind its database either, is the one
that may have been failed over from: it stops its Airflow before the bound of the database's guard has
passed. Not to know is to be alone, too: an API that says nothing vouches for nothing.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import httpx
from botocore.exceptions import BotoCoreError, ClientError

from orchestrator.drift import Key, differences, key_of
from orchestrator.kubernetes_region import KubernetesRegion
from orchestrator.orders import Orders
from orchestrator.region_view import RegionView

DRIFT_S = 30.0
KINDS = (("v1", "Namespace"), ("v1", "ServiceAccount"), ("v1", "ConfigMap"), ("v1", "Secret"),
         ("apps/v1", "Deployment"), ("v1", "Service"), ("networking.k8s.io/v1", "Ingress"))
"""What a Deployment is made of; see :mod:`manifests`."""
ALONE_SHARE = 0.3
"""The share of the database's bound after which a region that is alone stops its Airflow."""


@dataclass
class Memory:
    """What the reconciler remembers from one turn to the next."""

    applied: int = 0
    settled: int = 0
    """The last generation that was applied and has taken effect: what it does not want is gone."""
    rpo_bound: float | None = None
    heard: float = field(default_factory=time.monotonic)
    """When the control plane was last heard."""
    stopped: bool = False
    """Whether Airflow was stopped here without a word from the control plane."""
    looked: float = 0.0
    drift: list[str] = field(default_factory=list)
    unwanted: set[Key] = field(default_factory=set)


class Reconciler:
    """The manifest reconciler of one region."""

    def __init__(self, control: httpx.Client, kube: KubernetesRegion, orders: Orders, view: RegionView,
                 cluster: str, region: str, rpo_bound: float | None = None) -> None:
        """``orders``: what this region's own bucket shows.

        ``rpo_bound``: the database's bound until the control plane says otherwise; an agent that is
        started again while it is cut off would not know it.
        """
        self._control, self._kube, self._orders, self._view = control, kube, orders, view
        self._region, self._path = region, f"/agent/clusters/{cluster}/regions/{region}"
        self.state = Memory(rpo_bound=rpo_bound)

    def turn(self) -> None:
        """One turn: pull, apply, look, report.

        Raises:
            Exception: whatever kept it from finishing; the next turn starts anew.
        """
        state, view = self.state, self._view
        try:
            answer = self._control.get(self._path, params={"have": 0 if state.stopped else state.applied})
            answer.raise_for_status()
        except httpx.HTTPError:
            self._stop_if_alone()
            self._obey()
            raise
        state.heard = time.monotonic()
        wanted: dict[str, Any] = answer.json()
        state.rpo_bound, view.active = wanted.get("rpoBound"), bool(wanted["active"])
        hurried = not view.active and not wanted["drain"]
        if state.stopped or wanted["generation"] != state.applied:
            if hurried:
                self._kube.stop_airflow(drain=False)
            self._apply(wanted["manifests"])
            state.applied, state.stopped, state.looked = int(wanted["generation"]), False, time.monotonic()
            state.unwanted, state.drift = set(), []
            view.told = True
            print(f"applied generation {state.applied}, active: {wanted['active']}", flush=True)
        elif time.monotonic() - state.looked > DRIFT_S:
            fresh = self._control.get(self._path, params={"have": 0}).raise_for_status().json()
            if fresh["generation"] == state.applied:
                view.wanted, state.looked = fresh["manifests"], time.monotonic()
                state.drift = self._put_right()
        running = self._kube.airflow_pods()
        if running and hurried:
            self._kube.hurry()
        self._control.post(self._path, json={
            "generation": state.applied, "running_pods": running, "drift": state.drift,
            "in_contact_s": time.monotonic() - view.in_contact, "facts": view.facts.model_dump(),
            "missing_roles": view.missing_roles, "failing": view.failing,
        }).raise_for_status()
        if state.settled < state.applied and (view.active or not running):
            self._settle()

    def _apply(self, manifests: list[dict[str, Any]]) -> None:
        """Apply what is wanted otherwise than before, or is not there as it is wanted.

        Both, because others write here too (a failover inflates the region itself), and because what is in
        a Secret cannot be compared.
        """
        known = {key_of(manifest): manifest for manifest in self._view.wanted}
        differ = {difference.key for difference in differences(self._there(), manifests)}
        self._kube.apply_all([m for m in manifests if key_of(m) in differ or known.get(key_of(m)) != m])
        self._view.wanted = manifests

    def _settle(self) -> None:
        """Answer an order that the control plane's own word has overtaken: it must stop nobody later."""
        state = self.state
        if self._orders.stopping(self._region):
            self._orders.answer(self._region, state.applied)
        state.settled = state.applied

    def _obey(self) -> None:
        """Stop Airflow where an order says so, and answer once nothing of it runs."""
        state = self.state
        try:
            order = self._orders.stopping(self._region)
            if order is None:
                return
            if order.generation > state.applied:
                self._stop(f"told to stop Airflow by the bucket ({order})", drain=order.drain)
            # Or told by the control plane itself, and cut off before Airflow had stopped.
            if not state.stopped and self._view.active:
                return
            if not self._kube.airflow_pods():
                self._orders.answer(self._region, order.generation)
            elif not order.drain:
                self._kube.hurry()
        except (BotoCoreError, ClientError) as error:
            print(f"no orders to be read: {error!r}", flush=True)

    def _there(self) -> dict[Key, dict[str, Any]]:
        """All that is there of any Deployment."""
        return {key: obj for api, kind in KINDS for key, obj in self._kube.list_managed(api, kind).items()}

    def _put_right(self) -> list[str]:
        """Differences between what is wanted and what is there, after having removed them."""
        wanted = self._view.wanted
        there = self._there()
        found = differences(there, wanted)
        if found:
            self._kube.apply_all([d.wanted for d in found])
        unwanted = set(there) - {key_of(manifest) for manifest in wanted}
        # What was not wanted at the last look either: something that is just being made is left alone.
        removed = sorted(unwanted & self.state.unwanted)
        for key in removed:
            self._kube.delete(key, there[key]["apiVersion"])
        self.state.unwanted = unwanted
        drift = [str(d) for d in found] + [f"{' '.join(key)}: not wanted" for key in removed]
        for what in drift:
            print(f"drift put right: {what}", flush=True)
        return drift

    def _stop_if_alone(self) -> None:
        state = self.state
        database = self._view.facts.database
        if state.rpo_bound is None or (database is not None and not database.writer):
            return
        patience = state.rpo_bound * ALONE_SHARE
        now = time.monotonic()
        if now - state.heard > patience and now - self._view.in_contact > patience:
            self._stop(f"alone for {patience:.0f} s: neither the control plane nor the other region's "
                       "database is there; stopping Airflow", drain=False)

    def _stop(self, why: str, *, drain: bool) -> None:
        if not self.state.stopped:
            print(why, flush=True)
            self._kube.stop_airflow(drain=drain)
            self.state.stopped = True
        elif not drain:
            self._kube.hurry()
