"""Locust's master for its workers only: its port asks nobody who they are, so its sockets are locked (CURVE).

Whoever does not know the master's public key cannot even begin to speak to it, and cannot listen to what is said.
So that key is kept as a secret: it is in the load's configuration, which the drill's own workers read. The
master's secret key never leaves its directory.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import zmq

SECRET = "master.secret"
"""The file, beside the load's configuration, with the master's secret key."""


def make_keys() -> tuple[str, str]:
    """A master's keys: the public and the secret one."""
    public, secret = zmq.curve_keypair()
    return public.decode(), secret.decode()


def lock(rpc: Any, public: str, directory: Path) -> None:
    """Have every socket that Locust makes from now on be locked (``rpc``: its module ``locust.rpc.zmqrpc``)."""
    unlocked = rpc.BaseSocket.__init__

    def locked(self: Any, kind: int, *more: Any) -> None:
        unlocked(self, kind, *more)
        if kind == zmq.ROUTER:
            self.socket.curve_secretkey = (directory / SECRET).read_bytes()
            self.socket.curve_server = True
        else:
            self.socket.curve_publickey, self.socket.curve_secretkey = zmq.curve_keypair()
            self.socket.curve_serverkey = public.encode()

    rpc.BaseSocket.__init__ = locked
