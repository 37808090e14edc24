"""Our control ports: who has no token is sent away at once, and nobody can fill or hold one."""

import asyncio
import contextlib
import json
import resource
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from loadgen.wire import jsonlines as lines
from loadgen.wire import streams
from loadgen.wire.jsonlines import serve_lines

TOKEN = "the-right-token"
Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


def served(scenario: Callable[[Connect], Awaitable[None]]) -> list[Any]:
    """Run a scenario against a server that keeps what it is told, and answers with its size."""
    told: list[Any] = []

    async def keep(message: Any) -> Any:
        told.append(message)
        return {"size": len(message)}

    async def run() -> None:
        serving = asyncio.create_task(serve_lines("127.0.0.1", port, TOKEN, keep))

        async def connect() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            while True:
                try:
                    return await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    await asyncio.sleep(0.01)

        try:
            async with asyncio.timeout(30):
                await scenario(connect)
        finally:
            serving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await serving

    import socket

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    asyncio.run(run())
    return told


async def ended(reader: asyncio.StreamReader) -> bytes:
    """What is said until the other side closes."""
    with contextlib.suppress(ConnectionError):
        return await reader.read()
    return b""


@pytest.mark.parametrize("offered", [b"", b"the-right-toke", b"the-right-token2", b"\xff\xfe"])
def test_a_wrong_token_is_refused_and_nothing_after_it_is_read(offered: bytes) -> None:
    async def scenario(connect: Connect) -> None:
        reader, writer = await connect()
        writer.write(offered + b'\n{"a": 1}\n')
        assert json.loads(await ended(reader)) == {"error": "wrong token"}

    assert served(scenario) == []


def test_a_server_without_a_token_does_not_start() -> None:
    with pytest.raises(ValueError, match="without a token"):
        asyncio.run(serve_lines("127.0.0.1", 0, "", lambda _: asyncio.sleep(0)))


def test_a_stranger_who_sends_without_end_is_cut_off_and_takes_no_memory() -> None:
    sent = 0

    async def scenario(connect: Connect) -> None:
        nonlocal sent
        reader, writer = await connect()
        with contextlib.suppress(ConnectionError):
            for _ in range(2000):
                writer.write(b"x" * 65536)
                await writer.drain()
                sent += 65536
        assert await ended(reader) == b""

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert served(scenario) == []
    # What is sent lies in the sockets' buffers of both sides; a hundredth of what there was to send.
    assert sent < 20_000_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000


def test_a_stranger_who_says_nothing_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "Doorstep", lambda: streams.Doorstep(patience=0.2))

    async def scenario(connect: Connect) -> None:
        silent, _ = await connect()
        slow, writer = await connect()
        began = time.monotonic()
        while not slow.at_eof() and time.monotonic() < began + 5:
            writer.write(b"t")
            with contextlib.suppress(TimeoutError, ConnectionError):
                await asyncio.wait_for(slow.read(1), 0.05)
        assert await ended(silent) == b""
        assert time.monotonic() - began < 2

    assert served(scenario) == []


def test_of_many_strangers_the_oldest_has_to_go_and_who_has_the_token_is_served(
    monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "Doorstep", lambda: streams.Doorstep(most=4))

    async def scenario(connect: Connect) -> None:
        strangers = [await connect() for _ in range(20)]
        reader, writer = await connect()
        writer.write(TOKEN.encode() + b'\n["hello"]\n')
        assert await reader.readline() == b'{"ok":true}\n'
        assert await reader.readline() == b'{"size":1}\n'
        for stranger, _ in strangers[:16]:
            assert await ended(stranger) == b""

    assert served(scenario) == [["hello"]]


def test_a_caller_who_is_known_may_wait_and_may_send_much_but_not_without_end(
    monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "Doorstep", lambda: streams.Doorstep(patience=0.1))
    monkeypatch.setattr(lines, "LINE_MOST", 1_000_000)
    big = ["x" * 900_000]

    async def scenario(connect: Connect) -> None:
        reader, writer = await connect()
        writer.write(TOKEN.encode() + b"\n")
        assert await reader.readline() == b'{"ok":true}\n'
        await asyncio.sleep(0.3)  # longer than a stranger may stay
        writer.write(json.dumps(big).encode() + b"\n[]\n")
        assert [await reader.readline() for _ in range(2)] == [b'{"size":1}\n', b'{"size":0}\n']
        with contextlib.suppress(ConnectionError):
            writer.write(b"x" * 2_000_000)
            await writer.drain()
        assert await ended(reader) == b""

    assert served(scenario) == [big, []]
