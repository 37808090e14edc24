"""One member of the replicated metadata database: a real PostgreSQL 18 server.

Three ways to run it:

* **writer**: accepts reads and writes, streams its WAL to the other region;
* **headless**: a standby with ``hot_standby=off``. It receives and stores WAL all the time and
  refuses every connection, which is what a storage-only secondary of a global database does;
* **replica**: the same standby with ``hot_standby=on``: compute has been provisioned, reads work.

Nobody but the region's database service (``aws/rds.py``) uses this module.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import time
from enum import StrEnum
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from harness.environments.embedded.holds import stepping_aside
from harness.environments.embedded.ownership import is_server
from harness.environments.embedded.postgres_programs import PostgresError as PostgresError
from harness.environments.embedded.postgres_programs import programs_for
from harness.environments.embedded.private import open_private, read_private
from harness.environments.embedded.timelines import LINE_PREFIX
from harness.environments.embedded.user import has_account, unprivileged_user

START_TIMEOUT = 30.0
"""Crash recovery after a SIGKILL under load replays at most a checkpoint's worth of WAL."""
PROMOTE_TIMEOUT = 30.0
REWIND_TIMEOUT = 600.0
DIRECTORY, DATA, LOG = "postgres", "data", "postgres.log"
"""A member's own directory in its site's, and its data and its log in that."""
EMPTY = "empty-cluster"
"""Beside a member's own directory: an empty cluster that was made for it (see ``clusters``)."""
SUPERUSER = "postgres"
REPLICATION_USER = "replicator"

SETTINGS = {
    "max_connections": "1000",
    # A region loses its power by SIGKILL: the page cache is the kernel's and stays. fsync would only
    # make every commit, and the full sync before a crash recovery, wait for this machine's disk.
    "fsync": "off",
    "shared_buffers": "128MB",
    "wal_level": "replica",
    "wal_log_hints": "on",  # pg_rewind needs it
    "max_wal_senders": "8",
    "wal_keep_size": "1GB",  # what a region that was away needs to catch up or rewind
    "max_wal_size": "2GB",
    "min_wal_size": "80MB",
    "wal_receiver_timeout": "5s",
    "wal_sender_timeout": "6s",
    "wal_receiver_status_interval": "1s",
    "wal_retrieve_retry_interval": "200ms",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "unix_socket_directories": "''",
    # Files in the data directory, not in /dev/shm, where a SIGKILL would leave them behind.
    "dynamic_shared_memory_type": "mmap",
    "password_encryption": "scram-sha-256",
    "autovacuum_naptime": "60s",
    "log_min_messages": "warning",
    "log_min_error_statement": "panic",  # a statement that fails may have a password in it
    "log_line_prefix": f"'{LINE_PREFIX}'",  # a reign's begin is read from the log, see ``timelines``
    "lc_messages": "'C'",
    "track_commit_timestamp": "on",
}


HOLDING = "synchronous_standby_names = 'peer'\n"
"""What makes commits wait for the other member."""


class Mode(StrEnum):
    """How a member runs."""

    WRITER = "writer"
    HEADLESS = "headless"
    REPLICA = "replica"


class PostgresMember:
    """The PostgreSQL server of one region, its data directory and its life cycle."""

    def __init__(
        self,
        directory: Path,
        *,
        host: str,
        port: int,
        password: str,
        replication_password: str,
        source_host: str,
        hold: socket.socket | None = None,
    ) -> None:
        """``source_host``: where the other member is reached (the link's front); ``hold``: what holds the address."""
        self.directory = directory
        self.data = directory / DATA
        self.log = directory / LOG
        self.host, self.port = host, port
        self.password, self.replication_password = password, replication_password
        self.source_host, self.hold = source_host, hold
        self._uid = unprivileged_user()
        self._gid = None if self._uid is None else _group_for(directory, self._uid)
        self._bin = programs_for(directory, self._uid)

    # -- life cycle ---------------------------------------------------------------------

    @property
    def initialised(self) -> bool:
        """Whether a data directory exists."""
        return (self.data / "PG_VERSION").exists()

    def initialise(self) -> None:
        """Make an empty database cluster with password authentication everywhere."""
        self._prepare_directory()
        if has_account(os.geteuid()):
            secret = self.directory / "initdb.pw"
            self._write(secret, self.password + "\n")
            try:
                self._run(*initdb(self._bin, self.data, secret))
            finally:
                secret.unlink(missing_ok=True)
        else:
            made = self.directory.with_name(EMPTY)
            if not _wait(made.exists, START_TIMEOUT):
                raise PostgresError("initdb refuses a user without an account, and root has made no empty cluster")
            made.rename(self.data)
        self._configure()

    def copy_from_source(self) -> None:
        """Make the data directory a copy of the other member's, over the link."""
        self._prepare_directory()
        if self.data.exists():
            shutil.rmtree(self.data)
        self._run(
            "pg_basebackup", "-D", str(self.data), "-X", "stream", "-c", "fast", "--no-sync",
            "-d", self._source("postgres"), timeout=600,
        )
        self._configure()

    def reach_source(self) -> None:
        """See whether the other member answers.

        Raises:
            PostgresError: when it does not.
        """
        try:
            psycopg.connect(
                host=self.source_host, port=self.port, user=SUPERUSER, password=self.password,
                dbname="postgres", connect_timeout=3).close()
        except psycopg.Error as error:
            raise PostgresError(f"the other region's server does not answer: {error}") from error

    def rewind_to_source(self) -> None:
        """Take back what the other member never received, so that it can be followed.

        Raises:
            PostgresError: when the histories cannot be joined; then copy instead.
        """
        self.stop(immediate=True)
        (self.data / "standby.signal").unlink(missing_ok=True)
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        self._recover()
        source = (
            f"host={self.source_host} port={self.port} user={SUPERUSER} dbname=postgres "
            f"connect_timeout=5"
        )
        self._run(
            "pg_rewind", "-D", str(self.data), "--source-server", source, "--no-sync", "--no-ensure-shutdown",
            env={"PGPASSWORD": self.password}, timeout=REWIND_TIMEOUT,
        )
        self._configure()

    def _recover(self) -> None:
        """Bring a server that did not stop in order to an orderly stop, which is what pg_rewind begins with.

        pg_rewind would do it itself in PostgreSQL's single-user mode; but that refuses a user without an account. Until
        it has stopped nobody can reach the server: it listens at no address.
        """
        if self._control()["Database cluster state"] in ("shut down", "shut down in recovery"):
            return
        # Not into the log, which tells of the server's reigns: this is none.
        log = self.directory / "rewind.log"
        server = self._launch(log, "listen_addresses=", "unix_socket_directories=.", "autovacuum=off")
        deadline = time.monotonic() + REWIND_TIMEOUT
        while _phase(self.data) != "ready":
            if server.poll() is not None or time.monotonic() > deadline:
                raise PostgresError(f"crash recovery before the rewind failed\n{_tail(log)}")
            time.sleep(0.02)
        self.stop()

    def start(self, mode: Mode, *, holding: bool = False) -> None:
        """Start the server in ``mode`` and wait until it does what that mode says.

        ``holding``: its commits wait for the other member from the first one on.

        Raises:
            PostgresError: with the end of the server's log when it does not.
        """
        self.stop()
        signal_file = self.data / "standby.signal"
        if mode is Mode.WRITER:
            signal_file.unlink(missing_ok=True)
        else:
            self._write(signal_file, "")
        self._set_source(self._source(None), accepting=mode is Mode.REPLICA)
        self._write(self.data / "guard.conf", HOLDING if holding else "")
        with stepping_aside(self.hold):
            self._wait_started(mode, self._launch(self.log))

    def _launch(self, log: Path, *settings: str) -> subprocess.Popen[bytes]:
        """Start the server as it is configured, but for ``settings``."""
        changed = [word for setting in settings for word in ("-c", setting)]
        with os.fdopen(open_private(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), "ab") as sink:
            return subprocess.Popen(
                [self._bin / "postgres", "-D", self.data, *changed],
                cwd=self.data, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT,
                start_new_session=True, **self._as_user(),
            )

    def stop(self, *, immediate: bool = False) -> None:
        """Stop the server if it runs: in order (all WAL streamed first), or at once."""
        pid = self.pid()
        if pid is None:
            return
        os.kill(pid, signal.SIGQUIT if immediate else signal.SIGINT)
        if not _wait(lambda: _gone(pid), START_TIMEOUT):
            os.kill(pid, signal.SIGKILL)
            _wait(lambda: _gone(pid), 10)

    def promote(self) -> None:
        """Make this standby the writer; returns when it accepts writes."""
        pid = self.pid()
        if pid is None:
            raise PostgresError("cannot promote: the server is not running")
        self._write(self.data / "promote", "")
        os.kill(pid, signal.SIGUSR1)
        if not _wait(self.is_writer, PROMOTE_TIMEOUT):
            raise PostgresError("promotion did not finish\n" + self.tail())

    def hold_commits(self, holding: bool) -> None:
        """Make commits wait until the other member holds them, or pass again."""
        self._write(self.data / "guard.conf", HOLDING if holding else "")
        if self.pid() is not None:
            self._reload()

    def stop_receiving(self) -> None:
        """Have a standby hear (and confirm) nothing more from the writer.

        Raises:
            PostgresError: when it goes on.
        """
        self._set_source("", accepting=True)
        self._reload()
        if not _wait(lambda: not self.receives(), 10):
            raise PostgresError("the standby did not stop receiving")

    def receive_again(self) -> None:
        """Have a standby that was told to hear nothing more follow the writer again."""
        self._set_source(self._source(None), accepting=True)
        if self.pid() is not None:
            self._reload()

    # -- observation --------------------------------------------------------------------

    def receives(self) -> bool:
        """Whether a standby has a connection to the writer (asked of the system: it may be headless).

        One whose link has failed silently counts until PostgreSQL itself gives it up.
        """
        pid = self.pid()
        if pid is None:
            return False
        with contextlib.suppress(OSError):
            for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
                with contextlib.suppress(OSError):
                    if b"walreceiver streaming" in Path(f"/proc/{child}/cmdline").read_bytes():
                        return True
        return False

    def pid(self) -> int | None:
        """The postmaster's process id, or None when no server of this directory runs."""
        try:
            pid = int(read_private(self.data / "postmaster.pid").split()[0])
            cwd = os.readlink(f"/proc/{pid}/cwd")
        except (OSError, ValueError, IndexError):
            return None
        # The id may have been reused by a stranger since a SIGKILL, or a shell may stand there.
        return pid if cwd == str(self.data.resolve()) and is_server(pid) else None

    def connect(self, database: str = "postgres") -> psycopg.Connection[tuple[object, ...]]:
        """A superuser connection to this member (autocommit)."""
        return psycopg.connect(
            host=self.host, port=self.port, user=SUPERUSER, password=self.password,
            dbname=database, connect_timeout=2, autocommit=True,
        )

    def is_writer(self) -> bool:
        """Whether the server answers and is not in recovery."""
        with contextlib.suppress(psycopg.Error), self.connect() as connection:
            row = connection.execute("select pg_is_in_recovery()").fetchone()
            return row is not None and row[0] is False
        return False

    def answers(self) -> bool:
        """Whether the server accepts connections."""
        with contextlib.suppress(psycopg.Error), self.connect():
            return True
        return False

    def replication(self) -> dict[str, float | int | str | None]:
        """The writer's view of its standby: state and lag in bytes and seconds."""
        with self.connect() as connection:
            row = connection.execute(
                "select state, sync_state,"
                " pg_wal_lsn_diff(pg_current_wal_lsn(), flush_lsn)::bigint,"
                " extract(epoch from flush_lag)::float8"
                " from pg_stat_replication where application_name = 'peer'"
                " order by backend_start desc limit 1"
            ).fetchone()
        if row is None:
            return {"state": "disconnected", "lag_bytes": None, "lag_s": None}
        # A standby that has just connected has not said yet how far it is: no lag is not a lag of 0.
        behind = None if row[2] is None else int(str(row[2]))
        return {"state": str(row[0]), "lag_bytes": behind, "lag_s": float(str(row[3] or 0))}

    def received_lsn(self) -> str | None:
        """How far a replica has received, as an LSN."""
        with self.connect() as connection:
            row = connection.execute("select pg_last_wal_receive_lsn()::text").fetchone()
        return str(row[0]) if row and row[0] else None

    def checkpoint_lsn(self) -> str:
        """Where the shutdown checkpoint of a stopped server lies: the end of its log.

        Raises:
            PostgresError: when it was not stopped in order, so that its last checkpoint is not its end.
        """
        told = self._control()
        if (state := told["Database cluster state"]) != "shut down":
            raise PostgresError(f"the writer did not stop in order: {state}")
        return told["Latest checkpoint location"]

    def _control(self) -> dict[str, str]:
        """What the data directory says of itself, in pg_controldata's words."""
        lines = self._run("pg_controldata", "-D", str(self.data), env={"LC_ALL": "C"}).splitlines()
        return {name: value.strip() for name, colon, value in (line.partition(":") for line in lines) if colon}

    def tail(self) -> str:
        """The end of the server's log."""
        return _tail(self.log)

    def create_replication_user(self) -> None:
        """Make the role that the other member streams with."""
        with self.connect() as connection:
            connection.execute(
                psycopg.sql.SQL("create role {} replication login password {}").format(
                    psycopg.sql.Identifier(REPLICATION_USER),
                    psycopg.sql.Literal(self.replication_password),
                )
            )

    # -- inner works --------------------------------------------------------------------

    def _source(self, database: str | None) -> str:
        passfile = self.directory / "pgpass"
        if not passfile.exists():
            self._write(passfile, f"*:*:*:{REPLICATION_USER}:{self.replication_password}\n")
        named = {"dbname": database} if database and database != "postgres" else {}
        return make_conninfo(
            host=self.source_host, port=self.port, user=REPLICATION_USER, passfile=str(passfile),
            application_name="peer", connect_timeout=5, keepalives_idle=5, keepalives_interval=2, keepalives_count=3,
            **named)

    def _set_source(self, conninfo: str, *, accepting: bool) -> None:
        self._write(self.data / "mode.conf", f"hot_standby = {'on' if accepting else 'off'}\n"
                                             f"primary_conninfo = {_quoted(conninfo)}\n")

    def _reload(self) -> None:
        pid = self.pid()
        if pid is None:
            raise PostgresError("the server does not run")
        os.kill(pid, signal.SIGHUP)

    def _configure(self) -> None:
        lines = [f"{key} = {value}" for key, value in SETTINGS.items()]
        lines += [f"listen_addresses = '{self.host}'", f"port = {self.port}"]
        self._write(self.data / "postgresql.conf", "\n".join(
            [*lines, "include = 'mode.conf'", "include = 'guard.conf'", ""]))
        self._write(self.data / "postgresql.auto.conf", "")
        self._write(self.data / "mode.conf", "")
        self._write(self.data / "guard.conf", "")
        self._write(
            self.data / "pg_hba.conf",
            "host all all 127.0.0.0/8 scram-sha-256\n"
            f"host replication {REPLICATION_USER} 127.0.0.0/8 scram-sha-256\n",
        )

    def _wait_started(self, mode: Mode, server: subprocess.Popen[bytes]) -> None:
        def ready() -> bool:
            if mode is Mode.WRITER:
                return self.is_writer()
            if mode is Mode.REPLICA:
                return self.answers()
            # A headless standby answers nobody: the log line of its own start is the proof.
            return self.pid() is not None and _phase(self.data) in {"standby", "ready"}

        deadline = time.monotonic() + START_TIMEOUT
        while not ready():
            if server.poll() is not None:
                raise PostgresError(f"PostgreSQL ended with status {server.returncode}\n{self.tail()}")
            if time.monotonic() > deadline:
                raise PostgresError(f"PostgreSQL did not become {mode.value}\n{self.tail()}")
            time.sleep(0.02)

    def _prepare_directory(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        if self._uid is not None:
            os.chown(self.directory, self._uid, -1, follow_symlinks=False)

    def _write(self, path: Path, text: str) -> None:
        """Write a file of the server's own, whole or not at all.

        The directory is the server's user's, and we may be root: nothing that stands there already is opened.
        """
        new = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        fd = open_private(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        with os.fdopen(fd, "w") as sink:
            sink.write(text)
            if self._uid is not None:
                os.fchown(fd, self._uid, -1)
        new.replace(path)

    def _as_user(self) -> dict[str, Any]:
        return {} if self._uid is None else {"user": self._uid, "group": self._gid, "extra_groups": []}

    def _run(
        self, tool: str | Path, *arguments: str, env: dict[str, str] | None = None, timeout: float = 120
    ) -> str:
        done = subprocess.run(
            [self._bin / tool, *arguments],
            cwd=self.directory, capture_output=True, text=True, timeout=timeout,
            env={**os.environ, **(env or {})}, check=False, **self._as_user(),
        )
        if done.returncode != 0:
            raise PostgresError(f"{tool} failed: {(done.stderr or done.stdout).strip()}")
        return str(done.stdout)


def _quoted(value: str) -> str:
    """A value as ``postgresql.conf`` has it."""
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def initdb(programs: Path, data: Path, secret: Path) -> list[str]:
    """The command that makes an empty cluster; ``secret``: the file with its superuser's password."""
    return [str(programs / "initdb"), "-D", str(data), "-U", SUPERUSER, "--pwfile", str(secret), "--auth=scram-sha-256",
            "-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "--data-checksums"]


def log_of(site: Path) -> Path:
    """The log of a site's server, over all its lives."""
    return site / DIRECTORY / LOG


def data_of(site: Path) -> Path:
    """The data directory of a site's server."""
    return site / DIRECTORY / DATA


def _group_for(directory: Path, uid: int) -> int:
    """The group that may pass through to ``directory``: the environment's, where it has one of its own."""
    around = next(parent for parent in directory.parents if parent.exists())
    group = around.stat().st_gid
    return group if group != os.getegid() else pwd.getpwuid(uid).pw_gid


def _tail(log: Path) -> str:
    with contextlib.suppress(OSError):
        return "\n".join(log.read_text(errors="replace").splitlines()[-8:])
    return ""


def _phase(data: Path) -> str:
    """The last line of postmaster.pid: starting, stopping, ready or standby."""
    try:
        return (data / "postmaster.pid").read_text().splitlines()[7].strip()
    except (OSError, IndexError):
        return ""


def _gone(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


def _wait(condition: object, timeout: float) -> bool:
    assert callable(condition)
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
