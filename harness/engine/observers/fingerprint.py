"""What a metadata database holds, as facts: one JSON line an item, each with its content.

The database itself computes the content (``loadgen.content``: the first 15 hexadecimal digits of an MD5) and writes
the lines, so that a look costs the observer little more than the bytes, and is of what is *stored*: a variable's
ciphertext counts, not what somebody with the key would read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, LiteralString

import psycopg
from psycopg import sql

TABLE = "dr_drill_ledger"
"""The ledger's."""


def _content(text: LiteralString) -> LiteralString:
    return "('x' || left(md5(" + text + "), 15))::bit(60)::bigint as c"


# Of a whole row without its serial number, which nobody has set: a column that a later version adds counts too.
# With a key, because what people store in these may be secret, and a digest of a short secret can be guessed.
_ITEM = _content("{key} || (to_jsonb(item) - 'id')::text")
_RUN = _content("{key} || jsonb_build_array(run_type, logical_date, run_after, conf)::text")
FACTS: dict[str, LiteralString] = {
    "ti": "select dag_id as dag, run_id as run, task_id as task, map_index as map, state, try_number as try,"
          " max_tries as retries, (extract(epoch from start_date) * 1000000)::bigint as c from task_instance",
    "run": "select dag_id as dag, run_id as run, state, " + _RUN + " from dag_run",
    "xcom": "select dag_id as dag, run_id as run, task_id as task, map_index as map, key, "
            + _content("value::text") + " from xcom",
    "variable": "select key, " + _ITEM + " from variable item",
    "connection": "select conn_id as key, " + _ITEM + " from connection item",
    "pool": "select pool as key, " + _ITEM + " from slot_pool item",
}
"""What is taken of Airflow's own tables."""
ROWS: LiteralString = ("select deployment as o, writer as wr, n, " + _content("payload") + " from dr_drill_ledger")
"""What is taken of the ledger, where there is one."""
LINES: LiteralString = """
    copy (select row_to_json(line) from (select {fact} as f, {deployment} as d, facts.* from ({query}) facts) line)
    to stdout (format csv, delimiter e'\\x01', quote e'\\x02')"""
"""As CSV of one column whose special characters JSON cannot hold: so nothing in a line is escaped twice."""


def facts(conninfo: str, deployment: str, key: str) -> Iterator[bytes]:
    """The lines of one database, all of one moment; ``deployment``: whose it is (``d``).

    ``key``: goes into the digests of what nobody but the observer compares with anything (variables, connections,
    pools, what a Dag run was asked for), so that who reads the evidence cannot try guesses against them.

    Raises:
        psycopg.Error: when the database does not answer.
    """
    # In UTC, whatever the server's own time zone is: it is part of a time as text.
    with psycopg.connect(conninfo, options="-c timezone=UTC -c client_encoding=UTF8") as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        queries = dict(FACTS)
        if _has_ledger(connection):
            queries["row"] = ROWS
        for fact, query in queries.items():
            statement = sql.SQL(LINES).format(
                fact=sql.Literal(fact), deployment=sql.Literal(deployment),
                query=sql.SQL(query).format(key=sql.Literal(key)))
            with connection.cursor().copy(statement) as copy:
                for line in copy:
                    yield bytes(line)


def _has_ledger(connection: psycopg.Connection[Any]) -> bool:
    found = connection.execute("select to_regclass(%s)", (TABLE,)).fetchone()
    return bool(found and found[0])
