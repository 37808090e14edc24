"""The ledger writers of one region: ``python -m loadgen.ledger`` (runs as a pod in each region).

Into every metadata database of its region's PostgreSQL it commits numbered rows at a fixed rate,
and tells the witness of each attempt and of each acknowledgement. A writer runs in *both* regions
all the time: in the standby it is refused (the database is headless), and if an old writer's
database ever acknowledges a commit after a promotion, the witness hears of it from here.

Open-loop: a row's time is fixed by the schedule, not by when the one before it was answered; a
database that hangs for two seconds leaves two seconds' rows unattempted, not unnoticed.
"""

from __future__ import annotations

import asyncio
import base64
import os
import random
import time
import uuid

import psycopg
import uvloop
from psycopg import sql

from loadgen.images import ImagePusher
from loadgen.witness import WitnessClient

TABLE = "dr_drill_ledger"
CREATE = f"""
create table if not exists {TABLE} (
    writer text not null, n bigint not null, region text not null, payload text not null,
    committed timestamptz not null default clock_timestamp(), primary key (writer, n))
"""
LOOK_FOR_DATABASES_S = 1.0
RETRY_S = 0.5
STATEMENT_TIMEOUT_MS = 5000


class Ledger:
    """The writers of one region."""

    def __init__(self, region: str, witness: WitnessClient) -> None:
        """Read where to write to from the pod's environment."""
        self._host = os.environ["ADMIN_HOST"]
        self._password = os.environ["ADMIN_PASSWORD"]
        self._region = region
        self._rate = float(os.environ["LEDGER_ROWS_PER_SECOND"])
        # Random, because PostgreSQL would compress a repeated letter to nothing.
        size = int(os.environ["LEDGER_ROW_BYTES"])
        self._payload = base64.b64encode(os.urandom(size)).decode()[:size]
        self._writer = f"{self._region}/{uuid.uuid4().hex[:8]}"
        self.accepts = asyncio.Event()
        """Set while the region's database takes writes."""
        self._witness = witness

    async def run(self) -> None:
        """Write into every Airflow database that there is; look for new ones now and then."""
        writers: dict[str, asyncio.Task[None]] = {}
        while True:
            try:
                async with await self._connect("postgres") as connection:
                    while not await _in_recovery(connection):
                        self.accepts.set()
                        for name in await _databases(connection):
                            if name not in writers:
                                writers[name] = asyncio.create_task(self._write_forever(name))
                        await asyncio.sleep(LOOK_FOR_DATABASES_S)
            except (psycopg.Error, OSError):
                pass
            # A standby, or gone. One server holds all databases: one connection a moment tells for all
            # writers whether it takes writes.
            self.accepts.clear()
            await asyncio.sleep(RETRY_S)

    async def _write_forever(self, database: str) -> None:
        deployment = database.removeprefix("airflow_").replace("_", "-")
        number = 0
        while True:
            await self.accepts.wait()
            try:
                async with await self._connect(database) as connection:
                    await connection.execute(CREATE)
                    insert = sql.SQL("insert into {} values (%s, %s, %s, %s)").format(
                        sql.Identifier(TABLE))
                    # Writers take turns: in step, they would leave gaps in which nothing is written.
                    due = time.monotonic() - random.random() / self._rate
                    while True:
                        due += 1 / self._rate
                        wait = due - time.monotonic()
                        if wait > 0:
                            await asyncio.sleep(wait)
                        elif wait < -1:
                            due = time.monotonic()  # rows missed in a hang are not made up for
                        number += 1
                        self._tell("try", deployment, number)
                        await connection.execute(
                            insert, (self._writer, number, self._region, self._payload))
                        self._tell("ack", deployment, number)
            except (psycopg.Error, OSError):
                await asyncio.sleep(RETRY_S)

    def _tell(self, event: str, deployment: str, number: int) -> None:
        self._witness.tell(
            e=event, s="ledger", d=deployment, r=self._region, wr=self._writer, n=number)

    async def _connect(self, database: str) -> psycopg.AsyncConnection[tuple[object, ...]]:
        return await psycopg.AsyncConnection.connect(
            host=self._host, user="postgres", password=self._password, dbname=database,
            connect_timeout=2, autocommit=True,
            options=f"-c statement_timeout={STATEMENT_TIMEOUT_MS}",
        )


async def _in_recovery(connection: psycopg.AsyncConnection[tuple[object, ...]]) -> bool:
    row = await (await connection.execute("select pg_is_in_recovery()")).fetchone()
    return row is None or bool(row[0])


async def _databases(connection: psycopg.AsyncConnection[tuple[object, ...]]) -> list[str]:
    cursor = await connection.execute(
        "select datname from pg_database where datname like 'airflow\\_%'"
        " and not datistemplate and datname <> 'airflow_template'")
    return [str(row[0]) for row in await cursor.fetchall()]


async def main() -> None:
    """Write rows and push images for ever."""
    region = os.environ["DR_DRILL_REGION"]
    witness = WitnessClient(
        os.environ["DR_DRILL_WITNESS_HOST"], int(os.environ["DR_DRILL_WITNESS_PORT"]),
        os.environ["DR_DRILL_WITNESS_TOKEN"])
    ledger = Ledger(region, witness)
    await asyncio.gather(ledger.run(), ImagePusher(region, witness).run(ledger.accepts))


if __name__ == "__main__":
    uvloop.run(main())
