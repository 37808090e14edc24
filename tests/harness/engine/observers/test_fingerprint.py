"""What a look reads of real metadata databases."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from harness.engine.observers.databases import snapshot
from harness.environments.base import DatabaseAccess
from harness.environments.embedded.postgres import PostgresMember
from loadgen.content import content, microseconds, text_content
from loadgen.ledger import CREATE, payload_of
from tests.harness.engine.observers.conftest import Databases

pytestmark = pytest.mark.real
STARTED = datetime(2026, 3, 29, 1, 30, 0, 123457, tzinfo=UTC)
SOME = ["", "a", "a b/c \\ \" ' \t\n", "manual__2026-01-01T00:00:00+00:00_x", "Grüße, 世界 \U0001f600", "\x7f\x01"]


@pytest.fixture
def held(tmp_path: Path) -> Callable[[Databases], list[dict[str, Any]]]:
    """Take a look; its facts."""

    def look(databases: Databases) -> list[dict[str, Any]]:
        path = tmp_path / "look.jsonl"
        lines = snapshot(path, databases.access, "key")
        found = [json.loads(line) for line in path.read_text().splitlines()]
        assert len(found) == lines
        return found

    return look


def of(facts: list[dict[str, Any]], fact: str) -> list[dict[str, Any]]:
    return [{k: v for k, v in each.items() if k != "f"} for each in facts if each["f"] == fact]


def changed(databases: Databases, connection: psycopg.Connection[Any], held: Any, statement: str) -> list[str]:
    """Which kinds of facts have another content after a statement."""

    def contents() -> dict[tuple[str, str], int]:
        return {(each["f"], each.get("key") or each.get("run")): each["c"] for each in held(databases)}

    before = contents()
    connection.execute(statement)
    after = contents()
    return sorted({fact for (fact, key), c in after.items() if before.get((fact, key)) != c})


@pytest.mark.parametrize("text", SOME)
def test_the_content_is_what_postgresql_computes(server: PostgresMember, text: str) -> None:
    with server.connect() as connection:
        row = connection.execute("select ('x' || left(md5(%s), 15))::bit(60)::bigint", (text,)).fetchone()
    assert row == (content(text.encode()),)
    assert 0 <= content(text.encode()) < 2**60


def test_a_ledger_row_names_its_deployment_and_has_the_content_that_was_acknowledged(
    databases: Databases, held: Any
) -> None:
    connection = databases.make("team-00")
    connection.execute(CREATE)
    for number, deployment in ((1, "team-00"), (2, "team-01")):
        connection.execute("insert into dr_drill_ledger (deployment, writer, n, region, payload)"
                           " values (%s, 'west/w', %s, 'west', %s)",
                           (deployment, number, payload_of(deployment, number, "x" * 40)))
    rows = sorted(of(held(databases), "row"), key=lambda row: row["n"])
    assert rows == [
        {"d": "team-00", "o": "team-00", "wr": "west/w", "n": 1,
         "c": content(payload_of("team-00", 1, "x" * 40).encode())},
        {"d": "team-00", "o": "team-01", "wr": "west/w", "n": 2,
         "c": content(payload_of("team-01", 2, "x" * 40).encode())}]


def test_payloads_differ_and_are_as_long_as_was_asked() -> None:
    payloads = {payload_of(d, n, "f" * 200) for d in ("team-00", "team-01") for n in range(1, 20)}
    assert len(payloads) == 38
    assert {len(payload) for payload in payloads} == {200}
    assert payload_of("team-00", 7, "f") == "team-00/7 "


def test_a_task_instance_has_its_tries_its_retries_and_when_its_try_started_to_the_microsecond(
    databases: Databases, held: Any
) -> None:
    connection = databases.make("team-00")
    insert = ("insert into task_instance (id, task_id, dag_id, run_id, map_index, state, try_number, max_tries, pool,"
              " pool_slots, start_date, span_status) values (gen_random_uuid(), %s, 'wide', 'r', -1, %s, %s, 2, 'p', 1,"
              " %s, '')")
    connection.execute(insert, ("ran", "success", 1, STARTED))
    connection.execute(insert, ("never", None, 0, None))
    found = {each["task"]: each for each in of(held(databases), "ti")}
    assert found["ran"] == {"d": "team-00", "dag": "wide", "run": "r", "task": "ran", "map": -1, "state": "success",
                            "try": 1, "retries": 2, "c": microseconds(STARTED)}
    assert (found["never"]["state"], found["never"]["c"]) == (None, None)


@pytest.mark.parametrize("value", SOME)
def test_an_xcom_has_the_content_that_was_acknowledged(databases: Databases, held: Any, value: str) -> None:
    from airflow.models.xcom import XComModel
    from sqlalchemy import create_engine, event
    from sqlalchemy.orm import Session

    databases.make("team-00").execute(
        "insert into dag_run (id, dag_id, run_id, run_type, run_after, clear_number, span_status)"
        " values (1, 'chain', 'r', 'manual', now(), 0, '')")
    access = databases.access["team-00"]
    engine = create_engine(f"postgresql+psycopg2://postgres:{access.password}@{access.host}:{access.port}"
                           f"/{access.database}")
    event.listen(engine, "connect", lambda raw, _: raw.cursor().execute("set session_replication_role = replica"))
    with Session(engine) as session:
        # As the task execution API does with what it is sent.
        XComModel.set("return_value", value, dag_id="chain", task_id="t", run_id="r", serialize=False, session=session)
        session.commit()
    engine.dispose()
    assert of(held(databases), "xcom") == [
        {"d": "team-00", "dag": "chain", "run": "r", "task": "t", "map": -1, "key": "return_value",
         "c": text_content(value)}]


def test_a_dag_run_changes_its_content_with_what_it_was_asked_for_and_not_with_how_far_it_is(
    databases: Databases, held: Any
) -> None:
    connection = databases.make("team-00")
    connection.execute(
        "insert into dag_run (id, dag_id, run_id, run_type, logical_date, run_after, conf, state, clear_number,"
        " span_status) values (1, 'wide', 'r', 'manual', null, %s, '{}', 'queued', 0, '')", (STARTED,))
    run, = of(held(databases), "run")
    assert {key: run[key] for key in ("d", "dag", "run", "state")} == {
        "d": "team-00", "dag": "wide", "run": "r", "state": "queued"}
    assert changed(databases, connection, held, "update dag_run set state = 'success', end_date = now()") == []
    for change in ("conf = '{\"a\": 1}'", "logical_date = now()", "run_after = now()", "run_type = 'backfill'"):
        assert changed(databases, connection, held, f"update dag_run set {change}") == ["run"], change


def test_the_content_of_a_dag_run_does_not_depend_on_the_servers_time_zone(databases: Databases, held: Any) -> None:
    connection = databases.make("team-00")
    connection.execute(
        "insert into dag_run (id, dag_id, run_id, run_type, run_after, clear_number, span_status)"
        " values (1, 'wide', 'r', 'manual', %s, 0, '')", (STARTED,))
    name = databases.access["team-00"].database
    assert changed(databases, connection, held, f"alter database {name} set timezone = 'Asia/Tokyo'") == []


def test_every_field_of_a_variable_a_connection_and_a_pool_counts(databases: Databases, held: Any) -> None:
    connection = databases.make("team-00")
    connection.execute("insert into variable (key, val, is_encrypted) values ('v', 'ciphertext', true)")
    connection.execute("insert into connection (conn_id, conn_type, host, schema, login, password, port, extra,"
                       " is_encrypted, is_extra_encrypted) values ('c', 'http', 'h', 's', 'l', 'p', 1, '{}', true, true)")
    connection.execute("insert into slot_pool (pool, slots, include_deferred) values ('p', 3, false)")
    facts = [(each["f"], each["d"], each["key"]) for each in held(databases)]
    assert facts == [("variable", "team-00", "v"), ("connection", "team-00", "c"), ("pool", "team-00", "p")]
    for table, fact, changes in (
            ("variable", "variable", ("val = 'x'", "description = 'd'", "is_encrypted = false")),
            ("connection", "connection", (
                "conn_type = 'ftp'", "host = 'x'", "schema = 'x'", "login = 'x'", "password = 'x'", "port = 2",
                "extra = '{\"a\": 1}'", "description = 'd'", "is_encrypted = false", "is_extra_encrypted = false")),
            ("slot_pool", "pool", ("slots = 4", "description = 'd'", "include_deferred = true"))):
        for change in changes:
            assert changed(databases, connection, held, f"update {table} set {change}") == [fact], change
        assert changed(databases, connection, held, f"update {table} set id = id + 100") == []


def test_digests_of_what_may_be_secret_have_a_key_and_those_that_clients_acknowledge_have_none(
        databases: Databases, tmp_path: Path) -> None:
    connection = databases.make("team-00")
    connection.execute("insert into variable (key, val, is_encrypted) values ('pin', '1234', false)")
    connection.execute("insert into connection (conn_id, conn_type, password, is_encrypted, is_extra_encrypted)"
                       " values ('c', 'http', 'p', false, false)")
    connection.execute(
        "insert into dag_run (id, dag_id, run_id, run_type, run_after, conf, clear_number, span_status)"
        " values (1, 'wide', 'r', 'manual', now(), '{\"pin\": 1234}', 0, '')")
    connection.execute(CREATE)
    connection.execute("insert into dr_drill_ledger (deployment, writer, n, region, payload)"
                       " values ('team-00', 'west/w', 1, 'west', 'x')")

    def look(key: str) -> dict[str, int]:
        snapshot(tmp_path / "look", databases.access, key)
        return {each["f"]: each["c"] for each in map(json.loads, (tmp_path / "look").read_text().splitlines())}

    first = look("one key")
    assert look("one key") == first
    assert {fact for fact, c in look("a key with a ' and a {brace}").items() if c == first[fact]} == {"row"}


def test_a_look_reads_every_database_whole_and_each_line_is_json(databases: Databases, held: Any) -> None:
    for index in range(6):
        connection = databases.make(f"team-{index:02d}")
        connection.execute("insert into variable (key, val, is_encrypted) select %s || n, n, false"
                           " from generate_series(1, 1000) n", ("ä\"\\\n\x01",))
        connection.close()
    facts = held(databases)
    assert {(each["d"], each["key"]) for each in facts} == {
        (f"team-{index:02d}", f"ä\"\\\n\x01{n}") for index in range(6) for n in range(1, 1001)}


def test_a_database_that_does_not_answer_is_not_read_as_empty(databases: Databases, held: Any) -> None:
    databases.make("team-00").close()
    databases.access["team-01"] = DatabaseAccess("127.0.0.1", 9, "postgres", "x")
    with pytest.raises(psycopg.OperationalError):
        held(databases)
    del databases.access["team-01"]
