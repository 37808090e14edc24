"""DNS answers from a zone, and nobody else does."""

import json
import socket
from pathlib import Path

from dnslib import DNSRecord

from harness.environments.embedded.addresses import DNS, Block, Site
from harness.environments.embedded.dns import ZoneCopy
from harness.environments.embedded.ownership import Ownership
from harness.environments.embedded.processes import spawn
from tests.harness.environments.embedded.conftest import STRANGER, as_user, until

ZONE = [
    {"Name": "ingress.x.test.", "Type": "A", "TTL": 5, "ResourceRecords": [{"Value": "127.9.141.9"}]},
    {"Name": "a.x.test.", "Type": "CNAME", "TTL": 60, "ResourceRecords": [{"Value": "ingress.x.test"}]},
    {"Name": "x.test.", "Type": "NS", "TTL": 60, "ResourceRecords": [{"Value": "ns"}]},
]


def ask(zone: ZoneCopy, name: str) -> DNSRecord:
    return zone.resolve(DNSRecord.question(name), None)


def test_a_hostname_is_followed_to_the_one_ingress_record_with_ttls() -> None:
    zone = ZoneCopy()
    zone.replace(ZONE)
    answer = ask(zone, "A.x.test")
    assert [(str(r.rdata), r.ttl) for r in answer.rr] == [("ingress.x.test.", 60), ("127.9.141.9", 5)]


def test_moving_the_one_record_moves_every_name() -> None:
    zone = ZoneCopy()
    zone.replace(ZONE)
    moved = [{**ZONE[0], "ResourceRecords": [{"Value": "127.9.142.9"}]}, *ZONE[1:]]
    zone.replace(moved)
    assert str(ask(zone, "a.x.test").rr[-1].rdata) == "127.9.142.9"


def test_an_unknown_name_does_not_exist() -> None:
    zone = ZoneCopy()
    zone.replace(ZONE)
    assert ask(zone, "b.x.test").header.rcode == 3


def asked_over_udp(address: tuple[str, int]) -> int:
    """The return code of an answer to a question over UDP."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(1)
        client.sendto(DNSRecord.question("a.x.test").pack(), address)
        return int(DNSRecord.parse(client.recv(4096)).header.rcode)


def test_another_user_cannot_answer_in_its_place(tmp_path: Path, block: Block) -> None:
    host = block.service(Site.OUTSIDE, DNS)
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"host": host, "port": DNS.port, "route53_endpoint": "http://127.0.0.1:9",
                                  "aws_access_key": "a", "aws_secret_key": "b"}))
    ownership = Ownership.new(tmp_path)
    spawn("dns", "harness.environments.embedded.dns", ownership=ownership, directory=tmp_path,
          log=tmp_path / "dns.log", arguments=[str(config)])

    def share() -> str:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.bind((host, DNS.port))
            return "bound"

    try:
        assert until(lambda: asked_over_udp((host, DNS.port))) == 3
        assert as_user(STRANGER, share) == "OSError"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            for nonsense in (b"", b"\0", b"\xc0\x0c" * 400, bytes(range(256)) * 20):
                client.sendto(nonsense, (host, DNS.port))
        assert asked_over_udp((host, DNS.port)) == 3
        assert "Traceback" not in (tmp_path / "dns.log").read_text()
    finally:
        ownership.kill()
