"""JSON messages over TCP, one a line: the small protocol of our own control ports.

A connection begins with a line that holds the token; then each line is a message and gets one
line in answer. Used where HTTP would cost more than the work itself (the witness takes thousands
of messages a second) or where a server would be all there is (the links' control).
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import socket
from collections.abc import Awaitable, Callable
from typing import Any

LIMIT = 16 * 1024 * 1024
Handler = Callable[[Any], Awaitable[Any]]


async def serve_lines(host: str, port: int, token: str, handler: Handler) -> None:
    """Answer messages on ``host:port`` for as long as the task lives.

    Raises:
        OSError: when the address is taken.
    """

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, ValueError):
            offered = (await reader.readline()).strip()
            if not hmac.compare_digest(offered, token.encode()):
                writer.write(b'{"error":"wrong token"}\n')
                await writer.drain()
                return
            writer.write(b'{"ok":true}\n')
            while line := await reader.readline():
                answer = await handler(json.loads(line))
                writer.write(json.dumps(answer, separators=(",", ":")).encode() + b"\n")
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(connected, host, port, limit=LIMIT)
    async with server:
        await server.serve_forever()


class LinesClient:
    """A blocking client. Not for more than one thread at a time."""

    def __init__(self, host: str, port: int, token: str, timeout: float = 5.0) -> None:
        """Connect.

        Raises:
            OSError: when nobody answers in ``timeout`` seconds.
            PermissionError: when the token is refused.
        """
        self._socket = socket.create_connection((host, port), timeout=timeout)
        self._stream = self._socket.makefile("rwb")
        self._stream.write(token.encode() + b"\n")
        self._stream.flush()
        if not json.loads(self._readline()).get("ok"):
            self.close()
            raise PermissionError(f"{host}:{port} refused the token")

    def ask(self, message: Any) -> Any:
        """Send a message; its answer.

        Raises:
            OSError: when the connection is gone (a time-out included).
        """
        self._stream.write(json.dumps(message, separators=(",", ":")).encode() + b"\n")
        self._stream.flush()
        return json.loads(self._readline())

    def close(self) -> None:
        """Close the connection."""
        with contextlib.suppress(OSError):
            self._stream.close()
        self._socket.close()

    def _readline(self) -> bytes:
        line = self._stream.readline()
        if not line:
            raise ConnectionError("the other side closed the connection")
        return line
