"""The witness, and those who tell it."""

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.environments.embedded.addresses import WITNESS, BlockLease, Site
from harness.environments.embedded.layout import leases_root
from harness.lines import serve_lines
from loadgen.witness import Witness, WitnessClient
from tests.harness.embedded.conftest import until


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    lease = BlockLease(leases_root())
    yield lease.acquire(tmp_path).service(Site.OUTSIDE, WITNESS)
    lease.release()


def serve(address: str, log: Path) -> None:
    witness = Witness(log)
    threading.Thread(
        target=lambda: asyncio.run(serve_lines(address, WITNESS.port, "token", witness.handle)),
        daemon=True).start()


def records(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def test_what_is_told_is_remembered_in_order_with_the_time_of_hearing(
    address: str, tmp_path: Path
) -> None:
    serve(address, tmp_path / "log")
    client = WitnessClient(address, WITNESS.port, "token")
    for number in range(100):
        client.tell(e="ack", n=number)
    assert client.flush(10)
    assert [r["n"] for r in records(tmp_path / "log")] == list(range(100))
    assert all(r["w"] >= r["t"] for r in records(tmp_path / "log"))


def test_what_is_told_while_the_witness_is_away_arrives_when_it_is_back(
    address: str, tmp_path: Path
) -> None:
    client = WitnessClient(address, WITNESS.port, "token")
    client.tell(e="ack", n=1)
    assert not client.flush(0.3)
    serve(address, tmp_path / "log")
    until(lambda: len(records(tmp_path / "log")) == 1)
    assert client.dropped == 0
