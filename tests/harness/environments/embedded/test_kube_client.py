"""The small client of the region's own components, against a real API server."""

import asyncio
import os
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from harness.environments.embedded.kube.client import KubeClient, KubeError
from tests.harness.environments.embedded.conftest import Sites

pytestmark = pytest.mark.real
CANCELLED = 300
"""Three times what httpx's pool, which lost some of them, holds."""


def with_client(sites: Sites, work: Callable[[KubeClient], Awaitable[None]]) -> None:
    site = sites.config("primary")
    (site.path / "ca.crt").write_bytes((sites.root / "ca.crt").read_bytes())

    async def run() -> None:
        kube = KubeClient(site)
        try:
            await work(kube)
        finally:
            await kube.close()

    asyncio.run(run())


def test_requests_that_are_cancelled_give_their_connections_back(sites: Sites, kubeconfig: Path) -> None:
    chance = random.Random(1)

    async def work(kube: KubeClient) -> None:
        await kube.request("GET", "/api/v1/pods")
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(CANCELLED):
            request = asyncio.create_task(kube.request("GET", "/api/v1/pods"))
            await asyncio.sleep(chance.uniform(0, 0.006))
            request.cancel()
            await asyncio.wait({request})
        found = await asyncio.wait_for(kube.request("GET", "/api/v1/pods"), 20)
        assert found["items"] == []
        assert len(os.listdir("/proc/self/fd")) < before + 10

    with_client(sites, work)


def test_a_refusal_carries_its_status_and_silence_none(sites: Sites, kubeconfig: Path) -> None:
    async def work(kube: KubeClient) -> None:
        with pytest.raises(KubeError) as refused:
            await kube.request("GET", "/api/v1/namespaces/none")
        assert refused.value.status == 404
        sites.kill("primary")
        with pytest.raises(KubeError) as silent:
            await kube.request("GET", "/api/v1/pods")
        assert silent.value.status is None

    with_client(sites, work)


def test_a_follower_hears_of_changes_and_lists_again_when_the_stream_breaks(
    sites: Sites, kubeconfig: Path
) -> None:
    async def work(kube: KubeClient) -> None:
        follow = kube.follow("/api/v1/namespaces")
        kind, listed = await anext(follow)
        assert kind == "SYNC"
        space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}
        await kube.request("POST", "/api/v1/namespaces", space)
        kind, seen = await asyncio.wait_for(anext(follow), 10)
        assert (kind, seen["metadata"]["name"]) == ("ADDED", "shop")
        sites.kill("primary")
        sites.start("kubernetes", "kube.server", "primary")
        kind, listed = await asyncio.wait_for(anext(follow), 30)
        assert kind == "SYNC"
        assert "shop" in [item["metadata"]["name"] for item in listed["items"]]

    with_client(sites, work)
