"""The logs of a node's pods, served as a kubelet serves them."""

from __future__ import annotations

import asyncio
import hmac
from pathlib import Path

from harness.environments.embedded.addresses import KUBELET
from loadgen.wire.listening import listen
from loadgen.wire.streams import Doorstep

HEAD_MOST = 16 * 1024
ANSWER_S = 30.0
"""How long a caller may take to read a log."""


async def serve_logs(home: Path, address: str, token: str) -> None:
    """``GET /containerLogs/{namespace}/{pod}/{container}``, as a kubelet serves it."""
    doorstep = Doorstep()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with doorstep.wait(writer):
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            code, body = _answer(home, token, head)
            writer.write(
                f"HTTP/1.1 {code} X\r\ncontent-type: text/plain\r\nconnection: close\r\n"
                f"content-length: {len(body)}\r\n\r\n".encode() + body
            )
            async with asyncio.timeout(ANSWER_S):
                await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, sock=listen(address, KUBELET.port), limit=HEAD_MOST)
    async with server:
        await server.serve_forever()


def _answer(home: Path, token: str, head: str) -> tuple[int, bytes]:
    lines = head.split("\r\n")
    headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines[1:])}
    expected = f"Bearer {token}"
    if not token or not hmac.compare_digest(headers.get("authorization", "").encode(), expected.encode()):
        return 401, b"Unauthorized\n"
    path, _, query = lines[0].partition(" ")[2].partition(" ")[0].partition("?")
    parts = path.strip("/").split("/")
    if len(parts) != 4 or parts[0] != "containerLogs":
        return 404, b"not found\n"
    wanted = home / f"{parts[1]}_{parts[2]}" / "container.log"
    if wanted.parent.parent != home or not wanted.exists():
        return 404, b"the pod has no log yet\n"
    text = wanted.read_bytes()
    for option in query.split("&"):
        name, _, value = option.partition("=")
        if name == "tailLines" and value.isdigit():
            text = b"".join(text.splitlines(keepends=True)[-int(value):])
    return 200, text
