"""``rds.global_db_rpo``: commits wait where the secondary is further behind than the bound.

The guard is a lease. The writer may acknowledge commits for as long as its standby has confirmed,
within the bound, that it holds everything; a writer that is cut off stops by itself once the bound has
passed, whoever else can or cannot see it. The other half of the lease is kept by the standby
(:class:`Contact`): before it takes over from a writer that it cannot reach, it stops confirming and
waits until the bound has passed since its last confirmation.

How commits are made to wait: the standby becomes PostgreSQL's synchronous standby (Aurora's storage
does the like). ``statement_timeout`` does not cut such a wait short; a session that ends while it
waits is not told that it has committed.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

import psycopg

from harness.environments.embedded.postgres import PostgresMember

LOOK_S = 0.25
MARGIN_S = 3.0
"""What a take-over waits on top of the bound: the guard looks now and then, on a busy machine late."""
STANDING = ("select pg_current_wal_lsn()::text, flush_lsn::text, extract(epoch from reply_time)::float8"
            " from (select 1) as always left join pg_stat_replication"
            " on application_name = 'peer' and state = 'streaming' order by 2 desc nulls last limit 1")


class Lease:
    """How long ago the standby is known to have held everything."""

    def __init__(self, since: float) -> None:
        """``since``: wall-clock seconds of what counts as the first confirmation."""
        self.confirmed = since
        self._marks: deque[tuple[float, int]] = deque()

    def seen(self, at: float, written: int, flushed: int | None, replied: float | None) -> bool:
        """Take in one look: at that time so much was written; the standby has flushed so much.

        Returns whether the standby has confirmed anything. A confirmation counts from the time when
        the standby sent it, and only for what was written by then: a standby that goes on answering
        over a link that brings it nothing new confirms nothing new.
        """
        self._marks.append((at, written))
        if flushed is None or replied is None:
            return False
        confirmed = None
        while self._marks and self._marks[0][1] <= flushed:
            confirmed = self._marks.popleft()[0]
        if confirmed is None:
            return False
        self.confirmed = max(self.confirmed, min(confirmed, replied))
        return True


class RpoGuard:
    """Watches one region's database for as long as it is the writer."""

    def __init__(self, member: PostgresMember, *, epoch: Callable[[], int | None],
                 bound: Callable[[], float | None], armed: int,
                 on_armed: Callable[[int], None]) -> None:
        """``epoch``: the reign of this region, None while it does not reign.

        ``armed``: the reign in which a standby was once in step. Until then the guard lets commits
        pass: a region that has just taken over from a lost one has nobody to wait for.
        """
        self._member, self._epoch, self._bound = member, epoch, bound
        self.armed, self._on_armed = armed, on_armed
        self.holding = False
        self._connection: psycopg.Connection[tuple[object, ...]] | None = None

    def start(self) -> None:
        """Begin to watch."""
        threading.Thread(target=self._run, name="rpo-guard", daemon=True).start()

    def _run(self) -> None:
        reign, lease = None, Lease(0.0)
        while True:
            time.sleep(LOOK_S)
            epoch, bound = self._epoch(), self._bound()
            if epoch is None or bound is None:
                reign = None
                self._hang_up()
                continue
            if epoch != reign:
                reign, lease = epoch, Lease(time.time())
            at = time.time()
            try:
                if lease.seen(at, *self._standing()) and self.armed != epoch:
                    self.armed = epoch
                    self._on_armed(epoch)
            except (psycopg.Error, OSError):
                self._hang_up()
            self._hold(self.armed == epoch and time.time() - lease.confirmed > bound)

    def _standing(self) -> tuple[int, int | None, float | None]:
        if self._connection is None or self._connection.closed:
            self._connection = self._member.connect()
        row = self._connection.execute(STANDING).fetchone()
        assert row is not None
        return (lsn(str(row[0])), lsn(str(row[1])) if row[1] else None,
                float(str(row[2])) if row[2] else None)

    def _hold(self, holding: bool) -> None:
        if holding != self.holding:
            self._member.hold_commits(holding)
            self.holding = holding
            print(f"rpo guard: commits {'wait' if holding else 'pass'}", flush=True)

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Contact:
    """When this region's standby was last connected to the writer: its half of the lease."""

    def __init__(self, member: PostgresMember, standby: Callable[[], bool]) -> None:
        """``standby``: whether this region is one (a writer's many backends are not searched)."""
        self._member, self._standby = member, standby
        self.last = time.time()

    def start(self) -> None:
        """Begin to watch."""
        threading.Thread(target=self._run, name="contact", daemon=True).start()

    def _run(self) -> None:
        while True:
            if self._standby() and self._member.receives():
                self.last = time.time()
            time.sleep(LOOK_S)

    def expires(self, bound: float) -> float:
        """Wall-clock seconds from which a writer that nobody can reach has stopped by itself."""
        return self.last + bound + MARGIN_S


def lsn(text: str) -> int:
    """A log sequence number as a number of bytes."""
    high, low = text.split("/")
    return (int(high, 16) << 32) + int(low, 16)
