"""The configuration of a member, as PostgreSQL itself reads it."""

import shutil
import tempfile
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from harness.environments.embedded.addresses import POSTGRES, Block, Site
from harness.environments.embedded.postgres import Mode, PostgresMember


@pytest.mark.real
def test_a_member_runs_wherever_it_lies(block: Block) -> None:
    # Not below tmp_path: PostgreSQL runs as an unprivileged user when we are root.
    root = Path(tempfile.mkdtemp(prefix="drill-test-"))
    odd = root / """it's a "place" of 100 %d \\n"""
    odd.mkdir()
    for directory in (root, odd):
        directory.chmod(0o711)
    member = PostgresMember(odd / "postgres", host=block.service(Site.PRIMARY, POSTGRES), port=POSTGRES.port,
                            password="p", replication_password="r", source_host="127.0.0.1")
    try:
        member.initialise()
        member.start(Mode.WRITER)
        with member.connect() as connection:
            shown = connection.execute("show primary_conninfo").fetchone()
        assert shown is not None
        assert conninfo_to_dict(str(shown[0]))["passfile"] == str(odd / "postgres" / "pgpass")
    finally:
        member.stop(immediate=True)
        shutil.rmtree(root)
