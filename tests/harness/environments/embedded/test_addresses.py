"""Blocks of addresses, and who has them."""

import random
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from harness.environments.embedded.addresses import (
    AWS,
    PODS_MOST,
    POSTGRES,
    Block,
    BlockLease,
    Caller,
    NoFreeBlock,
    Site,
    taken_ports,
)
from tests.harness.environments.embedded.conftest import STRANGER, as_user


def test_two_leases_never_have_the_same_block() -> None:
    first, second = BlockLease(), BlockLease()
    assert first.acquire().number != second.acquire().number
    first.release()
    second.release()


def test_a_block_is_leased_as_long_as_a_process_that_was_given_the_lease_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    lease = BlockLease()
    number = lease.acquire().number
    heir = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE,
                            pass_fds=[lease.fd])
    lease.release()
    monkeypatch.setattr(random.SystemRandom, "sample", lambda *_: [number])  # nothing else is to be had
    with pytest.raises(NoFreeBlock, match="are leased"):
        BlockLease().acquire()
    heir.communicate()
    again = BlockLease()
    assert again.acquire().number == number
    again.release()


def test_a_lease_needs_no_directory_that_others_could_damage(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    lease = BlockLease()
    lease.acquire()
    assert list(tmp_path.iterdir()) == []
    lease.release()


def test_another_user_gets_another_block() -> None:
    lease = BlockLease()
    ours = lease.acquire().number
    theirs = as_user(STRANGER, lambda: BlockLease().acquire().number)
    assert theirs != ours
    lease.release()


def test_a_block_that_a_program_has_ports_of_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    lease = BlockLease()
    number = lease.acquire().number
    lease.release()
    monkeypatch.setattr(random.SystemRandom, "sample", lambda *_: [number])
    with socket.socket() as other:
        other.bind((Block(number).service(Site.SECONDARY, POSTGRES), POSTGRES.port))
        other.listen()
        with pytest.raises(NoFreeBlock, match=r"ports are taken by other programs: 5432 \(postgres\)"):
            BlockLease().acquire()


def test_an_address_says_caller_site_and_service() -> None:
    block = Block(9)
    assert block.service(Site.PRIMARY, POSTGRES) == "127.9.1.5"
    assert block.link(Caller.ORCHESTRATOR, Site.SECONDARY, AWS) == "127.9.132.6"
    assert block.pod(Site.SECONDARY, 7) == "127.9.202.8"
    assert block.pod(Site.SECONDARY, 250) == "127.9.212.1"
    pods = {block.pod(site, index) for site in Site for index in range(PODS_MOST)}
    assert len(pods) == len(Site) * PODS_MOST


def test_a_port_that_another_program_has_is_named(block: Block) -> None:
    assert taken_ports(block) == []
    with socket.socket() as other:
        other.bind((block.service(Site.SECONDARY, POSTGRES), POSTGRES.port))
        other.listen()
        assert taken_ports(block) == ["5432 (postgres)"]
