"""The ingress of a region: from a Deployment's hostname to a ready pod.

``python -m harness.environments.embedded.ingress SITE``. It follows Ingresses, Services and Pods,
reads the Host of a request and joins its connection to a ready pod's. The connection is that host's from then
on: a client that pools its connections by address and sends a request for another hostname down this one is told
so (421, Misdirected Request).
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import sys
from collections.abc import Callable
from typing import Any

from harness.environments.embedded.addresses import INGRESS
from harness.environments.embedded.kube.client import KubeClient
from harness.environments.embedded.kube.selectors import selects
from harness.environments.embedded.site import SiteConfig
from loadgen.wire.listening import listen
from loadgen.wire.streams import Doorstep

Object = dict[str, Any]
HEAD_MOST = 64 * 1024
SLOW_S = 60.0
"""How long either end may take to take what is sent to it."""
METHODS = (b"GET ", b"POST ", b"PUT ", b"PATCH ", b"DELETE ", b"HEAD ", b"OPTIONS ")


class Ingress:
    """Routes, kept up to date from the API, and the proxy that follows them."""

    def __init__(self, site: SiteConfig) -> None:
        self._site = site
        self._kube = KubeClient(site)
        self._objects: dict[str, dict[str, Object]] = {"ingresses": {}, "services": {}, "pods": {}}
        self._routes: dict[str, list[tuple[str, int]]] = {}
        self._proxy = Proxy(lambda host: self._routes.get(host))

    async def run(self) -> None:
        """Serve until killed."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow("ingresses", "/apis/networking.k8s.io/v1/ingresses"))
            group.create_task(self._follow("services", "/api/v1/services"))
            group.create_task(self._follow("pods", "/api/v1/pods"))
            server = await asyncio.start_server(
                self._proxy.connected, sock=listen(self._site.own(INGRESS), INGRESS.port), limit=HEAD_MOST)
            group.create_task(server.serve_forever())

    async def _follow(self, kind: str, path: str) -> None:
        async for event, obj in self._kube.follow(path):
            held = self._objects[kind]
            if event == "SYNC":
                held.clear()
                held.update({item["metadata"]["uid"]: item for item in obj["items"]})
            elif event == "DELETED":
                held.pop(obj["metadata"]["uid"], None)
            else:
                held[obj["metadata"]["uid"]] = obj
            self._routes = self._computed()

    def _computed(self) -> dict[str, list[tuple[str, int]]]:
        services = {
            (s["metadata"]["namespace"], s["metadata"]["name"]): s
            for s in self._objects["services"].values()
        }
        ready: dict[str, list[Object]] = {}
        for pod in self._objects["pods"].values():
            conditions = (pod.get("status") or {}).get("conditions", [])
            if any(c["type"] == "Ready" and c["status"] == "True" for c in conditions):
                ready.setdefault(pod["metadata"]["namespace"], []).append(pod)
        routes: dict[str, list[tuple[str, int]]] = {}
        for ingress in self._objects["ingresses"].values():
            space = ingress["metadata"]["namespace"]
            for rule in (ingress.get("spec") or {}).get("rules", []):
                for path in (rule.get("http") or {}).get("paths", []):
                    backend = path["backend"]["service"]
                    service = services.get((space, backend["name"]))
                    if service is None:
                        continue
                    port = service["spec"]["ports"][0]
                    target = int(port.get("targetPort", port["port"]))
                    selector = {"matchLabels": service["spec"].get("selector") or {}}
                    routes[rule.get("host", "")] = [
                        (pod["status"]["podIP"], target)
                        for pod in ready.get(space, [])
                        if selects(selector, pod["metadata"].get("labels") or {})
                    ]
        return routes


class Proxy:
    """Joins connections by the host that they ask for."""

    def __init__(self, backends: Callable[[str], list[tuple[str, int]] | None]) -> None:
        """``backends``: a host's ready pods; None where nobody has that name."""
        self._backends = backends
        self._turn = itertools.count()
        self._doorstep = Doorstep()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client."""
        far: asyncio.StreamWriter | None = None
        try:
            async with self._doorstep.wait(writer):
                head = await reader.readuntil(b"\r\n\r\n")
            host = _host(head)
            backends = self._backends(host)
            if backends is None:
                await _refuse(writer, 404, f"no Deployment has the hostname {host}")
                return
            if not backends:
                await _refuse(writer, 503, f"{host} has no ready pod")
                return
            target = backends[next(self._turn) % len(backends)]
            try:
                back, far = await asyncio.open_connection(*target)
            except OSError:
                await _refuse(writer, 502, f"{host}: its pod does not answer")
                return
            far.write(head)
            up = asyncio.create_task(_pump_requests(reader, far, host))
            down = asyncio.create_task(_pump(back, writer))
            done, _ = await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
            if up in done and not up.result():
                await _refuse(writer, 421, f"this connection is for {host}; open another one")
            up.cancel()
            down.cancel()
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError):
            pass
        finally:
            for end in (writer, far):
                if end is not None:
                    with contextlib.suppress(OSError):
                        end.close()


async def _pump_requests(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str
) -> bool:
    """Carry requests for one host until the client is done; False when one is for another host."""
    with contextlib.suppress(OSError):
        while data := await reader.read(HEAD_MOST):
            # A client waits for its answer, so what begins like a request is one.
            while data.startswith(METHODS) and b"\r\n\r\n" not in data and len(data) < HEAD_MOST:
                if not (more := await reader.read(HEAD_MOST)):
                    break
                data += more
            if data.startswith(METHODS) and _host(data.partition(b"\r\n\r\n")[0]) != host:
                return False
            await _send(writer, data)
    return True


def _host(head: bytes) -> str:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"host":
            return value.strip().decode(errors="replace").rsplit(":", 1)[0].lower()
    return ""


async def _refuse(writer: asyncio.StreamWriter, code: int, why: str) -> None:
    body = why.encode() + b"\n"
    writer.write(b"HTTP/1.1 %d X\r\ncontent-type: text/plain\r\nconnection: close\r\n"
                 b"content-length: %d\r\n\r\n%s" % (code, len(body), body))
    with contextlib.suppress(OSError):
        await _send(writer, b"")


async def _send(writer: asyncio.StreamWriter, data: bytes) -> None:
    """Send to somebody who takes it in time.

    Raises:
        OSError: who does not (a time-out is one).
    """
    writer.write(data)
    async with asyncio.timeout(SLOW_S):
        await writer.drain()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(64 * 1024):
            await _send(writer, data)


def main() -> None:
    """Run the ingress of the site whose configuration file is the only argument."""
    asyncio.run(Ingress(SiteConfig.load(sys.argv[1])).run())


if __name__ == "__main__":
    main()
