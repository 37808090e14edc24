"""A user without an account has a PostgreSQL server all the same: root makes the cluster, and the rest needs no account."""

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.environments.base import EnvironmentFailed
from harness.environments.embedded import removal
from harness.environments.embedded.addresses import POSTGRES, Block, BlockLease, Site
from harness.environments.embedded.clusters import EmptyClusters
from harness.environments.embedded.ownership import Ownership
from harness.environments.embedded.postgres import EMPTY, Mode, PostgresError, PostgresMember, log_of
from harness.environments.embedded.private import make_directory
from harness.environments.embedded.timelines import timelines
from harness.environments.embedded.user import LAST, unprivileged_user
from tests.harness.environments.embedded.conftest import STRANGER, as_user, until

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
OWN = LAST


@pytest.fixture
def owned() -> Iterator[Ownership]:
    """An environment whose processes run as a user of its own."""
    # Not below tmp_path: pytest's own directories let nobody through.
    root = Path(tempfile.mkdtemp(prefix="drill-test-"))
    os.chown(root, -1, OWN)
    root.chmod(0o710)
    ownership = Ownership.new(root, OWN)
    (root / "sites").mkdir()
    (root / "sites").chmod(0o755)
    yield ownership
    removal.remove(ownership)


def site(ownership: Ownership, name: str) -> Path:
    return make_directory(ownership.directory / "sites" / name, owner=ownership.user)


def member(place: Path, host: str, source: str) -> PostgresMember:
    return PostgresMember(place / "postgres", host=host, port=POSTGRES.port, password="secret-of-the-superuser",
                          replication_password="of-replication", source_host=source)


@as_root
def test_an_empty_cluster_is_its_users_alone(owned: Ownership) -> None:
    place, clusters = site(owned, "primary"), EmptyClusters(owned)
    clusters.begin(place, "secret")
    making = owned.directory / "initdb-primary"
    assert making.stat().st_uid == unprivileged_user()
    assert as_user(STRANGER, lambda: os.listdir(making)) == "PermissionError"
    assert as_user(unprivileged_user() or 0, lambda: os.listdir(making)) == "PermissionError", "another of its programs"
    assert owned.processes(), "whoever takes the environment down in this moment finds what makes it"
    clusters.finish()
    made = place / EMPTY
    assert {(path.lstat().st_uid, path.lstat().st_gid) for path in (made, *made.rglob("*"))} == {(OWN, OWN)}
    assert {path.lstat().st_mode & 0o077 for path in (made, *made.rglob("*"))} == {0}
    assert not making.exists()


def test_where_the_servers_run_as_we_do_they_make_their_own(tmp_path: Path) -> None:
    clusters = EmptyClusters(Ownership.new(tmp_path))
    clusters.begin(tmp_path, "secret")
    clusters.finish()
    assert list(tmp_path.iterdir()) == []


@as_root
def test_a_user_without_an_account_that_is_given_no_cluster_says_so(
        owned: Ownership, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.environments.embedded.postgres.START_TIMEOUT", 0.05)
    place = site(owned, "primary")

    def initialise() -> str:
        try:
            member(place, "127.0.0.1", "127.0.0.1").initialise()
        except PostgresError as error:
            return str(error)
        return "made"

    assert "initdb refuses a user without an account" in as_user(OWN, initialise)


def lose_and_rewind(block: Block, first: Path, second: Path) -> list[object]:
    """A writer is killed, its standby takes over, and the old writer follows it: what was lost is undone."""
    hosts = [block.service(role, POSTGRES) for role in (Site.PRIMARY, Site.SECONDARY)]
    old, new = member(first, hosts[0], hosts[1]), member(second, hosts[1], hosts[0])
    try:
        old.initialise()
        old.start(Mode.WRITER)
        old.create_replication_user()
        with old.connect() as connection:
            connection.execute("create table t(i int)")
        new.copy_from_source()
        new.start(Mode.HEADLESS)
        until(lambda: old.replication()["lag_bytes"] == 0)
        new.stop()
        with old.connect() as connection:
            connection.execute("insert into t values (1)")  # nobody else has it
        server = old.pid()
        assert server is not None
        os.kill(server, signal.SIGKILL)
        until(lambda: old.pid() is None)
        new.start(Mode.REPLICA)
        new.promote()
        with new.connect() as connection:
            connection.execute("insert into t values (2)")
        old.rewind_to_source()
        old.start(Mode.REPLICA)

        def rows() -> list[object]:
            with old.connect() as connection:
                return [row[0] for row in connection.execute("select i from t")]

        until(lambda: rows() == [2])
        return rows()
    finally:
        for each in (old, new):
            each.stop(immediate=True)


@pytest.mark.real
@pytest.mark.parametrize("user", ["ours", pytest.param("without an account", marks=as_root)])
def test_a_killed_writer_is_recovered_and_rewound_and_begins_no_reign_by_it(user: str, request: pytest.FixtureRequest) -> None:
    lease = BlockLease()
    block = lease.acquire()
    if user == "ours":
        root = Path(tempfile.mkdtemp(prefix="drill-test-"))
        root.chmod(0o711)
        owned = Ownership.new(root)
        request.addfinalizer(lambda: removal.remove(owned))
        sites = [root / "primary", root / "secondary"]
        assert lose_and_rewind(block, *sites) == [2]
    else:
        owned = request.getfixturevalue("owned")
        sites = [site(owned, "primary"), site(owned, "secondary")]
        clusters = EmptyClusters(owned)
        clusters.begin(sites[0], "secret-of-the-superuser")
        clusters.finish()
        assert as_user(OWN, lambda: lose_and_rewind(block, *sites)) == [2]
    assert [timeline.number for timeline in timelines(log_of(sites[0]))] == [1]
    assert [timeline.number for timeline in timelines(log_of(sites[1]))] == [2]
    assert "database system is ready" in (sites[0] / "postgres" / "rewind.log").read_text()
    lease.release()


@as_root
def test_what_keeps_it_from_being_made_is_said(owned: Ownership, monkeypatch: pytest.MonkeyPatch) -> None:
    fails = ["/bin/sh", "-c", "seq 50; echo no space left; exit 1"]
    monkeypatch.setattr("harness.environments.embedded.clusters.initdb", lambda *_: fails)
    clusters = EmptyClusters(owned)
    clusters.begin(site(owned, "primary"), "secret")
    with pytest.raises(EnvironmentFailed, match="initdb failed") as failed:
        clusters.finish()
    assert failed.value.hint.splitlines() == ["46", "47", "48", "49", "50", "no space left"]
