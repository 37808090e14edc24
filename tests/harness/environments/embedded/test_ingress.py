"""The ingress joins a connection to a ready pod of the host that it asks for, and to no other."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from harness.environments.embedded.ingress import Proxy

Address = tuple[str, int]


async def pod(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str) -> None:
    """Answers each request with its own name and what was asked; keeps the connection."""
    while head := await reader.readuntil(b"\r\n\r\n"):
        length = int(next((line.split(b":")[1] for line in head.split(b"\r\n")
                           if line.lower().startswith(b"content-length")), b"0"))
        body = await reader.readexactly(length)
        said = f"{name} {head.split()[1].decode()} {body.decode()}".encode()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(said), said))


class Client:
    """One connection to the ingress."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, host: str, path: str = "/", body: str = "", pieces: int = 1) -> tuple[int, str]:
        text = (f"POST {path} HTTP/1.1\r\nHost: {host}:8080\r\ncontent-length: {len(body)}\r\n\r\n"
                f"{body}").encode()
        size = -(-len(text) // pieces)
        for start in range(0, len(text), size):
            self.writer.write(text[start:start + size])
            await self.writer.drain()
            await asyncio.sleep(0.01 if pieces > 1 else 0)  # only so that the pieces do not travel together
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length:")[2].split()[0])
        return int(head.split()[1]), (await self.reader.readexactly(length)).decode().strip()


def through(scenario: Callable[[Callable[[], Coroutine[Any, Any, Client]]], Coroutine[Any, Any, None]]) -> None:
    """Run a scenario against an ingress with two Deployments, one without a pod, and one whose pod is gone."""

    async def run() -> None:
        servers = [await asyncio.start_server(
            lambda r, w, name=name: pod(r, w, name), "127.0.0.1", 0) for name in ("a", "b")]
        at = [server.sockets[0].getsockname() for server in servers]
        routes: dict[str, list[Address]] = {
            "a.test": [at[0]], "b.test": [at[1]], "empty.test": [], "gone.test": [("127.0.0.1", 9)]}
        proxy = await asyncio.start_server(Proxy(routes.get).connected, "127.0.0.1", 0)

        async def connect() -> Client:
            return Client(*await asyncio.open_connection(*proxy.sockets[0].getsockname()))

        try:
            async with asyncio.timeout(20):
                await scenario(connect)
        finally:
            for server in (proxy, *servers):
                server.close()

    asyncio.run(run())


def test_a_connection_is_kept_for_further_requests_of_its_host() -> None:
    async def scenario(connect: Callable[[], Coroutine[Any, Any, Client]]) -> None:
        client = await connect()
        assert await client.ask("a.test", "/1") == (200, "a /1")
        assert await client.ask("a.test", "/2", body="x" * 100_000) == (200, "a /2 " + "x" * 100_000)
        assert await client.ask("A.test", "/3", pieces=4) == (200, "a /3")

    through(scenario)


def test_a_request_for_another_host_never_reaches_the_first_ones_pod() -> None:
    async def scenario(connect: Callable[[], Coroutine[Any, Any, Client]]) -> None:
        client = await connect()
        assert await client.ask("a.test") == (200, "a /")
        status, why = await client.ask("b.test", pieces=3)
        assert (status, why) == (421, "this connection is for a.test; open another one")
        assert await client.reader.read() == b""
        assert await (await connect()).ask("b.test") == (200, "b /")

    through(scenario)


@pytest.mark.parametrize(("host", "status"), [("none.test", 404), ("empty.test", 503), ("gone.test", 502)])
def test_a_host_that_cannot_be_served_is_said_to_be_so(host: str, status: int) -> None:
    async def scenario(connect: Callable[[], Coroutine[Any, Any, Client]]) -> None:
        found, why = await (await connect()).ask(host)
        assert (found, host in why) == (status, True)

    through(scenario)
