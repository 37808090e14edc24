"""The manifest reconciler: a pod in each region that pulls its region's variant and applies it.

``python -m orchestrator.reconciler``. The region asks; the control plane answers. So a region
can be told to stop its Airflow although nobody calls into it (XR-10), and one that comes back
after an outage finds out by itself that it is the standby now. It reports which generation it
has applied and how many Airflow pods it still runs: that report is what a planned switchover
waits for before the other region may start (XR-08).
"""

from __future__ import annotations

import base64
import os
import time
from pathlib import Path
from typing import Any

import httpx

from orchestrator.kubernetes_region import KubernetesRegion

POLL = 2.0


def main() -> None:
    """Pull, apply, report; for ever."""
    ca = Path("ca.crt")
    ca.write_bytes(base64.b64decode(os.environ["KUBE_CA"]))
    kube = KubernetesRegion.at(os.environ["KUBE_SERVER"], os.environ["KUBE_TOKEN"], str(ca))
    control = httpx.Client(
        base_url=os.environ["RECONCILER_URL"], timeout=5,
        headers={"authorization": f"Bearer {os.environ['RECONCILER_TOKEN']}"},
    )
    cluster, region = os.environ["RECONCILER_CLUSTER"], os.environ["RECONCILER_REGION"]
    path = f"/agent/clusters/{cluster}/regions/{region}"
    applied = 0
    while True:
        try:
            applied = reconcile(control, kube, path, applied)
        except Exception as error:
            print(f"reconcile failed, trying again: {error!r}", flush=True)
        time.sleep(POLL)


def reconcile(control: httpx.Client, kube: KubernetesRegion, path: str, applied: int) -> int:
    """One pass; the generation that is applied now."""
    answer = control.get(path, params={"have": applied})
    answer.raise_for_status()
    wanted: dict[str, Any] = answer.json()
    if wanted["generation"] != applied:
        kube.apply_all(wanted["manifests"])
        applied = int(wanted["generation"])
        print(f"applied generation {applied}, active: {wanted['active']}", flush=True)
    control.post(path, json={
        "generation": applied, "running_pods": kube.airflow_pods(),
    }).raise_for_status()
    return applied


if __name__ == "__main__":
    main()
