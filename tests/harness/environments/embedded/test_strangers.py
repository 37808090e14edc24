"""What a caller without a credential gets from the servers of a region: a refusal, at once, whatever it sends."""

import asyncio
import contextlib
import json
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from harness.environments.embedded import links
from harness.environments.embedded.addresses import AWS, Block, Caller, Site
from harness.environments.embedded.aws import server as aws
from harness.environments.embedded.aws.server import AwsEndpoint
from harness.environments.embedded.kube import server as kube
from harness.environments.embedded.kube.server import KubernetesApi
from harness.environments.embedded.node.pod_logs import _answer
from harness.environments.embedded.site import SiteConfig
from loadgen.wire import threads

KEY, TOKEN, POD_TOKEN = "AKIA0123456789ABCDEF", "control-token-0123456789", "kube-token-0123456789"
SIGNED = (f"AWS4-HMAC-SHA256 Credential={KEY}/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, "
          "Signature=0").encode()


@pytest.fixture
def site(tmp_path: Path) -> SiteConfig:
    return SiteConfig(
        environment="e", directory=str(tmp_path), block=9, site=Site.OUTSIDE.value, region="us-east-1",
        cluster_id="c", kube_token=POD_TOKEN, control_token=TOKEN, aws_access_key=KEY, aws_secret_key="s",
        postgres_password="p", replication_password="r")


@contextmanager
def serving(site: SiteConfig) -> Iterator[tuple[str, int]]:
    """An AWS endpoint on a port of its own."""
    endpoint = aws._Server("127.0.0.1", 0, AwsEndpoint(site), handler=aws._Handler)
    thread = threading.Thread(target=endpoint.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield ("127.0.0.1", endpoint.server_port)
    finally:
        endpoint.shutdown()
        endpoint.server_close()


def said(caller: socket.socket) -> bytes:
    """All that is said until the connection ends; a reset is an end."""
    found = b""
    with contextlib.suppress(ConnectionError):
        while data := caller.recv(65536):
            found += data
    return found


def status(answer: bytes) -> int:
    return int(answer.split(b" ")[1])


@pytest.mark.parametrize(("head", "code"), [
    (b"PUT /b/k HTTP/1.1\r\n", 403), (b"PUT /b/k HTTP/1.1\r\nauthorization: " + SIGNED.replace(b"AKIA", b"AKIB"), 403),
    (b"POST /_dr/outage HTTP/1.1\r\n", 403), (b"POST /_dr/outage HTTP/1.1\r\nx-dr-token: ", 403)])
def test_an_aws_endpoint_refuses_before_it_reads(site: SiteConfig, head: bytes, code: int) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with serving(site) as address, socket.create_connection(address, 5) as caller:
        caller.settimeout(5)
        caller.sendall(head.rstrip(b"\r\n") + b"\r\nhost: h\r\ncontent-length: 400000000\r\n\r\n")
        assert status(caller.recv(65536)) == code
        with contextlib.suppress(ConnectionError):
            for _ in range(400):
                caller.sendall(b"x" * 1_000_000)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60_000


@pytest.mark.parametrize(("said_of_it", "body", "code"), [
    (b"content-length: 400000000", b"", 413), (b"content-length: 999999999999999999999", b"", 413),
    (b"content-length: -1", b"", 400), (b"content-length: ten", b"", 400),
    (b"transfer-encoding: chunked", b"4000001\r\n" + b"x" * 0x4000001 + b"\r\n0\r\n\r\n", 413)])
def test_nor_may_a_body_of_who_is_known_be_of_any_length(
    site: SiteConfig, said_of_it: bytes, body: bytes, code: int
) -> None:
    with serving(site) as address, socket.create_connection(address, 20) as caller:
        caller.sendall(b"PUT /b/k HTTP/1.1\r\nhost: h\r\nauthorization: " + SIGNED + b"\r\n" + said_of_it + b"\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            caller.sendall(body)
        assert status(said(caller)) == code


def test_an_object_whose_sender_was_cut_off_is_not_stored(site: SiteConfig) -> None:
    authorization = {"authorization": SIGNED.decode()}
    with serving(site) as address:
        url = "http://{}:{}".format(*address)
        assert httpx.put(f"{url}/whole", headers=authorization).status_code == 200
        with socket.create_connection(address, 5) as caller:
            caller.sendall(b"PUT /whole/k HTTP/1.1\r\nhost: h\r\nauthorization: " + SIGNED
                           + b"\r\ncontent-length: 10\r\n\r\nabc")
            caller.shutdown(socket.SHUT_WR)
            assert status(said(caller)) == 400
        assert httpx.get(f"{url}/whole/k", headers=authorization).status_code == 404
    assert "/whole/k" not in (site.path / "aws" / "wal.jsonl").read_text()


def test_who_says_nothing_or_says_it_slowly_is_sent_away(site: SiteConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "PATIENCE_S", 0.2)
    with serving(site) as address, contextlib.ExitStack() as open_:
        silent, slow = (open_.enter_context(socket.create_connection(address, 10)) for _ in range(2))
        began = time.monotonic()
        with contextlib.suppress(ConnectionError):
            slow.sendall(b"GET / HTTP/1.1\r\n")
            while time.monotonic() < began + 5:
                slow.sendall(b"x: y\r\n")
                time.sleep(0.02)
        assert said(silent) == b""
        assert time.monotonic() - began < 3


def test_of_too_many_strangers_the_oldest_is_sent_away(site: SiteConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "STRANGERS_MOST", 4)
    with serving(site) as address, contextlib.ExitStack() as open_:
        callers = [open_.enter_context(socket.create_connection(address, 10)) for _ in range(12)]
        assert httpx.get("http://{}:{}/healthz".format(*address)).json() == {"ok": True}
        for caller in callers[:8]:
            assert said(caller) == b""


def test_nothing_by_which_a_caller_is_known_is_written_down(site: SiteConfig) -> None:
    with serving(site) as address:
        url = "http://{}:{}".format(*address)
        httpx.put(f"{url}/bucket", headers={"authorization": SIGNED.decode(), "x-amz-security-token": "session-token"})
        httpx.post(f"{url}/_dr/nothing", headers={"x-dr-token": TOKEN}, content=b"{}")
        httpx.get(f"{url}/bucket", headers={"authorization": SIGNED.decode().replace("AKIA", "AKIB")})
    written = "".join(path.read_text() for path in (site.path / "aws").glob("*.jsonl"))
    assert "/bucket" in written
    for secret in (KEY, KEY.replace("AKIA", "AKIB"), TOKEN, "session-token"):
        assert secret not in written


@pytest.mark.parametrize(("path", "token", "status"), [
    ("/api/v1/namespaces", "", 401), ("/openapi/v3", "", 401), ("/version", "", 401), ("/nothing", "", 401),
    ("/healthz", "", 200), ("/api/v1/namespaces", POD_TOKEN, 413)])
def test_a_kubernetes_api_refuses_before_it_reads_and_bounds_what_it_reads(
    site: SiteConfig, path: str, token: str, status: int
) -> None:
    read = 0

    async def body() -> object:
        nonlocal read
        for _ in range(100):
            read += 65536
            yield b"x" * 65536

    async def call() -> int:
        transport = httpx.ASGITransport(app=KubernetesApi(site).app())
        async with httpx.AsyncClient(transport=transport, base_url="http://k") as client:
            method = "GET" if path == "/healthz" else "POST"
            answer = await client.request(method, path, headers={"authorization": f"Bearer {token}"} if token else {},
                                          content=None if method == "GET" else body())  # type: ignore[arg-type]
            return answer.status_code

    assert asyncio.run(call()) == status
    assert read <= (kube.BODY_MOST + 65536 if token else 0)


@pytest.mark.parametrize("header", ["", "authorization: Bearer ", "authorization: Bearer zw\xf6lf",
                                    "authorization: kube-token-0123456789", "AUTHORIZATION: bearer x"])
def test_a_pods_log_is_the_tokens_owners(tmp_path: Path, header: str) -> None:
    head = f"GET /containerLogs/a/b/c HTTP/1.1\r\n{header}\r\n\r\n"
    assert _answer(tmp_path, POD_TOKEN, head)[0] == 401
    assert _answer(tmp_path, "", head)[0] == 401


@pytest.mark.parametrize("line", ["", "GET", "GET /", "GET /containerLogs/../../c HTTP/1.1",
                                  "GET /containerLogs/a/../../../etc/passwd/c HTTP/1.1"])
def test_and_a_request_that_is_none_is_answered(tmp_path: Path, line: str) -> None:
    assert _answer(tmp_path, POD_TOKEN, f"{line}\r\nauthorization: Bearer {POD_TOKEN}\r\n\r\n")[0] == 404


def test_a_link_has_room_for_so_many_connections(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(links, "CONNECTIONS_MOST", 3)

    async def run(accept: Callable[[links.Network], asyncio.Protocol]) -> None:
        with (tmp_path / "links.jsonl").open("w") as log:
            network = links.Network(Block(9), log)
            held = [accept(network) for _ in range(3)]
            assert isinstance(accept(network), links._Refused)
            # Another link has room of its own, and so has this one again once a connection has ended.
            assert not isinstance(network._accepted(Caller.PRIMARY, Site.SECONDARY, AWS, "other"), links._Refused)
            held[0]._connection.drop()  # type: ignore[attr-defined]
            assert not isinstance(accept(network), links._Refused)

    asyncio.run(run(lambda network: network._accepted(Caller.USERS, Site.PRIMARY, AWS, "front")))


def test_what_a_site_writes_down_of_itself_is_shown_nowhere(site: SiteConfig) -> None:
    for secret in (KEY, TOKEN, POD_TOKEN):
        assert secret not in repr(site)
        assert secret in json.dumps(vars(site))
