"""The DNS server of a run: answers queries from the Route 53 hosted zone.

``python -m harness.environments.embedded.dns CONFIG``. Changing a record is Route 53's control
plane (it lives in us-east-1 and can fail); answering a query is its data plane and goes on with
the last zone it saw. So this is a process of its own that copies the zone again and again.
"""

from __future__ import annotations

import json
import socketserver
import sys
import threading
import time
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from dnslib import CNAME, QTYPE, RCODE, RR, A, DNSRecord
from dnslib.server import BaseResolver, DNSHandler, DNSServer, TCPServer

from loadgen.wire.aws import aws_client
from loadgen.wire.threads import BoundedThreads

REFRESH = 0.25
"""Seconds between two copies of the zone; Route 53 itself takes up to a minute to propagate."""


class ZoneCopy(BaseResolver):
    """Answers A and CNAME queries, following CNAMEs inside the zone."""

    def __init__(self) -> None:
        self._records: dict[str, tuple[str, int, list[str]]] = {}

    def replace(self, record_sets: list[dict[str, Any]]) -> None:
        """Take over a zone's record sets as ``list_resource_record_sets`` returns them."""
        self._records = {
            entry["Name"].lower().rstrip("."): (
                entry["Type"], int(entry.get("TTL", 0)),
                [value["Value"] for value in entry.get("ResourceRecords", [])],
            )
            for entry in record_sets
            if entry["Type"] in ("A", "CNAME")
        }

    def resolve(self, request: DNSRecord, handler: DNSHandler) -> DNSRecord:
        """Answer one query."""
        reply = request.reply()
        name = str(request.q.qname).lower().rstrip(".")
        for _ in range(8):
            found = self._records.get(name)
            if found is None:
                break
            kind, ttl, values = found
            for value in values:
                data = A(value) if kind == "A" else CNAME(value)
                reply.add_answer(RR(name, getattr(QTYPE, kind), rdata=data, ttl=ttl))
            if kind == "A":
                return reply
            name = values[0].lower().rstrip(".")
        if not reply.rr:
            reply.header.rcode = RCODE.NXDOMAIN
        return reply


def _copy_forever(config: dict[str, Any], zone: ZoneCopy) -> None:
    client = aws_client(
        "route53", endpoint=config["route53_endpoint"], region="us-east-1", access_key=config["aws_access_key"],
        secret_key=config["aws_secret_key"], connect=1, read=2)
    zone_id = None
    while True:
        began = time.thread_time()
        try:
            if zone_id is None:
                zones = client.list_hosted_zones()["HostedZones"]
                zone_id = zones[0]["Id"] if zones else None
            if zone_id is not None:
                answer = client.list_resource_record_sets(HostedZoneId=zone_id, MaxItems="1000")
                zone.replace(list(answer["ResourceRecordSets"]))
        except (BotoCoreError, ClientError) as error:
            print(f"zone not refreshed: {error}", flush=True)
        # A large zone takes long to list: to follow it must not cost more than a fortieth of a core, of which about
        # half is the server's. CPU time, because on a busy machine a copy must not be older than it need be.
        time.sleep(max(REFRESH, 80 * (time.thread_time() - began)))


def main() -> None:
    """Serve the zone that the configuration file names."""
    config = json.loads(Path(sys.argv[1]).read_text())
    zone = ZoneCopy()

    def server(*, tcp: bool) -> DNSServer:
        return DNSServer(zone, address=config["host"], port=config["port"], tcp=tcp, logger=_Silent(),
                         server=_Streams if tcp else Datagrams)

    threading.Thread(target=_copy_forever, args=(config, zone), daemon=True).start()
    server(tcp=True).start_thread()
    server(tcp=False).start()


class Datagrams(socketserver.UDPServer):
    """A server of questions over UDP that shares its address with nobody.

    dnslib's own allows that (``SO_REUSEADDR``): then any user of the machine can bind the same address later, is given
    the questions by the kernel, and answers them with addresses of their own.
    """

    def handle_error(self, *_: Any) -> None:
        """What is no question needs no answer."""


class _Streams(BoundedThreads, TCPServer):
    """dnslib's server of questions over TCP, which callers without a question cannot hold up."""

    def handle_error(self, *_: Any) -> None:
        """What is no question needs no answer."""


class _Silent:
    """dnslib logs every query to standard output unless given a logger that does not."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None


if __name__ == "__main__":
    main()
