"""Names are remembered for as long as their own records say, and no longer."""

import threading
from collections.abc import Iterator
from pathlib import Path

import dns.resolver
import pytest
from dnslib.server import DNSServer

from harness.environments.embedded.addresses import DNS, BlockLease, Site
from harness.environments.embedded.dns import ZoneCopy, _Silent
from loadgen.wire import dns_cache as names
from loadgen.wire.dns_cache import NameCache


class Clock:
    """Time that passes when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(names, "time", made)
    return made


@pytest.fixture
def zone(tmp_path: Path) -> Iterator[tuple[ZoneCopy, dns.resolver.Resolver]]:
    """The run's own DNS server, over UDP and TCP, with two hostnames of one ingress.

    It has leased addresses of its own: of two protocols that want the same port, neither lets
    the system choose one, and a fixed port of 127.0.0.1 may be anybody's.
    """
    copy = ZoneCopy()
    point(copy, "127.1.1.1")
    lease = BlockLease()
    address = lease.acquire().service(Site.OUTSIDE, DNS)
    servers = [DNSServer(copy, address=address, port=DNS.port, tcp=tcp, logger=_Silent()) for tcp in (False, True)]
    for server in servers:
        threading.Thread(target=server.server.serve_forever, daemon=True).start()
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers, resolver.port, resolver.lifetime = [address], DNS.port, 2.0
    yield copy, resolver
    for server in servers:
        server.server.shutdown()
        server.server.server_close()
    lease.release()


def point(zone: ZoneCopy, address: str) -> None:
    aliases = [{"Name": f"{name}.x.test.", "Type": "CNAME", "TTL": 300,
                "ResourceRecords": [{"Value": "ingress.x.test"}]} for name in ("a", "b")]
    zone.replace([*aliases, {"Name": "ingress.x.test.", "Type": "A", "TTL": 5,
                             "ResourceRecords": [{"Value": address}]}])


def asked(cache: NameCache, resolver: dns.resolver.Resolver, hostname: str, *, tcp: bool = False) -> str:
    return cache.learn(hostname, resolver.resolve(cache.to_ask(hostname), "A", tcp=tcp))


def test_an_address_is_kept_for_its_own_ttl_and_an_alias_for_its(
    clock: Clock, zone: tuple[ZoneCopy, dns.resolver.Resolver]
) -> None:
    cache, (copy, resolver) = NameCache(), zone
    assert cache.address("a.x.test") is None
    assert asked(cache, resolver, "a.x.test") == "127.1.1.1"
    point(copy, "127.1.2.1")  # a failover
    clock.now += 4.9
    assert cache.address("a.x.test") == "127.1.1.1"
    clock.now += 0.2
    assert cache.address("a.x.test") is None
    assert cache.to_ask("a.x.test") == "ingress.x.test"
    assert asked(cache, resolver, "a.x.test") == "127.1.2.1"
    clock.now += 300
    assert cache.to_ask("a.x.test") == "a.x.test"


def test_names_of_one_ingress_share_what_is_known_of_it(
    clock: Clock, zone: tuple[ZoneCopy, dns.resolver.Resolver]
) -> None:
    cache, (copy, resolver) = NameCache(), zone
    for hostname in ("a.x.test", "b.x.test"):
        asked(cache, resolver, hostname)
    clock.now += 6
    point(copy, "127.1.2.1")
    asked(cache, resolver, "a.x.test")
    assert cache.address("b.x.test") == "127.1.2.1"


def test_a_client_that_is_reached_through_ssh_asks_over_tcp(
    clock: Clock, zone: tuple[ZoneCopy, dns.resolver.Resolver]
) -> None:
    assert asked(NameCache(), zone[1], "a.x.test", tcp=True) == "127.1.1.1"
