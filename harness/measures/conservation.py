"""Conservation: every acknowledged write of the run ends as exactly one of held, lost, or recovered later.

A write is **acknowledged** when a client got success and told the witness. Streams: ``metadata`` (ledger rows, and
Airflow's own acknowledgements: Dag runs created, task states, XComs), ``task-logs`` and ``images`` (objects). Each look
into the databases and buckets of the active site must show every write that was acknowledged before it, of every
epoch, site and Deployment:

* **held**: every look shows it, with the content that was acknowledged;
* **lost**: a look does not show it, nor does the last one; it was lost *at* the transition between that look and the
  one before it, or at none;
* **recovered later**: a look did not show it, the last one does;
* **corrupted**: it is there with another content;
* **misplaced**: it is in another Deployment's database, and not in its own (a second copy counts as misplaced, too);
* **duplicated**: a ledger row is there twice; **phantom**: one is there that nobody ever attempted.

A record that was sent twice counts once. A task's success is there if the very try that was acknowledged is (by its
start date): one that was forgotten and run again was lost. Of an XCom or an object that was written again, the last
acknowledgement counts; an object that a look does not show at all was lost, though it was written again afterwards.

It does **not** say anything about writes that were never acknowledged (**unknown**: they may be there or not), nor
about those acknowledged after the last look (**unjudged**). Phantoms are looked for among ledger rows only: Airflow
writes much by itself that no client attempted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from harness.measures.history import History
from harness.measures.result import Fates

STREAMS = ("metadata", "task-logs", "images")
OBJECTS = {"task-logs": "log", "images": "image"}
"""Streams of objects, and what a look calls one of theirs."""
EXAMPLES = 5
STRANGE = ("corrupted", "misplaced", "duplicated", "phantom")
"""None of these may be, whatever a drill asks for."""
FATES = ("lost", "recovered_later", *STRANGE)

VIEWS = """
create or replace temp table writers as
    select row_number() over () as id, d, wr from (
        select d, wr from witness where s = 'ledger'
        union select coalesce(o, d), wr from held where f = 'row');
create or replace temp view ledger as
    select id << 40 | n as row, e, d, wr, n, r, t, c from witness join writers using (d, wr) where s = 'ledger';
create or replace temp view ledger_held as
    select id << 40 | n as row, snapshot, held.d as found, writers.d as d, writers.wr as wr, n, c
    from held join writers on writers.d = coalesce(held.o, held.d) and writers.wr = held.wr where f = 'row';
create or replace temp table airflow_acks as
    select k, d, dag, run, coalesce(task, '') as task, coalesce(map, 0) as map, coalesce(key, '') as key, r,
           min(t) as t, c from (
        select *, k = 'xcom' and t < max(t) over (partition by k, d, dag, run, task, map, key) as superseded
        from witness where e = 'ack' and s = 'airflow')
    where not superseded group by all;
create or replace temp view airflow_held as
    select case f when 'run' then 'dagrun' when 'ti' then 'state' else f end as k, d, dag, run,
           coalesce(task, '') as task, coalesce(map, 0) as map, coalesce(key, '') as key, c, snapshot
    from held where f in ('run', 'xcom') or f = 'ti' and state = 'success';
create or replace temp table object_acks as
    select s, key, arg_max(coalesce(d, ''), t) as d, arg_max(r, t) as r, max(t) as t, arg_max(c, t) as c,
           min(t) as first
    from witness where e = 'ack' and s in ('task-logs', 'images') group by s, key;
create or replace temp table superseded as
    select * from (
        select s, key, coalesce(d, '') as d, r, t, lead(t) over (partition by s, key order by t) as until
        from witness where e = 'ack' and s in ('task-logs', 'images')
            and (s, key) in (select s, key from object_acks where first < t))
    where until > t;
create or replace table absent (stream varchar, part varchar, d varchar, r varchar, t double, ident varchar,
                                look integer, fate varchar);
create or replace table strange (d varchar, ident varchar, look integer, fate varchar)
"""
"""A write as what identifies it, on the witness's side and on the look's.

A ledger row is one number (its writer's id in the upper bits), so that a join over tens of millions of rows holds
nothing but integers. ``absent``: acknowledged writes that a look does not show as they were acknowledged;
``strange``: ledger rows that a look shows and should not.
"""

LEDGER = """
insert into absent
    select distinct 'metadata', 'ledger', a.d, a.r, a.t, concat_ws(' ', 'row', a.n, 'of', a.wr), $look,
           case when h.row is null then 'absent' else 'corrupted' end
    from ledger a left join (
        select row, c from ledger_held where snapshot = $snapshot and found = d) h using (row)
    where a.e = 'ack' and a.t <= $began and (h.row is null or h.c is distinct from a.c)"""
AIRFLOW = """
insert into absent
    select 'metadata', a.k, a.d, a.r, a.t, concat_ws(' ', a.k, a.dag, a.run, a.task, a.map, nullif(a.key, '')), $look,
           case when a.k = 'xcom' and h.there then 'corrupted' else 'absent' end
    from airflow_acks a left join (
        select k, d, dag, run, task, map, key, any_value(c) as c, true as there
        from airflow_held where snapshot = $snapshot group by all) h using (k, d, dag, run, task, map, key)
    where a.t <= $began and (h.there is null or a.k <> 'dagrun' and h.c is distinct from a.c)"""
OBJECT = """
insert into absent
    select a.s, $fact, a.d, a.r, a.t, a.key, $look, case when h.key is null then 'absent' else 'corrupted' end
    from object_acks a left join (
        select key, any_value(c) as c from held where snapshot = $snapshot and f = $fact group by key) h using (key)
    where a.s = $stream and a.t <= $began and (h.key is null or h.c is distinct from a.c)"""
OBJECT_ONCE = """
insert into absent
    select a.s, $fact, a.d, a.r, a.t, a.key, $look, 'absent'
    from superseded a anti join (select key from held where snapshot = $snapshot and f = $fact) using (key)
    where a.s = $stream and a.t <= $began and a.until > $began"""
"""Of an object that was written again after a look: whether the look lacks what was written before it."""
MISPLACED = """
insert into strange
    select d, concat_ws(' ', 'row', n, 'of', wr, 'in the database of', found), $look, 'misplaced'
    from ledger_held where snapshot = $snapshot and found <> d"""
PHANTOM = """
insert into strange
    select d, concat_ws(' ', 'row', n, 'of', wr), $look, 'phantom'
    from ledger_held anti join ledger using (row) where snapshot = $snapshot and found = d"""
DUPLICATED = """
insert into strange
    select d, concat_ws(' ', 'row', n, 'of', wr, 'twice'), $look, 'duplicated'
    from ledger_held where snapshot = $snapshot and found = d
    group by d, row, n, wr having count(*) > 1"""
REPEATS = "select count(*) - count(distinct row) from ledger_held where snapshot = $snapshot and found = d"


def account(history: History) -> None:
    """Follow every write through all looks; makes the tables ``fates``, ``strange`` and ``acked``.

    ``fates(stream, part, d, r, t, ident, fate, lost_at)``: a row for each write that is not held; ``lost_at`` is the
    index of the transition, or null. ``strange(d, ident, look, fate)``: ledger rows that should not be where they
    are. ``acked(stream, d, acknowledged, unjudged)``: counts.
    """
    tables = history.tables
    tables.db.execute(VIEWS)
    for look in history.looks:
        at = {"look": look.order, "snapshot": look.snapshot, "began": look.began}
        tables.db.execute(LEDGER, at)
        tables.db.execute(AIRFLOW, at)
        for stream, fact in OBJECTS.items():
            tables.db.execute(OBJECT, {**at, "stream": stream, "fact": fact})
            tables.db.execute(OBJECT_ONCE, {**at, "stream": stream, "fact": fact})
        place = {"look": look.order, "snapshot": look.snapshot}
        tables.db.execute(MISPLACED, place)
        tables.db.execute(PHANTOM, place)
        if tables.value(REPEATS, snapshot=look.snapshot):
            tables.db.execute(DUPLICATED, place)
    _follow(history)
    last = history.last_look
    tables.db.execute(f"""
        create or replace table acked as
        select 'metadata' as stream, d, count(*) as acknowledged, count(*) filter (t > $last) as unjudged
        from ({ledger_acks(history)}) group by d
        union all select 'metadata', d, count(*), count(*) filter (t > $last) from airflow_acks group by d
        union all select s, d, count(*), count(*) filter (first > $last) from object_acks group by s, d""",
        {"last": last.began if last else -1.0})


def ledger_acks(history: History) -> str:
    """A query of the acknowledged ledger rows (``d``, ``r``, ``t``), each once."""
    # A record may have been sent twice; where none was, nothing needs to be told apart.
    if history.whole:
        return "select d, r, t from witness where e = 'ack' and s = 'ledger'"
    return "select any_value(d) as d, any_value(r) as r, min(t) as t from ledger where e = 'ack' group by row"


def _follow(history: History) -> None:
    """From what each look lacks to one fate a write."""
    tables, looks = history.tables, history.looks
    tables.make("between_looks", {"look": "integer", "d": "varchar", "move": "integer"}, _moves_between(history))
    last = looks[-1].order if looks else -1
    tables.db.execute(f"""
        create or replace table fates as
        with elsewhere as (
            select distinct d, split_part(ident, ' in the database', 1) as ident, look
            from strange where fate = 'misplaced'),
        seen as (
            select absent.* replace (case when elsewhere.d is null then fate else 'misplaced' end as fate)
            from absent left join elsewhere using (d, ident, look)),
        one as (
            select stream, part, d, r, min(t) as t, ident, min(look) as look,
                   bool_or(fate = 'corrupted') as corrupted, bool_or(fate = 'misplaced') as misplaced,
                   max(look) = {last} as at_last
            from seen group by stream, part, d, r, ident)
        select stream, part, d, r, t, ident,
               case when corrupted then 'corrupted' when misplaced then 'misplaced'
                    when at_last then 'lost' else 'recovered_later' end as fate, move as lost_at
        from one left join between_looks using (look, d)""")


def _moves_between(history: History) -> list[tuple[int, str, int]]:
    """For each look and Deployment its last transition since the look before; ``""``: of what belongs to none."""
    found, since = [], float("-inf")
    for look in history.looks:
        due = [m for m in history.moves if since <= m.accepted < look.began]
        found += [(look.order, name, move.index) for move in due for name in (*move.deployments, "")]
        since = look.began
    return [(look, name, move) for (look, name), move in {(look, name): move for look, name, move in found}.items()]


def fates(history: History) -> dict[str, dict[str, Fates]]:
    """What became of the writes of each stream, by Deployment; those of no Deployment are under ``""``."""
    tables = history.tables
    _find_unanswered(history)
    acked = {(row["d"], row["stream"]): row for row in tables.rows(
        "select d, stream, sum(acknowledged)::bigint as acknowledged, sum(unjudged)::bigint as unjudged"
        " from acked group by d, stream")}
    counts: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
    examples: dict[tuple[str, str], dict[str, list[str]]] = defaultdict(dict)
    for row in tables.rows(f"""
            select d, stream, if(fate = 'misplaced', 'elsewhere', fate) as fate, count(*) as count,
                   list(concat_ws(': ', d, ident) order by t, ident)[:{EXAMPLES}] as some
            from fates group by all
            union all
            select d, 'metadata', fate, count(distinct ident),
                   list_sort(list(distinct concat_ws(': ', d, ident)))[:{EXAMPLES}]
            from strange group by d, fate"""):
        counts[row["d"], row["stream"]][row["fate"]] = row["count"]
        if row["fate"] in FATES:
            examples[row["d"], row["stream"]][row["fate"]] = row["some"]
    unknown = {row["d"]: row for row in tables.rows(
        "select d, count(*) as all, count(*) filter (there) as there from unanswered group by d")}
    names = {*history.fleet, *(d for d, _ in acked), *(d for d, _ in counts)}
    return {name: {stream: _fates(acked.get((name, stream), {}), counts[name, stream], examples[name, stream],
                                  unknown.get(name, {}) if stream == "metadata" else {})
                   for stream in STREAMS} for name in sorted(names)}


def total(found: Mapping[str, Mapping[str, Fates]], stream: str) -> Fates:
    """The sum of a stream over all Deployments."""
    parts = [by_stream[stream] for by_stream in found.values()]
    examples: dict[str, list[str]] = {}
    for part in parts:
        for fate, some in part.examples.items():
            examples[fate] = [*examples.get(fate, []), *some][:EXAMPLES]
    sums = {name: sum(getattr(part, name) for part in parts)
            for name in Fates.model_fields if name != "examples"}
    return Fates(**sums, examples=examples)


def _fates(acked: Mapping[str, Any], counts: Mapping[str, int], examples: dict[str, list[str]],
           unknown: Mapping[str, int]) -> Fates:
    found = {fate: counts.get(fate, 0) for fate in FATES}
    acknowledged, unjudged = acked.get("acknowledged", 0), acked.get("unjudged", 0)
    # Of a misplaced row there may be a copy where it belongs: that one is held.
    gone = found["lost"] + found["recovered_later"] + found["corrupted"] + counts.get("elsewhere", 0)
    return Fates(acknowledged=acknowledged, held=max(0, acknowledged - unjudged - gone), unjudged=unjudged,
                 unknown=unknown.get("all", 0), unknown_held=unknown.get("there", 0), examples=examples, **found)


def _find_unanswered(history: History) -> None:
    """Ledger rows that were attempted and never answered, and whether the last look shows them."""
    last = history.last_look
    history.tables.db.execute("""
        create or replace table unanswered as
        select distinct d, row, row in (select row from ledger_held where snapshot = $last) as there
        from ledger anti join (select row from ledger where e = 'ack') using (row) where e = 'try'""",
        {"last": last.snapshot if last else ""})
