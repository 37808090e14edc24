"""The addresses of an environment are held for as long as it is there, also while nobody listens.

Every user of the machine can listen on a loopback address that nobody has. A region that has lost its power, or a
server that is only just being started, could be stood in for: whoever listens in its place is given the credentials
of all who call it, and can pass them on. So each address has a socket that is bound to it and does not listen: a caller
is refused, as it would be anyway, and nobody else can listen there.

Servers of ours share the address with its hold (:mod:`loadgen.wire.listening`); those of pods are held by their node. PostgreSQL cannot say that it does. Its hold
steps aside (:func:`stepping_aside`) for the moment in which PostgreSQL begins to listen; then, and only then, another
could be faster.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Iterator

from harness.environments.base import EnvironmentFailed
from harness.environments.embedded.addresses import (
    GLOBAL_AWS,
    KUBELET,
    LINKS,
    ORCHESTRATOR,
    POSTGRES,
    REGIONAL,
    WITNESS,
    Block,
    Service,
    Site,
)
from loadgen.wire.listening import hold

REGIONS = (Site.PRIMARY, Site.SECONDARY)
HELD = (*((Site.OUTSIDE, service) for service in (WITNESS, ORCHESTRATOR, LINKS, GLOBAL_AWS)),
        *((region, service) for region in REGIONS for service in (*REGIONAL, KUBELET)))


class Holds:
    """The sockets that hold a block's addresses."""

    def __init__(self, block: Block, user: int | None = None) -> None:
        """Hold them, for servers that run as ``user`` (None: as we do).

        Raises:
            EnvironmentFailed: when somebody else has one.
            OSError: when there can be no more sockets.
        """
        self._sockets: dict[tuple[Site, Service], socket.socket] = {}
        for site, service in HELD:
            address = block.service(site, service)
            try:
                self._sockets[site, service] = hold(address, service.port, shared=service is not POSTGRES, user=user)
            except OSError as error:
                self.close()
                if error.errno != errno.EADDRINUSE:
                    raise
                raise EnvironmentFailed(f"another program has taken {address}:{service.port} ({service.name})"
                                        " meanwhile: try again") from error

    @property
    def fds(self) -> list[int]:
        """Their descriptors, for a process that is to hold them too."""
        return [held.fileno() for held in self._sockets.values()]

    def postgres(self, region: Site) -> socket.socket:
        """What holds the address of a region's PostgreSQL."""
        return self._sockets[region, POSTGRES]

    def close(self) -> None:
        """Hold nothing any more (a second call does nothing)."""
        for held in self._sockets.values():
            held.close()
        self._sockets.clear()


@contextlib.contextmanager
def stepping_aside(held: socket.socket | None) -> Iterator[None]:
    """Within this, a server that shares its address with nobody can begin to listen where it is held."""
    if held is None:
        yield
        return
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        yield
    finally:
        stay(held)


def stay(held: socket.socket) -> None:
    """Have a hold not step aside, should whoever had it do so have been killed."""
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
