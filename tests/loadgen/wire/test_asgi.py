"""An HTTP server that a stranger can neither fill nor hold up."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.types import Receive, Scope, Send

from loadgen.wire import asgi
from loadgen.wire.asgi import BodyLimit, server_config

Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]
HEAD = b"POST / HTTP/1.1\r\nhost: h\r\n"


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Says how long the body was; ``/unread``: refuses without reading; ``/endless``: goes on and on."""
    if scope["path"] == "/unread":
        await PlainTextResponse("no", 401)(scope, receive, send)
    elif scope["path"] == "/endless":
        async def much() -> Any:
            while True:
                yield b"x" * 65536
                await asyncio.sleep(0)
        await StreamingResponse(much())(scope, receive, send)
    elif scope["path"] == "/caller":
        await PlainTextResponse(scope["client"][0])(scope, receive, send)
    else:
        body = await Request(scope, receive).body()
        await PlainTextResponse(str(len(body)))(scope, receive, send)


def served(scenario: Callable[[Connect], Awaitable[None]], most: int = 100_000) -> None:
    """Run a scenario against the application, whose bodies are bounded."""

    async def run() -> None:
        server = uvicorn.Server(server_config(BodyLimit(application, most), "127.0.0.1", 0, lifespan="off"))
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        address = server.servers[0].sockets[0].getsockname()
        try:
            async with asyncio.timeout(20):
                await scenario(lambda: asyncio.open_connection(*address))
        finally:
            server.should_exit = server.force_exit = True
            await serving

    asyncio.run(run())


async def status(reader: asyncio.StreamReader) -> int:
    return int((await reader.readuntil(b"\r\n\r\n")).split(b" ")[1])


async def ended(reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(ConnectionError):
        while await reader.read(65536):
            pass


@pytest.mark.parametrize("length", [b"100001", b"400000000", b"99999999999999999"])
def test_a_body_that_is_said_to_be_too_long_is_refused_unread(length: bytes) -> None:
    async def scenario(connect: Connect) -> None:
        reader, writer = await connect()
        writer.write(HEAD + b"content-length: " + length + b"\r\n\r\n")
        assert await status(reader) == 413

    served(scenario)


def test_a_body_that_turns_out_too_long_is_refused_then() -> None:
    async def scenario(connect: Connect) -> None:
        reader, writer = await connect()
        writer.write(HEAD + b"transfer-encoding: chunked\r\n\r\n" + (b"10000\r\n" + b"x" * 65536 + b"\r\n") * 2)
        assert await status(reader) == 413

    served(scenario)


def test_a_body_that_is_not_is_read() -> None:
    async def scenario(connect: Connect) -> None:
        reader, writer = await connect()
        writer.write(HEAD + b"content-length: 100000\r\n\r\n" + b"x" * 100_000)
        assert await status(reader) == 200
        assert await reader.readexactly(6) == b"100000"

    served(scenario)


def test_what_follows_a_refusal_is_thrown_away_while_it_comes() -> None:
    async def scenario(connect: Connect) -> None:
        reader, writer = await connect()
        writer.write(b"POST /unread HTTP/1.1\r\nhost: h\r\ncontent-length: 40000000\r\n\r\n")
        for _ in range(40):
            writer.write(b"x" * 1_000_000)
            await writer.drain()
        assert await status(reader) == 401
        await reader.readexactly(2)
        writer.write(HEAD + b"content-length: 3\r\n\r\nabc")
        assert await status(reader) == 200

    served(scenario, most=10**9)


@pytest.mark.parametrize("said", [
    b"", b"GET / HTTP/1.1\r\nhost:", HEAD + b"content-length: 10\r\n\r\nabc",
    b"POST /unread HTTP/1.1\r\nhost: h\r\ncontent-length: 10\r\n\r\nabc"])
def test_a_request_that_does_not_come_to_its_end_is_not_waited_for(said: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asgi, "PATIENCE_S", 0.2)

    async def scenario(connect: Connect) -> None:
        reader, writer = await connect()
        began = time.monotonic()
        writer.write(said)
        await ended(reader)
        assert time.monotonic() - began < 3

    served(scenario)


def test_a_request_that_trickles_in_is_not_waited_for_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asgi, "PATIENCE_S", 0.3)

    async def scenario(connect: Connect) -> None:
        reader, writer = await connect()
        writer.write(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n")
        assert await status(reader) == 200
        await reader.readexactly(1)
        began = time.monotonic()
        for number in range(1000):
            try:
                writer.write(b"GET / HTTP/1.1\r\n" if number == 0 else b"x: y\r\n")
                await writer.drain()
            except ConnectionError:
                break
            await asyncio.sleep(0.01)
        assert time.monotonic() - began < 5

    served(scenario)


def test_a_head_without_end_is_cut_off() -> None:
    async def scenario(connect: Connect) -> None:
        reader, writer = await connect()
        sent = 0
        with contextlib.suppress(ConnectionError):
            writer.write(b"GET / HTTP/1.1\r\n")
            while sent < 100_000_000:
                writer.write(b"x: " + b"y" * 10_000 + b"\r\n")
                await writer.drain()
                sent += 10_000
        await ended(reader)
        assert sent < 30_000_000  # what both sockets' buffers take

    served(scenario)


def test_who_does_not_take_the_answer_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asgi, "SLOW_S", 0.2)

    async def scenario(connect: Connect) -> None:
        _, writer = await connect()
        writer.write(b"GET /endless HTTP/1.1\r\nhost: h\r\n\r\n")
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        while True:  # until the other side has given up: a write then is an error
            try:
                writer.write(b" ")
                await writer.drain()
            except ConnectionError:
                return
            await asyncio.sleep(0.02)

    served(scenario)


def test_of_too_many_connections_the_one_that_is_idle_for_longest_has_to_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asgi, "CONNECTIONS_MOST", 4)

    async def scenario(connect: Connect) -> None:
        busy, its_writer = await connect()
        its_writer.write(b"GET /endless HTTP/1.1\r\nhost: h\r\n\r\n")
        assert await status(busy) == 200
        idle = [await connect() for _ in range(8)]
        reader, writer = await connect()
        writer.write(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n")
        assert await status(reader) == 200
        await ended(idle[0][0])
        assert await busy.readexactly(1_000_000)

    served(scenario)


def test_a_caller_cannot_say_that_it_is_somebody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")
    monkeypatch.setenv("WEB_CONCURRENCY", "4")

    async def scenario(connect: Connect) -> None:
        reader, writer = await connect()
        writer.write(b"GET /caller HTTP/1.1\r\nhost: h\r\nx-forwarded-for: 127.9.130.14\r\n\r\n")
        assert await status(reader) == 200
        assert await reader.readexactly(9) == b"127.0.0.1"

    served(scenario)
