"""What was lost: acknowledged before the fault, and not there once the drill had settled.

**RPO of a stream** = t_fault - the acknowledgement time of the oldest lost write (0 where none is
lost), with the count. A write is *acknowledged* when a client got success and told the witness.
Streams: ``metadata`` (ledger rows, and Airflow's own acknowledgements: Dag runs created, task
states, XComs), ``task-logs`` and ``images`` (objects). What is absent after the failover but there
again at the end of the run, once the old region is back, is counted as lost *and* shown as recovered later.

It does **not** mean: what *would* have been lost at another moment (see ``exposure``), nor anything
about writes that were never acknowledged: those are ``unknown``, and may be there (``recovered``) or
not. Of a region that dies the acknowledgements of its last 30 ms may never have reached the witness (it is
told in batches); they are not counted. ``phantom`` writes are there and were never attempted; there must be
none.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from harness.measures.interval import Interval
from harness.tables import Tables

EXAMPLES = 5
CLOCK_ERROR_S = 0.01
"""One host's clock serves all; what is left is the time between an event and its time stamp."""


@dataclass(frozen=True)
class Loss:
    """What one stream lost."""

    stream: str
    acknowledged: int
    lost: int
    window: Interval
    recovered_later: int = 0
    unknown: int = 0
    recovered: int = 0
    phantom: int = 0
    parts: dict[str, int] = field(default_factory=dict)
    """Lost writes by part of the stream (``ledger``, ``state``, ``xcom``, ``dagrun``)."""
    examples: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class Stranded:
    """Writes that the old writer acknowledged *after* the fault and that the new one never had.

    By its definition the RPO does not count them: it ends at the fault. A writer that lives on behind a
    partition goes on acknowledging, and all of that is lost.
    """

    count: int
    window: Interval
    """Seconds from the fault to the last of them: how long the old writer went on; 0 for none."""


KEYS = """
create or replace temp table writers as
    select row_number() over () as id, d, wr from (
        select d, wr from witness where s = 'ledger'
        union select d, wr from held where f = 'row');
create or replace temp view ledger as
    select id << 40 | n as row, * from witness join writers using (d, wr) where s = 'ledger';
create or replace temp view ledger_held as
    select id << 40 | n as row, snapshot from held join writers using (d, wr) where f = 'row';
create or replace temp view airflow as
    select k, d, dag, run, coalesce(task, '') as task, coalesce(map, 0) as map,
           case when k <> 'state' then 0
                when n = max(n) over (partition by k, d, dag, run, task, map) then n
                else -1 end as try, n, t, r
    from witness where e = 'ack' and s = 'airflow';
create or replace temp view airflow_held as
    select case f when 'run' then 'dagrun' when 'ti' then 'state' else f end as k, d, dag, run,
           coalesce(task, '') as task, coalesce(map, 0) as map,
           case when f = 'ti' then try else 0 end as try, snapshot
    from held where f in ('run', 'xcom') or f = 'ti' and state = 'success'
"""
"""A write as what identifies it, on the witness's side and on the database's.

A ledger row is one number (its writer's id in the upper bits), so that a join over tens of millions of
rows holds nothing but integers. A task's success is identified with its try: one that was forgotten
is run again, and then the try number has grown past the one that was acknowledged, even if the task
succeeded in the end; so only the last acknowledged try (-1: an earlier one) can be there.
"""
KEY = "k, d, dag, run, task, map, try"


def metadata(tables: Tables, source: str, t_fault: float, settled: str, last: str) -> Loss:
    """The loss of the metadata databases.

    ``settled`` and ``last``: names of the snapshots taken after this transition and at the end.
    """
    tables.db.execute(KEYS)
    span = {"source": source, "t_fault": t_fault, "settled": settled}
    acked = "r = $source and t <= $t_fault"
    tables.db.execute(f"""
        create or replace temp table lost as
            select 'ledger' as part, 'ledger' as s, null::varchar as k, d, wr, n, t, r,
                   null::varchar as dag, null::varchar as run, null::varchar as task,
                   null::integer as map,
                   row in (select row from ledger_held where snapshot = $last) as later
            from ledger anti join (select row from ledger_held where snapshot = $settled)
                using (row)
            where e = 'ack' and {acked}
            union all
            select k, 'airflow', k, d, null, n, t, r, dag, run, task, map,
                   exists (select 1 from airflow_held h where h.snapshot = $last
                           and (h.k, h.d, h.dag, h.run, h.task, h.map, h.try)
                               = (a.k, a.d, a.dag, a.run, a.task, a.map, a.try))
            from airflow a
                anti join (select {KEY} from airflow_held where snapshot = $settled)
                using ({KEY})
            where {acked}""", span | {"last": last})
    acknowledged = tables.value(
        f"select count(*) from witness where e = 'ack' and s in ('ledger', 'airflow') and {acked}",
        source=source, t_fault=t_fault)
    unknown, recovered = tables.one("""
        select count(*), count(*) filter (
            row in (select row from ledger_held where snapshot = $settled))
        from ledger anti join (select row from ledger where e = 'ack') using (row)
        where e = 'try' and r = $source""", source=source, settled=settled)
    phantom = tables.value("""
        select count(*) from ledger_held anti join (select row from ledger where e = 'try') using (row)
        where snapshot = $settled""", settled=settled)
    return _loss(tables, "metadata", acknowledged, t_fault, unknown=unknown, recovered=recovered,
                 phantom=phantom)


def stranded(tables: Tables, source: str, t_fault: float, until: float, settled: str) -> Stranded:
    """Ledger rows that ``source`` acknowledged from the fault to ``until``, absent once settled.

    ``metadata`` must have been asked before: it makes the table of keys.
    """
    count, last = tables.one("""
        select count(*), max(t) from ledger
            anti join (select row from ledger_held where snapshot = $settled) using (row)
        where e = 'ack' and r = $source and t > $t_fault and t <= $until""",
        source=source, t_fault=t_fault, until=until, settled=settled)
    return Stranded(count, Interval(last - t_fault if count else 0.0, CLOCK_ERROR_S if count else 0.0))


OBJECTS = {"task-logs": "log", "images": "image"}
"""Streams of objects, and what a snapshot calls one of theirs."""
STREAMS = ("metadata", *OBJECTS)


def objects(tables: Tables, stream: str, source: str, t_fault: float, settled: str, last: str) -> Loss:
    """The loss of a stream of objects (one of ``OBJECTS``)."""
    acked = "e = 'ack' and s = $stream and r = $source and t <= $t_fault"
    span = {"stream": stream, "source": source, "t_fault": t_fault}
    tables.db.execute(f"""
        create or replace temp table lost as
            select $fact as part, s, d, r, t, key, v, exists (
                select 1 from held where f = $fact and snapshot = $last
                and held.key = witness.key) as later
            from witness anti join (
                select key from held where f = $fact and snapshot = $settled) using (key)
            where {acked}""", {**span, "fact": OBJECTS[stream], "settled": settled, "last": last})
    acknowledged = tables.value(f"select count(*) from witness where {acked}", **span)
    return _loss(tables, stream, acknowledged, t_fault)


def all_streams(tables: Tables, source: str, until: float, settled: str, last: str) -> dict[str, Loss]:
    """The loss of every stream, by its name."""
    return {"metadata": metadata(tables, source, until, settled, last)} | {
        stream: objects(tables, stream, source, until, settled, last) for stream in OBJECTS}


def _loss(tables: Tables, stream: str, acknowledged: int, t_fault: float, **more: int) -> Loss:
    """What the temporary table ``lost`` says."""
    count, oldest, later = tables.one(
        "select count(*), min(t), count(*) filter (later) from lost")
    window = Interval(0.0 if oldest is None else max(0.0, t_fault - oldest),
                      CLOCK_ERROR_S if count else 0.0)
    parts = {row["part"]: row["lost"] for row in tables.rows(
        "select part, count(*) as lost from lost group by 1 order by 1")}
    examples = tables.rows(
        f"select * exclude (part, later) from lost order by t limit {EXAMPLES}")
    return Loss(stream, acknowledged, count, window, later, parts=parts if stream == "metadata" else {},
                examples=tuple(examples), **more)
