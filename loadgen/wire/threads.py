"""Bounds for servers with a thread for each connection."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import time
from typing import Any

STRANGERS_MOST = 128
PATIENCE_S = 20.0


class BoundedThreads(socketserver.ThreadingMixIn):
    """Mixed into a socket server, before its class: strangers are few at a time, and each stays for a short time.

    A connection is a stranger's until :meth:`trust` is told otherwise. When there are too many of them, the one
    that has been here longest has to go. (Handlers should have a ``timeout`` as well: it is the connection's own,
    for each read and write.)
    """

    daemon_threads = True

    def __init__(self, *args: Any, **settings: Any) -> None:
        self._strangers: dict[socket.socket, float] = {}
        """Until when each may stay (monotonic), the oldest first."""
        super().__init__(*args, **settings)

    def process_request(self, request: Any, client_address: Any) -> None:
        """A connection was accepted."""
        if len(self._strangers) >= STRANGERS_MOST:
            for oldest in list(self._strangers)[:1]:
                self._send_away(oldest)
        self._strangers[request] = time.monotonic() + PATIENCE_S
        super().process_request(request, client_address)

    def trust(self, request: socket.socket) -> None:
        """The caller has said who it is."""
        self._strangers.pop(request, None)

    def shutdown_request(self, request: Any) -> None:
        """A connection is done with."""
        self._strangers.pop(request, None)
        super().shutdown_request(request)  # type: ignore[misc]

    def service_actions(self) -> None:
        """Look, twice a second, who has stayed for too long."""
        super().service_actions()  # type: ignore[misc]
        now = time.monotonic()
        for request, until in list(self._strangers.items()):
            if until < now:
                self._send_away(request)

    def _send_away(self, request: socket.socket) -> None:
        """End a connection; its thread hears of it, and closes it."""
        self._strangers.pop(request, None)
        with contextlib.suppress(OSError):
            request.shutdown(socket.SHUT_RDWR)
