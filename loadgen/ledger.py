"""The ledger writers of one region: ``python -m loadgen.ledger`` (runs as a pod in each region).

Into every metadata database of its region's PostgreSQL it commits numbered rows at a fixed rate,
and tells the witness of each attempt and of each acknowledgement. A writer runs in *both* regions
all the time: in the standby it is refused (the database is headless), and if an old writer's
database ever acknowledges a commit after a promotion, the witness hears of it from here. Each row names
its Deployment and has a payload of its own, so that a row in another database, or with another payload,
is found out.

Whether there is anything to write or not, the witness hears every few seconds that the region's writers
are alive: a silence is then the line's, or the region's.

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

from loadgen.content import content
from loadgen.images import ImagePusher
from loadgen.witness import WitnessClient

TABLE = "dr_drill_ledger"
CREATE = f"""
create table if not exists {TABLE} (
    deployment text not null, writer text not null, n bigint not null, region text not null,
    payload text not null, committed timestamptz not null default clock_timestamp(), primary key (writer, n))
"""
LOOK_FOR_DATABASES_S = 1.0
RETRY_S = 0.5
STATEMENT_TIMEOUT_MS = 5000
COMMIT_S = 2.0
"""A commit that takes longer waits for a standby that is not there."""
COMMIT = "select pg_logical_emit_message(true, 'dr-drill', 'does it commit?')"
"""Leaves nothing but a record in the write-ahead log, and waits at its commit like any other write."""
BEAT_S = 2.0


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
        self._filling = base64.b64encode(os.urandom(size)).decode()[:size]
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

    async def takes_writes(self) -> bool:
        """Whether the region's database commits, tried now: one that is cut off may say that it is the writer."""
        try:
            async with asyncio.timeout(COMMIT_S), await self._connect("postgres") as connection:
                await connection.execute(COMMIT)
        except (psycopg.Error, OSError):  # a time-out is one
            return False
        return True

    async def beat(self) -> None:
        """Tell the witness for ever that the region's writers are alive."""
        while True:
            self._witness.tell(e="beat", r=self._region, n=time.monotonic_ns() // 1_000_000)
            await asyncio.sleep(BEAT_S)

    async def _write_forever(self, database: str) -> None:
        deployment = database.removeprefix("airflow_").replace("_", "-")
        number = 0
        while True:
            await self.accepts.wait()
            try:
                async with await self._connect(database) as connection:
                    await connection.execute(CREATE)
                    insert = sql.SQL("insert into {} (deployment, writer, n, region, payload)"
                                     " values (%s, %s, %s, %s, %s)").format(sql.Identifier(TABLE))
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
                        payload = payload_of(deployment, number, self._filling)
                        self._tell("try", deployment, number, payload)
                        await connection.execute(
                            insert, (deployment, self._writer, number, self._region, payload))
                        self._tell("ack", deployment, number, payload)
            except (psycopg.Error, OSError):
                await asyncio.sleep(RETRY_S)

    def _tell(self, event: str, deployment: str, number: int, payload: str) -> None:
        self._witness.tell(e=event, s="ledger", d=deployment, r=self._region, wr=self._writer, n=number,
                           c=content(payload.encode()))

    async def _connect(self, database: str) -> psycopg.AsyncConnection[tuple[object, ...]]:
        return await psycopg.AsyncConnection.connect(
            host=self._host, user="postgres", password=self._password, dbname=database,
            connect_timeout=2, autocommit=True,
            options=f"-c statement_timeout={STATEMENT_TIMEOUT_MS}",
        )


def payload_of(deployment: str, number: int, filling: str) -> str:
    """What a row holds: its own name, then what makes it as long as ``filling`` (if that is longer)."""
    name = f"{deployment}/{number} "
    return name + filling[len(name):]


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
    # The only client that is there in both regions all the time.
    witness = WitnessClient.of_pod(patrols=True)
    ledger = Ledger(region, witness)
    await asyncio.gather(ledger.run(), ledger.beat(), ImagePusher(region, witness).run(ledger.takes_writes))


if __name__ == "__main__":
    uvloop.run(main())
