"""Makes metadata databases; runs as a Job in the active region.

``python -m orchestrator.provision template`` migrates one database and stores the serialized
Dags in it (seconds); ``... deployment`` clones it for a Deployment (a tenth of a second), gives it
a login of its own and puts in the Deployment's Airflow connection and variables, encrypted with
its own fernet key. Each can be run again without harm.
"""

from __future__ import annotations

import os
import sys

import psycopg
from psycopg import sql

TEMPLATE = "airflow_template"
OWNER = "airflow"


def admin(database: str = "postgres") -> psycopg.Connection[tuple[object, ...]]:
    """A superuser connection, from the environment (``PGHOST``, ``PGPASSWORD``...)."""
    return psycopg.connect(
        host=os.environ["ADMIN_HOST"], user="postgres", password=os.environ["ADMIN_PASSWORD"],
        dbname=database, autocommit=True,
    )


def exists(connection: psycopg.Connection[tuple[object, ...]], query: str, name: str) -> bool:
    """Whether the query finds a row for the name."""
    return connection.execute(query, [name]).fetchone() is not None


def make_template() -> None:
    """Create the template database, migrate it, serialize the Dags into it."""
    with admin() as connection:
        if exists(connection, "select 1 from pg_database where datname = %s and datistemplate",
                  TEMPLATE):
            return
        if not exists(connection, "select 1 from pg_roles where rolname = %s", OWNER):
            connection.execute(
                sql.SQL("create role {} login password {}").format(
                    sql.Identifier(OWNER), sql.Literal(os.environ["ADMIN_PASSWORD"])))
        if not exists(connection, "select 1 from pg_database where datname = %s", TEMPLATE):
            connection.execute(sql.SQL("create database {} owner {}").format(
                sql.Identifier(TEMPLATE), sql.Identifier(OWNER)))
    airflow("db", "migrate")
    airflow("dags", "reserialize")
    with admin(TEMPLATE) as connection:
        connection.execute(
            "update dag set is_paused = not exists (select 1 from dag_tag"
            " where dag_tag.dag_id = dag.dag_id and name = 'synthetic')")
    with admin() as connection:
        connection.execute(sql.SQL("alter database {} is_template true").format(
            sql.Identifier(TEMPLATE)))


def airflow(*command: str) -> None:
    """Run an ``airflow`` command in this process, which may have imported Airflow already.

    Raises:
        SystemExit: when the command fails.
    """
    from airflow.__main__ import main

    sys.argv = ["airflow", *command]
    try:
        main()
    except SystemExit as end:
        if end.code:
            raise


def make_deployment() -> None:
    """Clone the template for one Deployment and put in what is its own."""
    database, user = os.environ["PROVISION_DB"], os.environ["PROVISION_USER"]
    with admin() as connection:
        if not exists(connection, "select 1 from pg_roles where rolname = %s", user):
            connection.execute(
                sql.SQL("create role {} login password {} in role {}").format(
                    sql.Identifier(user), sql.Literal(os.environ["PROVISION_PASSWORD"]),
                    sql.Identifier(OWNER)))
        if not exists(connection, "select 1 from pg_database where datname = %s", database):
            connection.execute(
                sql.SQL("create database {} template {} strategy file_copy owner {}").format(
                    sql.Identifier(database), sql.Identifier(TEMPLATE), sql.Identifier(user)))
        connection.execute(sql.SQL("revoke connect on database {} from public").format(
            sql.Identifier(database)))
    seed_airflow(os.environ["PROVISION_NAME"])


def seed_airflow(name: str) -> None:
    """Store the Deployment's connection and variables through Airflow's own models."""
    from airflow.models import Connection, Variable
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        if session.scalar(select(Connection).where(Connection.conn_id == "warehouse")) is None:
            session.add(Connection(
                conn_id="warehouse", conn_type="postgres", host=f"{name}.warehouse.test",
                login="reader", password=f"{name}-warehouse-secret"))
        Variable.set("deployment", name, session=session)
        Variable.set("carried_over", f"set before any failover, by {name}", session=session)


if __name__ == "__main__":
    {"template": make_template, "deployment": make_deployment}[sys.argv[1]]()
