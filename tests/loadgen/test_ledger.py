"""The ledger writers, with a real PostgreSQL."""

import asyncio
import time

import pytest

from harness.environments.embedded.postgres import PostgresMember
from loadgen.ledger import Ledger
from tests.harness.engine.observers.conftest import PASSWORD
from tests.harness.engine.observers.conftest import server as server
from tests.loadgen.conftest import Told

pytestmark = pytest.mark.real


@pytest.fixture
def ledger(server: PostgresMember, told: Told, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    for name, value in {"ADMIN_HOST": server.host, "ADMIN_PASSWORD": PASSWORD, "LEDGER_ROWS_PER_SECOND": "50",
                        "LEDGER_ROW_BYTES": "80"}.items():
        monkeypatch.setenv(name, value)
    return Ledger("west", told)  # type: ignore[arg-type]


def test_what_is_acknowledged_is_in_the_database_that_it_names_with_that_content(
    server: PostgresMember, ledger: Ledger, told: Told
) -> None:
    for name in ("airflow_team_00", "airflow_team_01"):
        with server.connect() as connection:
            connection.execute(f"create database {name}")

    async def write() -> None:
        writing = asyncio.create_task(ledger.run())
        while len({record["d"] for record in told.of("ack") if record["n"] >= 5}) < 2:
            await asyncio.sleep(0.01)
            assert not writing.done()
        writing.cancel()

    asyncio.run(asyncio.wait_for(write(), 30))
    acknowledged = {(r["d"], r["wr"], r["n"], r["c"]) for r in told.of("ack", "ledger")}
    assert acknowledged <= {(r["d"], r["wr"], r["n"], r["c"]) for r in told.of("try", "ledger")}
    held = set()
    for deployment in ("team-00", "team-01"):
        with server.connect(f"airflow_{deployment.replace('-', '_')}") as connection:
            held |= {(deployment, *row) for row in connection.execute(
                "select writer, n, ('x' || left(md5(payload), 15))::bit(60)::bigint from dr_drill_ledger"
                " where deployment = %s and length(payload) = 80", (deployment,))}
    assert acknowledged <= held
    assert len({c for *_, c in acknowledged}) == len(acknowledged)


def test_whether_the_database_takes_writes_is_asked_of_it_now(server: PostgresMember, ledger: Ledger) -> None:
    assert asyncio.run(ledger.takes_writes())
    ledger._host = "127.0.0.1"  # where no PostgreSQL listens
    assert not asyncio.run(ledger.takes_writes())


def test_a_regions_writers_say_that_they_live_whether_they_can_write_or_not(
    ledger: Ledger, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loadgen.ledger.BEAT_S", 0.01)
    ledger._host = "127.0.0.1"

    async def live() -> None:
        living = [asyncio.create_task(each) for each in (ledger.run(), ledger.beat())]
        while len(told.records) < 3:
            await asyncio.sleep(0.01)
        for each in living:
            each.cancel()

    asyncio.run(asyncio.wait_for(live(), 30))
    assert [{**record, "n": None} for record in told.records[:3]] == [{"e": "beat", "r": "west", "n": None}] * 3
    clocks = [record["n"] for record in told.records[:3]]
    assert clocks == sorted(clocks)
    assert abs(clocks[-1] / 1000 - time.monotonic()) < 60
