"""The network between the sites: user-space TCP proxies that can be cut, delayed and throttled.

``python -m harness.environments.embedded.links CONFIG``. Every connection that crosses a site's
border passes here, and its address says who called whom (see ``addresses``). Each *direction*
between two ends has a quality of its own, so a link can fail one way:

* ``cut``: bytes stop arriving and connections stop opening, silently, as with a real
  partition; nothing is reset, and what was in flight arrives if the link is mended in time;
* ``delay``: seconds that each byte takes longer;
* ``rate``: bytes a second, shared by all connections of the direction.

Connections, refusals and requests (each time a caller speaks after having listened) are written
to ``links.jsonl``: that file, not the orchestrator's word, is what the dependency audit reads.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from harness.environments.embedded.addresses import (
    AWS,
    GLOBAL_AWS,
    INGRESS,
    KUBERNETES,
    LINKS,
    ORCHESTRATOR,
    POSTGRES,
    WITNESS,
    Block,
    Caller,
    Service,
    Site,
)
from harness.lines import serve_lines

CHUNK = 32 * 1024
BUFFER = 128 * 1024
"""Socket buffers are kept small: what sits in them is neither here nor there when a link fails."""

ROUTES: tuple[tuple[Caller, Site, tuple[Service, ...]], ...] = (
    (Caller.PRIMARY, Site.SECONDARY, (POSTGRES, AWS)),
    (Caller.SECONDARY, Site.PRIMARY, (POSTGRES, AWS)),
    (Caller.PRIMARY, Site.OUTSIDE, (WITNESS, ORCHESTRATOR, GLOBAL_AWS)),
    (Caller.SECONDARY, Site.OUTSIDE, (WITNESS, ORCHESTRATOR, GLOBAL_AWS)),
    (Caller.ORCHESTRATOR, Site.PRIMARY, (AWS, KUBERNETES)),
    (Caller.ORCHESTRATOR, Site.SECONDARY, (AWS, KUBERNETES)),
    (Caller.ORCHESTRATOR, Site.OUTSIDE, (GLOBAL_AWS,)),
    (Caller.USERS, Site.PRIMARY, (INGRESS,)),
    (Caller.USERS, Site.SECONDARY, (INGRESS,)),
)
"""Who may reach what across a border. DNS answers over UDP and is reached directly."""


@dataclass
class Quality:
    """How one direction behaves. The gate is open unless the direction is cut."""

    cut: bool = False
    delay: float = 0.0
    rate: float | None = None
    free_at: float = 0.0
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.set(cut=self.cut, delay=self.delay, rate=self.rate)

    def set(self, *, cut: bool = False, delay: float = 0.0, rate: float | None = None) -> None:
        """Change the quality; connections that exist feel it at once."""
        self.cut, self.delay, self.rate = cut, delay, rate
        if cut:
            self.gate.clear()
        else:
            self.gate.set()


class Network:
    """All links of a run and their qualities, by direction name (``primary->secondary``)."""

    def __init__(self, block: Block, log: TextIO) -> None:
        self._block, self._log = block, log
        self._qualities: dict[str, Quality] = defaultdict(Quality)
        self._open: dict[asyncio.Task[None], tuple[Caller, Site]] = {}

    async def open(self) -> None:
        """Listen on the front of every link.

        Raises:
            OSError: when an address is taken.
        """
        for caller, site, services in ROUTES:
            for service in services:
                front = self._block.link(caller, site, service)
                listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
                listener.bind((front, service.port))
                await asyncio.start_server(
                    self._handler(caller, site, service, front), sock=listener, limit=CHUNK
                )

    async def command(self, message: dict[str, Any]) -> dict[str, Any]:
        """``{"set": direction, "cut": .., "delay": .., "rate": ..}``, ``{"reset": site}``."""
        if "set" in message:
            quality = {k: message[k] for k in ("cut", "delay", "rate") if message.get(k) is not None}
            self._qualities[message["set"]].set(**quality)
            self.record("quality", direction=message["set"], **quality)
        if "reset" in message:
            site = Site[message["reset"].upper()]
            self._reset(site)
        return {
            "links": {
                name: {"cut": q.cut, "delay": q.delay, "rate": q.rate}
                for name, q in self._qualities.items()
                if q.cut or q.delay or q.rate
            }
        }

    def record(self, event: str, **fields: Any) -> None:
        """Append one line to the log."""
        line = {"t": time.time(), "m": time.monotonic(), "event": event, **fields}
        self._log.write(json.dumps(line, separators=(",", ":")) + "\n")
        self._log.flush()

    # -- inner works --------------------------------------------------------------------

    def _reset(self, site: Site) -> None:
        """Drop every connection of a site that lost its power, with all bytes in flight."""
        for task, (caller, target) in list(self._open.items()):
            if target is site or caller.site is site:
                task.cancel()

    def _handler(self, caller: Caller, site: Site, service: Service, front: str) -> Any:
        names = {caller.name.lower(), caller.site.name.lower()}
        there = site.name.lower()
        forward = [self._qualities[f"{name}->{there}"] for name in sorted(names)]
        backward = [self._qualities[f"{there}->{name}"] for name in sorted(names)]
        target = (self._block.service(site, service), service.port)
        who = {"caller": caller.name.lower(), "site": there, "service": service.name}

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._open[task] = (caller, site)
            far: asyncio.StreamWriter | None = None
            self.record("connect", **who)
            try:
                for quality in [*forward, *backward]:
                    await quality.gate.wait()
                try:
                    # The source address tells the server which link a call came by.
                    back, far = await asyncio.open_connection(
                        *target, limit=CHUNK, local_addr=(front, 0)
                    )
                except OSError as error:
                    self.record("refused", **who, error=str(error))
                    return
                last_spoke: dict[str, str] = {"side": "server"}

                def said(side: str) -> None:
                    if side == "caller" and last_spoke["side"] == "server":
                        self.record("request", **who)
                    last_spoke["side"] = side

                async with asyncio.TaskGroup() as group:
                    up = group.create_task(_pump(reader, far, forward, lambda: said("caller")))
                    down = group.create_task(_pump(back, writer, backward, lambda: said("server")))
                    await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
                    if not down.done():
                        # The caller is done speaking; let the answer through, but not forever.
                        await asyncio.wait({down}, timeout=5)
                    up.cancel()
                    down.cancel()
            except* (OSError, asyncio.IncompleteReadError):
                pass
            except* asyncio.CancelledError:
                pass
            finally:
                self._open.pop(task, None)
                for end in (writer, far):
                    if end is not None:
                        with contextlib.suppress(Exception):
                            end.transport.abort()

        return handle


async def _pump(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    qualities: list[Quality],
    said: Any,
) -> None:
    """Carry bytes one way, at the pace and with the delay of the direction."""
    loop = asyncio.get_running_loop()
    arriving: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(maxsize=256)

    async def deliver() -> None:
        while True:
            due, data = await arriving.get()
            if (wait := due - loop.time()) > 0:
                await asyncio.sleep(wait)
            for quality in qualities:
                await quality.gate.wait()
            if not data:
                if writer.can_write_eof():
                    with contextlib.suppress(OSError):
                        writer.write_eof()
                return
            writer.write(data)
            await writer.drain()

    delivery = asyncio.ensure_future(deliver())
    try:
        while True:
            data = await reader.read(CHUNK)
            if data:
                said()
            due = loop.time()
            for quality in qualities:
                await quality.gate.wait()
                if quality.rate:
                    quality.free_at = max(loop.time(), quality.free_at) + len(data) / quality.rate
                    await asyncio.sleep(max(0.0, quality.free_at - loop.time()))
                due = max(due, loop.time() + quality.delay)
            await arriving.put((due, data))
            if not data:
                await delivery
                return
            if delivery.done():
                await delivery
    finally:
        delivery.cancel()


async def serve(config: dict[str, Any]) -> None:
    """Open all links and the control port; never returns."""
    block = Block(config["block"])
    with Path(config["log"]).open("a") as log:
        network = Network(block, log)
        await network.open()
        await serve_lines(
            block.service(Site.OUTSIDE, LINKS), LINKS.port, config["control_token"], network.command
        )


def main() -> None:
    """Run the links of the configuration file given as the only argument."""
    asyncio.run(serve(json.loads(Path(sys.argv[1]).read_text())))


if __name__ == "__main__":
    main()
