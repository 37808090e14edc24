"""A small asyncio client of the Kubernetes API for the region's own components.

The official client is what the orchestrator and the harness use. The node agent and the ingress
need only list, watch and a handful of writes, and must start in a fraction of a second.

aiohttp, because a pod's keeper is cancelled at any moment: a request that is cancelled must give its
connection back. (httpx's pool loses some; after a hundred of them a node had no connection left.)
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from typing import Any

import aiohttp

from harness.environments.embedded.addresses import KUBERNETES
from harness.environments.embedded.site import SiteConfig

Object = dict[str, Any]
RETRY = 0.2
REQUEST = aiohttp.ClientTimeout(total=10)
WATCH = aiohttp.ClientTimeout(total=None, sock_read=250)
LINE_MOST = 4 * 1024 * 1024
"""Bytes of one watch event: an object is one line."""


class KubeError(Exception):
    """No usable answer; ``status``: HTTP's, None when nobody answered."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class KubeClient:
    """Requests to one region's API server, with its token."""

    def __init__(self, site: SiteConfig) -> None:
        self._base = f"https://{site.own(KUBERNETES)}:{KUBERNETES.port}"
        self._context = ssl.create_default_context(cafile=str(site.path / "ca.crt"))
        self._headers = {"authorization": f"Bearer {site.kube_token}"}
        self._session: aiohttp.ClientSession | None = None

    async def request(self, method: str, path: str, body: Any = None, kind: str = "") -> Object:
        """One request; the object in the answer.

        Raises:
            KubeError: on a refusal, or when there is no answer.
        """
        headers = {"content-type": kind or "application/json"}
        content = json.dumps(body).encode() if body is not None else None
        try:
            async with self._http().request(
                    method, self._base + path, data=content, headers=headers) as answer:
                text = await answer.read()
        except (aiohttp.ClientError, OSError) as error:
            raise KubeError(f"{method} {path}: {error!r}") from error
        if answer.status >= 400:
            raise KubeError(f"{method} {path}: {answer.status} {text[:200]!r}", answer.status)
        found: Object = json.loads(text)
        return found

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

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
            except (KubeError, aiohttp.ClientError, OSError, ValueError):
                await asyncio.sleep(RETRY)

    async def _watch(self, path: str, version: str) -> AsyncIterator[tuple[str, Object]]:
        parameters = {"watch": "1", "resourceVersion": version, "timeoutSeconds": "240"}
        async with self._http().get(self._base + path, params=parameters, timeout=WATCH) as answer:
            answer.raise_for_status()
            async for line in answer.content:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    return
                yield event["type"], event["object"]

    def _http(self) -> aiohttp.ClientSession:
        """The session; it belongs to the event loop of its first request."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                headers=self._headers, timeout=REQUEST, read_bufsize=LINE_MOST,
                connector=aiohttp.TCPConnector(ssl=self._context, limit=0))
        return self._session
