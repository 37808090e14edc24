"""A small asyncio client of the Kubernetes API for the region's own components.

The official client is what the orchestrator and the harness use. The node agent and the ingress
need only list, watch and a handful of writes, and must start in a fraction of a second.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from typing import Any

import httpx

from harness.environments.embedded.addresses import KUBERNETES
from harness.environments.embedded.site import SiteConfig

Object = dict[str, Any]
RETRY = 0.2


class KubeClient:
    """Requests to one region's API server, with its token."""

    def __init__(self, site: SiteConfig) -> None:
        context = ssl.create_default_context(cafile=str(site.path / "ca.crt"))
        self._http = httpx.AsyncClient(
            base_url=f"https://{site.own(KUBERNETES)}:{KUBERNETES.port}", verify=context,
            headers={"authorization": f"Bearer {site.kube_token}"}, timeout=10,
        )

    async def request(self, method: str, path: str, body: Any = None, kind: str = "") -> Object:
        """One request; the object in the answer.

        Raises:
            httpx.HTTPStatusError: on a refusal; httpx.HTTPError when there is no answer.
        """
        headers = {"content-type": kind or "application/json"}
        content = json.dumps(body).encode() if body is not None else None
        answer = await self._http.request(method, path, content=content, headers=headers)
        answer.raise_for_status()
        found: Object = answer.json()
        return found

    async def follow(self, path: str) -> AsyncIterator[tuple[str, Object]]:
        """Every object of a collection and every later change, for ever.

        Whenever the stream breaks the collection is listed again: ``("SYNC", {"items": [..]})``
        tells what exists now, so that the follower can drop what vanished in between.
        """
        while True:
            try:
                listed = await self.request("GET", path)
                yield "SYNC", listed
                version = listed["metadata"]["resourceVersion"]
                async for kind, obj in self._watch(path, version):
                    yield kind, obj
            except (httpx.HTTPError, ValueError):
                await asyncio.sleep(RETRY)

    async def _watch(self, path: str, version: str) -> AsyncIterator[tuple[str, Object]]:
        parameters = {"watch": "1", "resourceVersion": version, "timeoutSeconds": "240"}
        async with self._http.stream("GET", path, params=parameters, timeout=250) as answer:
            answer.raise_for_status()
            async for line in answer.aiter_lines():
                event = json.loads(line)
                if event["type"] == "ERROR":
                    return
                yield event["type"], event["object"]
