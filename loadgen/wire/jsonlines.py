"""JSON messages over TCP, one a line: the small protocol of our own control ports.

A connection begins with a line that holds the token; then each line is a message and gets one
line in answer. Whoever has not said the token within seconds, or says anything longer than a token, is sent
away; a message has a longest length too. Used where HTTP would cost more than the work itself (the witness
takes thousands of messages a second) or where a server would be all there is (the links' control).
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from loadgen.wire.listening import listen
from loadgen.wire.streams import Doorstep

LINE_MOST = 16 * 1024 * 1024
"""Bytes of a message."""
TOKEN_MOST = 1024
CHUNK = 64 * 1024
ANSWER_S = 30.0
"""How long a caller may take to read an answer."""
Handler = Callable[[Any], Awaitable[Any]]


async def serve_lines(host: str, port: int, token: str, handler: Handler) -> None:
    """Answer messages on ``host:port`` for as long as the task lives.

    Raises:
        OSError: when the address is taken.
        ValueError: without a token.
    """
    if not token:
        raise ValueError("a server without a token would answer everybody")
    doorstep = Doorstep()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            lines = _lines(reader)
            async with doorstep.wait(writer):
                offered = await anext(lines, b"")
                known = hmac.compare_digest(offered.strip(), token.encode())
                await _say(writer, {"ok": True} if known else {"error": "wrong token"})
            while known and (line := await anext(lines, b"")):
                await _say(writer, await handler(json.loads(line)))
        except (OSError, ValueError):
            pass  # the caller is gone, too slow, or says what is no message: told by the end of the connection
        finally:
            writer.close()

    server = await asyncio.start_server(connected, sock=listen(host, port), limit=CHUNK)
    async with server:
        await server.serve_forever()


async def _lines(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """The lines of a connection; the first may be as long as a token.

    Raises:
        ValueError: when a line is longer than it may be.
    """
    buffer, searched, most = bytearray(), 0, TOKEN_MOST
    while True:
        end = buffer.find(b"\n", searched)
        if (len(buffer) if end < 0 else end) > most:
            raise ValueError(f"a line of more than {most} bytes")
        if end >= 0:
            line = bytes(buffer[:end + 1])
            del buffer[:end + 1]
            searched, most = 0, LINE_MOST
            yield line
        else:
            searched = len(buffer)
            if not (data := await reader.read(CHUNK)):
                return
            buffer += data


async def _say(writer: asyncio.StreamWriter, message: Any) -> None:
    async with asyncio.timeout(ANSWER_S):
        writer.write(json.dumps(message, separators=(",", ":")).encode() + b"\n")
        await writer.drain()


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
