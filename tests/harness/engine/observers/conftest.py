"""A real PostgreSQL with the metadata tables of the installed Airflow."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from harness.environments.base import DatabaseAccess
from harness.environments.embedded.addresses import POSTGRES, BlockLease, Site
from harness.environments.embedded.postgres import Mode, PostgresMember

PASSWORD = "pg-secret"
TEMPLATE = "made_by_airflow"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresMember]:
    """A server that runs."""
    # Not below tmp_path: PostgreSQL runs as an unprivileged user when we are root.
    root = Path(tempfile.mkdtemp(prefix="drill-test-"))
    root.chmod(0o711)
    lease = BlockLease()
    host = lease.acquire().service(Site.PRIMARY, POSTGRES)
    made = PostgresMember(root / "postgres", host=host, port=POSTGRES.port, password=PASSWORD,
                          replication_password="unused", source_host="127.0.0.1")
    made.initialise()
    made.start(Mode.WRITER)
    yield made
    made.stop(immediate=True)
    lease.release()
    shutil.rmtree(root)


@pytest.fixture(scope="module")
def template(server: PostgresMember, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database with Airflow's own tables, as its models say."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_HOME", str(tmp_path_factory.mktemp("airflow")))
        from airflow.models import import_all_models
        from airflow.models.base import Base
        from sqlalchemy import create_engine

        import_all_models()
    with server.connect() as connection:
        connection.execute(f"create database {TEMPLATE}")
    engine = create_engine(
        f"postgresql+psycopg2://postgres:{PASSWORD}@{server.host}:{server.port}/{TEMPLATE}")
    Base.metadata.create_all(engine)
    engine.dispose()
    return TEMPLATE


class Databases:
    """Metadata databases of some Deployments, in one server."""

    def __init__(self, server: PostgresMember, template: str) -> None:
        self._server, self._template = server, template
        self.access: dict[str, DatabaseAccess] = {}

    def make(self, deployment: str) -> psycopg.Connection[Any]:
        """A new one; a connection to it in which foreign keys are not looked at."""
        name = f"airflow_{deployment.replace('-', '_')}"
        with self._server.connect() as connection:
            connection.execute(f"create database {name} template {self._template}")
        self.access[deployment] = DatabaseAccess(self._server.host, self._server.port, "postgres", PASSWORD, name)
        made = self._server.connect(name)
        made.execute("set session_replication_role = replica")
        return made

    def remove(self) -> None:
        with self._server.connect() as connection:
            for access in self.access.values():
                connection.execute(f"drop database {access.database} with (force)")


@pytest.fixture
def databases(server: PostgresMember, template: str) -> Iterator[Databases]:
    made = Databases(server, template)
    yield made
    made.remove()
