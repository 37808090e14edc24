"""Who listens where: one block of loopback addresses a run, one address a service.

A real pair of regions has the same ports on different addresses. So has this one: every run
leases a block ``127.<block>.0.0/16`` of the loopback network, every service has its usual port,
and two runs on one machine cannot collide. The third octet says who is reached, and by whom:

    127.B.<site>.<service>                  the service itself, in its own site
    127.B.<100 + 10*caller + site>.<service>  the front of the link by which a caller reaches it
    127.B.<200 + site>.<n>                  pod number n of that site

A connection's address therefore names caller, site and service, which is what lets the
dependency audit read who called whom from the network instead of from anybody's word.
"""

from __future__ import annotations

import random
import socket
from dataclasses import dataclass
from enum import IntEnum


class Site(IntEnum):
    """A failure domain. ``OUTSIDE`` is everything that is in neither region."""

    OUTSIDE = 0
    PRIMARY = 1
    SECONDARY = 2


class Caller(IntEnum):
    """Who opens a connection through a link."""

    PRIMARY = 1
    SECONDARY = 2
    ORCHESTRATOR = 3
    USERS = 4

    @property
    def site(self) -> Site:
        """The site whose isolation cuts this caller off."""
        return Site(self.value) if self.value <= Site.SECONDARY else Site.OUTSIDE


@dataclass(frozen=True)
class Service:
    """A listening service: its name, the last octet of its address, and its port."""

    name: str
    octet: int
    port: int


POSTGRES = Service("postgres", 5, 5432)
AWS = Service("aws", 6, 4566)
KUBERNETES = Service("kubernetes", 7, 6443)
KUBELET = Service("kubelet", 8, 10250)
INGRESS = Service("ingress", 9, 8080)
DNS = Service("dns", 10, 8053)
"""Not 5353: where a machine has multicast DNS, somebody listens to that on all addresses."""
WITNESS = Service("witness", 11, 7411)
ORCHESTRATOR = Service("orchestrator", 12, 8088)
LINKS = Service("links", 13, 8089)
GLOBAL_AWS = Service("aws-us-east-1", 14, 4566)

PODS_MOST = 1000
"""Pods of a region that can have an address at a time (four third octets of 250)."""
REGIONAL = (POSTGRES, AWS, KUBERNETES, INGRESS)
"""What a region offers to callers outside it."""


@dataclass(frozen=True)
class Block:
    """The addresses of one run: everything below ``127.<number>``."""

    number: int

    def service(self, site: Site, service: Service) -> str:
        """The address at which a service itself listens, without the port."""
        return f"127.{self.number}.{site.value}.{service.octet}"

    def link(self, caller: Caller, site: Site, service: Service) -> str:
        """The address at which ``caller`` reaches ``service`` of ``site`` through a link."""
        return f"127.{self.number}.{100 + 10 * caller.value + site.value}.{service.octet}"

    def pod(self, site: Site, index: int) -> str:
        """The address of pod ``index`` (0 to ``PODS_MOST - 1``) of a site."""
        third, fourth = divmod(index, 250)
        return f"127.{self.number}.{200 + 10 * third + site.value}.{fourth + 1}"


class NoFreeBlock(RuntimeError):
    """Every loopback block of this machine is leased to another run."""


class BlockLease:
    """An exclusive lease on a block, held by a name in the kernel.

    The name is that of a Unix socket without a file (``unix(7)``: abstract), which exists once in a network
    namespace, as the block's addresses do, and goes when the last process that has it open ends. So users who
    do not trust each other share nothing that one could damage for another; and processes that an environment has
    for as long as it is there are given the open socket (:attr:`fd`), so that the lease outlives the harness.
    """

    def __init__(self) -> None:
        self._held: socket.socket | None = None
        self.block: Block | None = None

    def acquire(self) -> Block:
        """Lease a free block.

        Raises:
            NoFreeBlock: when none of the 254 blocks is free.
        """
        busy: list[str] = []
        for number in random.SystemRandom().sample(range(1, 255), 254):
            name = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                name.bind(f"\0dr-drill-block-127.{number}")
            except OSError:
                name.close()
                continue
            block = Block(number)
            if busy := taken_ports(block):
                name.close()
                continue
            self._held, self.block = name, block
            return block
        if busy:
            raise NoFreeBlock(
                "ports are taken by other programs: " + ", ".join(busy) + "; a program that listens on all addresses "
                "(0.0.0.0) takes its port from every drill: stop it, or have it listen on 127.0.0.1")
        raise NoFreeBlock("all loopback blocks 127.1 to 127.254 are leased (see 'ss -xa | grep dr-drill-block'); "
                          "run 'drill down --all' to remove environments that were left behind")

    @property
    def fd(self) -> int:
        """The descriptor that holds the lease, for a process that is to hold it too."""
        assert self._held is not None
        return self._held.fileno()

    def release(self) -> None:
        """Give the block back (a second call does nothing); it is free once nobody else holds it."""
        if self._held is not None:
            self._held.close()
            self._held = None


def taken_ports(block: Block) -> list[str]:
    """The services whose port something else already has, on this block's addresses."""
    outside = (DNS, WITNESS, ORCHESTRATOR, LINKS, GLOBAL_AWS)
    places = [(Site.OUTSIDE, service) for service in outside]
    places += [(site, s) for site in (Site.PRIMARY, Site.SECONDARY) for s in (*REGIONAL, KUBELET)]
    return [
        f"{service.port} ({service.name})" for site, service in places
        if not bindable(block.service(site, service), service.port)
    ]


def bindable(address: str, port: int) -> bool:
    """Whether a server could listen there."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True
