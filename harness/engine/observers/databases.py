"""The observer's own look into the metadata databases: how much runs, and what is there.

It reads PostgreSQL directly, through no link and no Airflow, so that what it says does not depend
on the health of what it observes.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, LiteralString

import psycopg

from harness.engine.observers.fingerprint import TABLE as TABLE
from harness.engine.observers.fingerprint import facts
from harness.engine.observers.watched import WatchedThread
from harness.environments.base import DatabaseAccess
from harness.record.events import Sample
from harness.record.journal import Journal
from loadgen.shapes import CANARY

LIVE_STATES = ("running", "queued", "scheduled", "up_for_retry", "restarting")
STOP_S = 20.0
"""Longer than the slowest sample of regions that do not answer."""
READ_AT_ONCE = 4
"""Databases that a look reads at the same time."""
WRITTEN_BYTES = 1024 * 1024


def database_name(deployment: str) -> str:
    """The metadata database of a Deployment."""
    return "airflow_" + deployment.replace("-", "_")


class Sampler:
    """Samples task states, replication lag and the witness, every ``interval`` seconds."""

    def __init__(
        self, journal: Journal, counter: TaskCounter, *, interval: float,
        lag: Callable[[], dict[str, Any]], witness: Callable[[], dict[str, Any]],
    ) -> None:
        """``counter`` looks where the databases are *now* active."""
        self._journal, self.counter = journal, counter
        self._interval, self._lag, self._witness = interval, lag, witness
        self._stop = threading.Event()
        self._thread = WatchedThread(target=self._run, name="sampler", daemon=True)
        self.states: Counter[str] = Counter()
        self._witness_silent_since: float | None = None

    def start(self) -> None:
        """Begin to sample."""
        self._thread.start()

    def check(self) -> None:
        """Raise ThreadFailed when it samples no more."""
        self._thread.check()

    def stop(self) -> None:
        """Stop sampling.

        Raises:
            ThreadFailed: when it had stopped by itself, of an error.
        """
        self._stop.set()
        self._thread.finish(STOP_S)

    def running(self) -> int:
        """Task instances in state ``running`` at the last sample, over all Deployments."""
        return self.states["running"]

    def witness_silent_for(self) -> float:
        """Seconds since the first of the questions that the witness left unanswered; 0 when it answers.

        A sampler that is itself slow does not make the witness silent.
        """
        since = self._witness_silent_since
        return 0.0 if since is None else time.monotonic() - since

    def _run(self) -> None:
        while not self._stop.wait(self._interval):
            states, answered = self.counter.count()
            if answered:
                self.states = states
            lag = _quietly(self._lag)
            asked = time.monotonic()
            witness = _quietly(self._witness)
            if witness is not None:
                self._witness_silent_since = None
            elif self._witness_silent_since is None:
                self._witness_silent_since = asked
            self._journal.append(Sample(states=dict(states), answered=answered, lag=lag, witness=witness))
        self.counter.close()


class TaskCounter:
    """Counts task instances in the metadata databases, over connections that it keeps.

    For more than one thread.
    """

    def __init__(self, deployments: Sequence[str],
                 access: Callable[[str], DatabaseAccess | None]) -> None:
        """``access``: database name to where it is now active, or None while nobody knows."""
        self._deployments, self._access = list(deployments), access
        self._connections: dict[str, psycopg.Connection[Any]] = {}
        self._lock = threading.Lock()

    def count(self) -> tuple[Counter[str], int]:
        """Live task instances by state, and how many databases answered."""
        states: Counter[str] = Counter()
        answered = 0
        for deployment in self._deployments:
            try:
                rows = self._ask(deployment, "select state, count(*) from task_instance"
                                 " where state = any(%s) group by 1", (list(LIVE_STATES),))
            except psycopg.OperationalError:
                # One server holds them all: when it is gone, so are the others.
                self.close()
                break
            except psycopg.Error:
                continue
            answered += 1
            states.update({str(state): int(count) for state, count in rows})
        return states, answered

    def unfinished(self, keys: set[tuple[str, ...]]) -> set[tuple[str, ...]]:
        """Those of the task instances ``(deployment, dag, run, task, map)`` that have not ended.

        A task instance that is not in the database any more has ended: it is lost.
        """
        left: set[tuple[str, ...]] = set()
        by_deployment: dict[str, set[tuple[str, ...]]] = defaultdict(set)
        for key in keys:
            by_deployment[key[0]].add(key)
        for deployment, mine in by_deployment.items():
            try:
                rows = self._ask(
                    deployment, "select dag_id, run_id, task_id, map_index from task_instance"
                    " where run_id = any(%s) and (state is null or state in"
                    " ('running','queued','scheduled','up_for_retry','restarting','deferred'))",
                    (sorted({key[2] for key in mine}),))
            except psycopg.Error:
                left |= mine
                continue
            left |= mine & {(deployment, *map(str, row)) for row in rows}
        return left

    def load_unfinished(self) -> int:
        """Task instances and Dag runs of the load that have not ended; a Deployment that gives no answer counts as one.

        Canaries, which run at an interval until the end, are left out.
        """
        left = 0
        for deployment in self._deployments:
            try:
                rows = self._ask(
                    deployment, "select (select count(*) from task_instance where dag_id <> %s and (state is null or"
                    " state in ('running','queued','scheduled','up_for_retry','restarting','deferred')))"
                    " + (select count(*) from dag_run where dag_id <> %s and state in ('queued', 'running'))",
                    (CANARY, CANARY))
            except psycopg.Error:
                left += 1
                continue
            left += int(rows[0][0])
        return left

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            for connection in self._connections.values():
                connection.close()
            self._connections.clear()

    def _ask(self, deployment: str, query: LiteralString, values: tuple[Any, ...]) -> list[Any]:
        access = self._access(database_name(deployment))
        if access is None:
            raise psycopg.DatabaseError("nobody knows where this database is active")
        key = access.host + access.database
        with self._lock:
            if key not in self._connections or self._connections[key].closed:
                self._connections[key] = psycopg.connect(
                    access.conninfo, autocommit=True, options="-c statement_timeout=2000")
            return self._connections[key].execute(query, values).fetchall()


def snapshot(path: Path, databases: dict[str, DatabaseAccess], key: str) -> int:
    """Write what each metadata database holds, one JSON line a fact; the number of lines.

    Facts: ledger rows (``row``), task instances (``ti``), Dag runs (``run``), XComs (``xcom``), variables,
    connections and pools; see :mod:`harness.engine.observers.fingerprint`, also for ``key``.

    Raises:
        psycopg.Error: when a database does not answer.
    """
    writing = threading.Lock()

    def write(deployment: str) -> int:
        lines, waiting, size = 0, [], 0
        for line in facts(databases[deployment].conninfo, deployment, key):
            lines += 1
            size += len(line)
            waiting.append(line)
            if size > WRITTEN_BYTES:
                with writing:
                    sink.writelines(waiting)
                waiting, size = [], 0
        with writing:
            sink.writelines(waiting)
        return lines

    with path.open("wb") as sink, ThreadPoolExecutor(READ_AT_ONCE) as pool:
        reading = [pool.submit(write, deployment) for deployment in sorted(databases)]
        try:
            return sum(each.result() for each in reading)
        finally:
            pool.shutdown(cancel_futures=True)  # of a server that does not answer, no more is asked


def _quietly(ask: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
    """An observation that could not be made is a gap, not an error."""
    try:
        return ask()
    except Exception:
        return None
