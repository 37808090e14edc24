"""Blocks of addresses, and the mark of ownership of processes."""

import os
import socket
import subprocess
import sys
from pathlib import Path

from harness.environments.embedded.addresses import (
    AWS,
    PODS_MOST,
    POSTGRES,
    Block,
    BlockLease,
    Caller,
    Site,
    taken_ports,
)
from harness.environments.embedded.processes import kill_in, processes_in
from tests.harness.embedded.conftest import until


def test_two_leases_never_have_the_same_block(tmp_path: Path) -> None:
    first, second = BlockLease(tmp_path / "b"), BlockLease(tmp_path / "b")
    assert first.acquire(tmp_path).number != second.acquire(tmp_path).number
    first.release()
    second.release()


def test_a_block_whose_environment_still_exists_is_not_leased_again(tmp_path: Path) -> None:
    kept = BlockLease(tmp_path / "b")
    number = kept.acquire(tmp_path).number
    os.close(kept._fd)  # the process died, its environment was kept
    for _ in range(20):
        other = BlockLease(tmp_path / "b")
        assert other.acquire(tmp_path / "else").number != number
        other.release()


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


def test_processes_are_found_by_their_directory_even_when_their_parent_is_dead(
    tmp_path: Path,
) -> None:
    inside = tmp_path / "site" / "deep"
    inside.mkdir(parents=True)
    script = ("import subprocess, sys, os;"
              "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'],"
              " start_new_session=True); os._exit(0)")
    subprocess.run([sys.executable, "-c", script], cwd=inside, check=True)
    assert len(until(lambda: processes_in(tmp_path / "site"))) == 1
    assert processes_in(tmp_path / "sit") == set()  # a prefix of a name is not a directory
    assert kill_in(tmp_path / "site") == 1
    assert processes_in(tmp_path / "site") == set()
