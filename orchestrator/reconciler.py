"""The manifest reconciler: a pod in each region that pulls its region's variant and applies it.

``python -m orchestrator.reconciler``. The region asks; the control plane answers. So a region
can be told to stop its Airflow although nobody calls into it (XR-10), and one that comes back
after an outage finds out by itself that it is the standby now. It reports which generation it
has applied and how many Airflow pods it still runs: that report is what a planned switchover
waits for before the other region may start (XR-08).

Between changes it looks now and then whether the region still is what it should be, puts right what
is not, removes what is not wanted any more, and reports what it found.

Alone: a region that hears neither the control plane nor, behind its database, the other region is
the one that may have been failed over from. It stops its Airflow before the bound of the database's
guard has passed, so that nothing of it acts on the outside world after a promotion elsewhere (XR-08).
"""

from __future__ import annotations

import base64
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from orchestrator.drift import Key, differences, key_of
from orchestrator.facts import FactFinder, RegionFacts, Sources
from orchestrator.kubernetes_region import KubernetesRegion

POLL_S = 2.0
FACTS_S = 4.0
DRIFT_S = 30.0
KINDS = (("v1", "Namespace"), ("v1", "ServiceAccount"), ("v1", "ConfigMap"), ("v1", "Secret"),
         ("apps/v1", "Deployment"), ("v1", "Service"), ("networking.k8s.io/v1", "Ingress"))
"""What a Deployment is made of; see :mod:`manifests`."""
ALONE_SHARE = 0.3
"""The share of the database's bound after which a region that is alone stops its Airflow."""


@dataclass
class Pass:
    """What the reconciler remembers from one pass to the next."""

    applied: int = 0
    wanted: list[dict[str, Any]] = field(default_factory=list)
    rpo_bound: float | None = None
    heard: float = field(default_factory=time.monotonic)
    in_contact: float = field(default_factory=time.monotonic)
    """When the database last had contact with the other region's."""
    alone: bool = False
    facts: RegionFacts = field(default_factory=RegionFacts)
    facts_at: float = 0.0
    looked: float = 0.0
    drift: list[str] = field(default_factory=list)
    unwanted: set[Key] = field(default_factory=set)


class Reconciler:
    """The agent of one region."""

    def __init__(self, control: httpx.Client, kube: KubernetesRegion, facts: FactFinder, path: str,
                 rpo_bound: float | None = None) -> None:
        """``path``: of the region on the control plane.

        ``rpo_bound``: the database's bound until the control plane says otherwise; an agent that is
        started again while it is cut off would not know it.
        """
        self._control, self._kube, self._finder, self._path = control, kube, facts, path
        self.state = Pass(rpo_bound=rpo_bound)

    def step(self) -> None:
        """One pass: pull, apply, look, report.

        Raises:
            Exception: whatever kept it from finishing; the next pass starts anew.
        """
        state = self.state
        self._look_around()
        try:
            answer = self._control.get(self._path, params={"have": 0 if state.alone else state.applied})
            answer.raise_for_status()
        except httpx.HTTPError:
            self._stop_if_alone()
            raise
        state.heard = time.monotonic()
        wanted: dict[str, Any] = answer.json()
        state.rpo_bound = wanted.get("rpoBound")
        if state.alone or wanted["generation"] != state.applied:
            state.wanted = wanted["manifests"]
            self._kube.apply_all(state.wanted)
            state.applied, state.alone, state.looked = int(wanted["generation"]), False, time.monotonic()
            state.unwanted, state.drift = set(), []
            print(f"applied generation {state.applied}, active: {wanted['active']}", flush=True)
        elif time.monotonic() - state.looked > DRIFT_S:
            fresh = self._control.get(self._path, params={"have": 0}).raise_for_status().json()
            if fresh["generation"] == state.applied:
                state.wanted, state.looked = fresh["manifests"], time.monotonic()
                state.drift = self._put_right()
        self._control.post(self._path, json={
            "generation": state.applied, "running_pods": self._kube.airflow_pods(),
            "drift": state.drift, "facts": state.facts.model_dump(),
        }).raise_for_status()

    def _look_around(self) -> None:
        state = self.state
        if time.monotonic() - state.facts_at < FACTS_S:
            return
        state.facts_at = time.monotonic()
        state.facts = self._finder.look()
        if state.facts.database is not None and state.facts.database.connected:
            state.in_contact = time.monotonic()

    def _put_right(self) -> list[str]:
        """Differences between what is wanted and what is there, after having removed them."""
        wanted = self.state.wanted
        there = {key: obj for api, kind in KINDS
                 for key, obj in self._kube.list_managed(api, kind).items()}
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
        database = state.facts.database
        if state.rpo_bound is None or state.alone or database is None or not database.writer:
            return
        patience = state.rpo_bound * ALONE_SHARE
        now = time.monotonic()
        if now - state.heard > patience and now - state.in_contact > patience:
            print(f"alone for {patience:.0f} s: neither the control plane nor the other region's "
                  "database is there; stopping Airflow", flush=True)
            self._kube.stop_airflow()
            state.alone = True


def main() -> None:
    """Reconcile for ever."""
    ca = Path("ca.crt")
    ca.write_bytes(base64.b64decode(os.environ["KUBE_CA"]))
    kube = KubernetesRegion.at(os.environ["KUBE_SERVER"], os.environ["KUBE_TOKEN"], str(ca))
    region = os.environ["RECONCILER_REGION"]
    control = httpx.Client(
        base_url=os.environ["RECONCILER_URL"], timeout=5,
        headers={"authorization": f"Bearer {os.environ['RECONCILER_TOKEN']}"})
    facts = FactFinder(Sources(
        region, os.environ["AWS_ENDPOINT"], os.environ["AWS_ACCESS_KEY_ID"],
        os.environ["AWS_SECRET_ACCESS_KEY"], os.environ["GLOBAL_CLUSTER"], os.environ["DB_CLUSTER"]))
    reconciler = Reconciler(
        control, kube, facts, f"/agent/clusters/{os.environ['RECONCILER_CLUSTER']}/regions/{region}",
        float(os.environ.get("RECONCILER_RPO_BOUND") or "0") or None)
    while True:
        try:
            reconciler.step()
        except Exception as error:
            print(f"reconcile failed, trying again: {error!r}", flush=True)
        time.sleep(POLL_S)


if __name__ == "__main__":
    main()
