"""A server's socket, at an address that is held for it.

Every user of the machine can bind a loopback address that nobody has. So where a server may be down and come back, its
address is held meanwhile: by a socket of the same user that is bound there and does not listen.
"""

from __future__ import annotations

import errno
import os
import socket

BACKLOG = 1024
ANSWER_S = 2.0
SHARED = socket.SO_REUSEPORT
"""Sockets that all say so share an address, if they are one user's."""


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens: beside one that holds its address for us, and with no other server.

    Raises:
        OSError: when somebody else has the address, or another server of ours listens there.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as caller:
        # What lets a socket share the address with its hold lets two servers share their callers.
        caller.settimeout(ANSWER_S)
        if port and caller.connect_ex((host, port)) == 0:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
    return socket.create_server((host, port), family=family, backlog=BACKLOG, reuse_port=True)


def hold(host: str, port: int, *, shared: bool = True, user: int | None = None) -> socket.socket:
    """A socket that holds an address; ``shared``: :func:`listen` can listen there all the same, as ``user`` (None: we).

    Raises:
        OSError: when somebody else has the address.
    """
    held = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        if user is not None:  # before it is bound: the kernel compares the users of those that share an address
            os.fchown(held.fileno(), user, user)
        held.setsockopt(socket.SOL_SOCKET, SHARED, shared)
        # For the moment, because of earlier connections that the kernel still remembers.
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind((host, port))
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    except OSError:
        held.close()
        raise
    return held
