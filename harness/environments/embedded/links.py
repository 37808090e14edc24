"""The network between the sites: user-space TCP proxies that can be cut, delayed and throttled.

``python -m harness.environments.embedded.links CONFIG``. Every connection that crosses a site's
border passes here, and its address says who called whom (see ``addresses``). Each *direction*
between two ends has a quality of its own, so a link can fail one way:

* ``cut``: bytes stop arriving and connections stop opening, silently, as with a real
  partition; nothing is reset, and what was in flight arrives if the link is mended in time;
* ``delay``: seconds that each byte takes longer;
* ``rate``: bytes a second, shared by all connections of the direction.

Connections, refusals and the orchestrator's requests (each time it speaks after having listened) are written
to ``links.jsonl``: that file, not the orchestrator's word, is what the dependency audit reads.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
from collections import Counter, defaultdict
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import uvloop

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
from harness.environments.embedded.connection import Connection, Quality
from loadgen.wire.jsonlines import serve_lines

BUFFER = 128 * 1024
"""Socket buffers are kept small: what sits in them is neither here nor there when a link fails."""

CONNECTIONS_MOST = 512
"""Of one link; one more is closed at once. A fleet at full size has some 200 on the users' links."""

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


class Network:
    """All links of a run and their qualities, by direction name (``primary->secondary``)."""

    def __init__(self, block: Block, log: TextIO) -> None:
        self._block, self._log = block, log
        self._qualities: dict[str, Quality] = defaultdict(Quality)
        self._open: dict[Connection, tuple[Caller, Site]] = {}
        self._counts: Counter[str] = Counter()
        """Open connections of each link, by its front's address."""

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
                await asyncio.get_running_loop().create_server(
                    partial(self._accepted, caller, site, service, front), sock=listener)

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

    def _happened(self, who: dict[str, str], event: str, **fields: Any) -> None:
        # A stream of write-ahead log is thousands of requests that nobody asks about.
        if event != "request" or who["caller"] == Caller.ORCHESTRATOR.name.lower():
            self.record(event, **who, **fields)

    def _reset(self, site: Site) -> None:
        """Drop every connection of a site that lost its power, with all bytes in flight."""
        for connection, (caller, target) in list(self._open.items()):
            if target is site or caller.site is site:
                connection.drop()

    def _accepted(self, caller: Caller, site: Site, service: Service, front: str) -> asyncio.Protocol:
        if self._counts[front] >= CONNECTIONS_MOST:
            return _Refused()
        self._counts[front] += 1
        names = sorted({caller.name.lower(), caller.site.name.lower()})
        there = site.name.lower()
        who = {"caller": caller.name.lower(), "site": there, "service": service.name}
        connection = Connection(
            [self._qualities[f"{name}->{there}"] for name in names],
            [self._qualities[f"{there}->{name}"] for name in names],
            # The source address tells the server which link a call came by.
            target=(self._block.service(site, service), service.port), source=(front, 0),
            record=partial(self._happened, who),
            ended=partial(self._closed, front), gathers=service is POSTGRES)
        self._open[connection] = (caller, site)
        return connection.caller


    def _closed(self, front: str, connection: Connection) -> None:
        if self._open.pop(connection, None) is not None:
            self._counts[front] -= 1


class _Refused(asyncio.Protocol):
    """A connection too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Close it."""
        transport.close()


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
    uvloop.run(serve(json.loads(Path(sys.argv[1]).read_text())))


if __name__ == "__main__":
    main()
