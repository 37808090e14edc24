"""Links that can be cut, delayed and throttled, one way or both, and that say who called whom."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from harness.environments.embedded.addresses import AWS, LINKS, POSTGRES, Caller, Service, Site
from loadgen.wire.jsonlines import LinesClient
from tests.harness.environments.embedded.conftest import TOKEN, Sites, until

pytestmark = pytest.mark.real


@contextmanager
def echo(sites: Sites, service: Service = AWS) -> Iterator[None]:
    """A server in the secondary region that sends back what it gets."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((sites.block.service(Site.SECONDARY, service), service.port))
    listener.listen()

    def serve() -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(peer,), daemon=True).start()

    def answer(peer: socket.socket) -> None:
        with peer, suppress(OSError):
            while data := peer.recv(65536):
                peer.sendall(data)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)  # a thread in accept() would keep it open
        listener.close()


def call(sites: Sites, caller: Caller = Caller.PRIMARY, timeout: float = 5.0,
         service: Service = AWS) -> socket.socket:
    made = socket.create_connection(
        (sites.block.link(caller, Site.SECONDARY, service), service.port), timeout)
    made.settimeout(timeout)
    return made


def command(sites: Sites, **message: object) -> dict[str, object]:
    control = LinesClient(sites.block.service(Site.OUTSIDE, LINKS), LINKS.port, TOKEN)
    try:
        return dict(control.ask(message))
    finally:
        control.close()


def talk(connection: socket.socket, text: bytes = b"x") -> bytes:
    connection.sendall(text)
    got = b""
    while len(got) < len(text):
        part = connection.recv(65536)
        if not part:
            break  # closed in order, which is an end as much as a reset
        got += part
    return got


def test_a_cut_stalls_old_and_new_connections_and_mending_lets_them_go_on(links: Sites) -> None:
    with echo(links):
        old = call(links, timeout=1.0)
        assert talk(old) == b"x"
        assert "primary->secondary" in command(links, set="primary->secondary", cut=True)["links"]
        for connection in (old, call(links, timeout=1.0)):
            with pytest.raises(TimeoutError):
                talk(connection)
        assert command(links, set="primary->secondary")["links"] == {}
        assert old.recv(10) == b"x"  # nothing was reset: what was in flight arrives


def test_a_cut_one_way_stops_the_answer_and_not_the_request(links: Sites) -> None:
    with echo(links):
        connection = call(links, timeout=1.0)
        command(links, set="secondary->primary", cut=True)
        with pytest.raises(TimeoutError):
            talk(connection)
        other = call(links, Caller.ORCHESTRATOR)
        assert talk(other) == b"x"  # another caller's link is whole


def test_a_delay_is_added_to_each_direction_by_itself(links: Sites) -> None:
    with echo(links):
        connection = call(links)
        talk(connection)
        command(links, set="primary->secondary", delay=0.3)
        began = time.monotonic()
        talk(connection)
        assert time.monotonic() - began >= 0.3


def test_a_rate_is_shared_by_all_connections_of_the_direction(links: Sites) -> None:
    with echo(links):
        command(links, set="primary->secondary", rate=200_000.0)
        began = time.monotonic()
        threads = [threading.Thread(target=lambda: talk(call(links, timeout=20), b"y" * 100_000))
                   for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert time.monotonic() - began >= 0.9  # 200 kB at 200 kB/s


def test_messages_that_are_gathered_arrive_whole_and_in_order_up_to_the_last(links: Sites) -> None:
    said = [f"{n:06}".encode() for n in range(2000)] + [b"z" * 300_000, b"the end"]
    with echo(links, POSTGRES):
        connection = call(links, service=POSTGRES)
        for message in said:
            connection.sendall(message)
        connection.shutdown(socket.SHUT_WR)
        heard = b""
        while data := connection.recv(65536):
            heard += data
    assert heard == b"".join(said)


def test_a_gathered_message_that_meets_a_cut_stays_until_it_is_mended(links: Sites) -> None:
    with echo(links, POSTGRES):
        connection = call(links, timeout=1.0, service=POSTGRES)
        assert talk(connection) == b"x"
        command(links, set="primary->secondary", cut=True)
        with pytest.raises(TimeoutError):
            talk(connection, b"yy")
        command(links, set="primary->secondary", cut=False)
        assert connection.recv(10) == b"yy"


def test_a_reset_drops_the_connections_of_the_site_that_lost_its_power(links: Sites) -> None:
    with echo(links):
        connection = call(links)
        talk(connection)
        command(links, reset="secondary")

        def gone() -> bool:
            try:
                return talk(connection) == b""
            except OSError:
                return True

        until(gone)


def test_who_called_whom_is_written_down_refusals_included(links: Sites) -> None:
    with echo(links):
        talk(call(links, Caller.ORCHESTRATOR))
    until(lambda: call(links, Caller.ORCHESTRATOR).recv(1) == b"")  # nobody listens any more
    log = links.root / "sites" / "links" / "links.jsonl"
    seen = [json.loads(line) for line in log.read_text().splitlines()]
    ours = [e["event"] for e in seen if e.get("caller") == "orchestrator"]
    assert ours[:2] == ["connect", "request"]
    assert "refused" in ours


def test_the_control_port_wants_the_token(links: Sites) -> None:
    with pytest.raises(PermissionError):
        LinesClient(links.block.service(Site.OUTSIDE, LINKS), LINKS.port, "wrong")
