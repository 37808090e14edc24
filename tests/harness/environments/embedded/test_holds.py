"""The addresses of an environment are nobody else's, also while nobody listens there."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.environments.base import EnvironmentFailed
from harness.environments.embedded.addresses import AWS, ORCHESTRATOR, POSTGRES, Block, Site
from harness.environments.embedded.holds import HELD, Holds, stay, stepping_aside
from harness.environments.embedded.ownership import Ownership
from harness.environments.embedded.processes import environment_for
from loadgen.wire.listening import listen
from tests.harness.common.test_teardown import without_descriptors
from tests.harness.environments.embedded.conftest import STRANGER, as_user

OPTIONS = ([], [socket.SO_REUSEADDR], [socket.SO_REUSEPORT], [socket.SO_REUSEADDR, socket.SO_REUSEPORT])


@pytest.fixture
def holds(block: Block) -> Iterator[Holds]:
    """Those of a leased block."""
    held = Holds(block)
    yield held
    held.close()


def listening(address: tuple[str, int], options: list[int]) -> socket.socket:
    """A server as anybody makes one, PostgreSQL for example."""
    server = socket.socket()
    try:
        for option in options:
            server.setsockopt(socket.SOL_SOCKET, option, 1)
        server.bind(address)
        server.listen()
    except OSError:
        server.close()
        raise
    return server


def taken_by_stranger(*addresses: tuple[str, int]) -> list[str]:
    """The addresses at which another user can listen, by whatever means."""

    def try_all() -> list[str]:
        taken = []
        for address in addresses:
            for options in OPTIONS:
                try:
                    listening(address, options).close()
                except OSError:
                    continue
                taken.append(f"{address[0]}:{address[1]}")
        return taken

    return list(as_user(STRANGER, try_all))


@pytest.mark.usefixtures("holds")
def test_where_a_server_is_down_or_not_yet_up_nobody_else_can_listen(block: Block) -> None:
    held = [(block.service(site, service), service.port) for site, service in HELD]
    everywhere = [("0.0.0.0", port) for _, port in held]
    assert taken_by_stranger(*held, *everywhere) == []


@pytest.mark.usefixtures("holds")
def test_a_server_of_ours_can_listen_there_again_and_again_and_only_one_at_a_time(block: Block) -> None:
    address = (block.service(Site.OUTSIDE, ORCHESTRATOR), ORCHESTRATOR.port)
    for _ in range(2):
        with listen(*address):
            with socket.create_connection(address, timeout=5), pytest.raises(OSError, match="already in use"):
                listen(*address)
            assert taken_by_stranger(address) == []
        assert taken_by_stranger(address) == []


def test_what_is_held_for_another_users_servers_is_for_that_users_alone(block: Block) -> None:
    user = STRANGER + 1
    if os.geteuid() != 0:
        pytest.skip("only root can hold something for another user")
    held, address = Holds(block, user), (block.service(Site.OUTSIDE, ORCHESTRATOR), ORCHESTRATOR.port)

    def serve() -> list[str]:
        with listen(*address), socket.create_connection(address, timeout=5):
            return ["served"]

    assert as_user(user, serve) == ["served"]
    assert taken_by_stranger(address) == []
    with pytest.raises(OSError, match="in use"):
        listen(*address)  # not even root
    held.close()


@pytest.mark.usefixtures("holds")
def test_a_caller_of_a_server_that_is_down_is_refused(block: Block) -> None:
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((block.service(Site.PRIMARY, AWS), AWS.port), timeout=5)


def test_postgresql_can_listen_when_its_hold_steps_aside_and_only_then(block: Block, holds: Holds) -> None:
    hold, address = holds.postgres(Site.PRIMARY), (block.service(Site.PRIMARY, POSTGRES), POSTGRES.port)
    for _ in range(2):
        with pytest.raises(OSError, match="in use"):
            listening(address, [socket.SO_REUSEADDR])
        with stepping_aside(hold):
            server = listening(address, [socket.SO_REUSEADDR])
        assert taken_by_stranger(address) == []
        server.close()  # as by SIGKILL
        assert taken_by_stranger(address) == []


def test_a_hold_does_not_stay_aside_when_whoever_had_it_step_aside_was_killed(block: Block, holds: Holds) -> None:
    hold = holds.postgres(Site.SECONDARY)
    hold.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    stay(hold)
    assert taken_by_stranger((block.service(Site.SECONDARY, POSTGRES), POSTGRES.port)) == []


def test_connections_of_an_earlier_environment_keep_no_address_from_being_held(block: Block) -> None:
    addresses = [(block.service(Site.PRIMARY, service), service.port) for service in (AWS, POSTGRES)]
    for address in addresses:
        with listening(address, [socket.SO_REUSEADDR]) as server, socket.create_connection(address) as client:
            server.accept()[0].close()  # whoever closes first is remembered
            assert client.recv(1) == b""
    held = Holds(block)
    assert taken_by_stranger(*addresses) == []
    held.close()


def test_that_there_can_be_no_more_sockets_is_no_word_of_another_program(block: Block) -> None:
    with without_descriptors(spare=2), pytest.raises(OSError, match="Too many open files"):
        Holds(block)
    Holds(block).close()


def test_an_address_that_another_program_was_faster_to_take_is_named(block: Block) -> None:
    with listening((block.service(Site.PRIMARY, AWS), AWS.port), []), pytest.raises(
            EnvironmentFailed, match=rf"another program has taken 127\.{block.number}\.1\.6:4566 \(aws\) meanwhile"):
        Holds(block)


def told_by(program: str, environment: dict[str, str]) -> bytes:
    """What a client says to whoever listens in PostgreSQL's place and asks for the password as it is."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)
        client = subprocess.Popen([sys.executable, "-c", program.format(port=server.getsockname()[1])], env=environment,
                                  stderr=subprocess.DEVNULL)
        said = b""
        while client.poll() is None:
            try:
                caller, _ = server.accept()
            except TimeoutError:
                break
            with caller:
                caller.settimeout(5)
                while b"the-password" not in said and (data := caller.recv(4096)):
                    said += data
                    # To the wish for encryption: no. To the rest: the password in clear text, please.
                    caller.sendall(b"N" if data[4:8] == b"\x04\xd2\x16\x2f" else b"R\0\0\0\x08\0\0\0\x03")
                break
        client.kill()
        client.wait()
    return said


@pytest.mark.parametrize("program", [
    "import psycopg; psycopg.connect('host=127.0.0.1 port={port} user=u password=the-password sslmode=disable')",
    "import psycopg2; psycopg2.connect('host=127.0.0.1 port={port} user=u password=the-password sslmode=disable')",
    "import psycopg; from harness.environments.base import DatabaseAccess;"
    " psycopg.connect(DatabaseAccess('127.0.0.1', {port}, 'u', 'the-password').conninfo + ' sslmode=disable')"])
def test_whoever_listens_in_the_place_of_postgresql_is_not_told_the_password(tmp_path: Path, program: str) -> None:
    ours = environment_for(tmp_path, Ownership.new(tmp_path))
    said = told_by(program, ours if "DatabaseAccess" not in program else dict(os.environ))
    assert b"user\0u\0" in said
    assert b"the-password" not in said
