"""Who is the global database's writer, since which epoch, and how that changes.

Each region has one :class:`GlobalCluster`. It owns its region's PostgreSQL and a copy of the global cluster's
record, which it exchanges with its peer over the link.

Fencing. The old writer acknowledges no commit once a newer epoch has begun:

* it is told to stop, when the region that takes over can reach it, whoever else can;
* cut off, it stops by itself: see :mod:`guard`. A region that takes over waits that out;
* back from an outage, it stays down until its peer has said which epoch reigns; if a newer one does,
  it rewinds and follows.

A new writer goes on announcing itself until its peer has heard.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psycopg

from harness.environments.embedded.aws.guard import Contact, RpoGuard, lsn
from harness.environments.embedded.postgres import Mode, PostgresError, PostgresMember
from loadgen.wire.http import http_client

CATCH_UP_TIMEOUT = 60.0
PEER_TIMEOUT = 3.0
AGAIN_S = 0.5
ANNOUNCE_S = 1.0
ORPHANED_S = 2 * CATCH_UP_TIMEOUT
"""A writer that stopped for a switchover which never came asks, after so long, whether to resume."""


class RdsError(Exception):
    """An RDS error: ``code`` is the name that boto3 shows."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.status = code, status


@dataclass
class GlobalState:
    """What both regions agree on about the global cluster. A higher epoch wins."""

    identifier: str = ""
    epoch: int = 0
    writer: str = ""
    clusters: dict[str, str] = field(default_factory=dict)
    """Region to DB cluster identifier."""
    rpo_bound: float | None = None
    """``rds.global_db_rpo`` in seconds; None is off."""
    failover: dict[str, Any] | None = None


@dataclass
class LocalState:
    """What only this region knows."""

    instances: dict[str, str] = field(default_factory=dict)
    """Identifier to status."""
    armed: int = 0
    """The reign of this region in which its standby was once in step."""


class GlobalCluster:
    """One region's part in the global database."""

    def __init__(self, *, region: str, directory: Path, member: PostgresMember, peer: str,
                 token: str) -> None:
        """Read what an earlier life left. ``peer``: the other region's endpoint, through the link."""
        self.region, self.member = region, member
        self._path = directory / "rds.json"
        self._peer = http_client(
            base_url=peer, timeout=PEER_TIMEOUT, headers={"x-dr-token": token})
        self.lock = threading.RLock()
        """Of the records."""
        self.changing = threading.Lock()
        """Held by whoever starts, stops or promotes the server; never while waiting for the peer."""
        self.state, self.local = GlobalState(), LocalState()
        if self._path.exists():
            stored = json.loads(self._path.read_text())
            self.state = GlobalState(**stored["global"])
            self.local = LocalState(**stored["local"])
            # A change of writer ends with the process that carried it out; whoever wants it asks again.
            self.state.failover = None
            # What was being made or removed is made or removed no further.
            self.local.instances = {
                name: status for name, status in self.local.instances.items() if status == "available"}
        self._peer_epoch = self._following = 0
        self._quiesced_in = self._quiesced_times = 0
        """The reign in which this writer stopped for a switchover; how often it said so."""
        self._resumed = not self.state.epoch
        self.contact = Contact(member, lambda: self.state.writer != self.region)
        self._guard = RpoGuard(member, epoch=self._epoch_of_mine, bound=lambda: self.state.rpo_bound,
                               armed=self.local.armed, on_armed=self._armed)

    # -- start --------------------------------------------------------------------------

    def start(self) -> None:
        """Watch over the lease; after a restart of the region take the place that is ours."""
        self.contact.start()
        self._guard.start()
        _background(self._announce_forever)
        if self.member.initialised and self.state.epoch:
            _background(self._resume)

    def _resume(self) -> None:
        while True:
            try:
                self._adopt(self._peers_state())
                break
            except httpx.HTTPError:
                time.sleep(AGAIN_S)  # alone, a returning region must not reign
        self._resumed = True
        if self.state.writer == self.region:
            self.insist("resuming as the writer", self.state.epoch, self._start_writer)
        else:
            self._follow()

    def _start_writer(self) -> None:
        # What it confirmed to whom before the outage is not known: its commits wait for the standby.
        armed = self.local.armed == self.state.epoch and self.state.rpo_bound is not None
        self.member.start(Mode.WRITER, holding=armed)
        self._guard.holding = armed

    def _follow(self) -> None:
        """Become a standby of the other region again, throwing away what that never had."""

        def join() -> None:
            if self._following == self.state.epoch and self.member.pid() is not None:
                return  # told twice: by the peer's answer, and by its announcement
            self.member.reach_source()
            try:
                self.member.rewind_to_source()
            except PostgresError as error:
                print(f"rewind not possible, copying instead: {error}", flush=True)
                self.member.copy_from_source()
            self.member.start(Mode.REPLICA if self.local.instances else Mode.HEADLESS)
            self._following = self.state.epoch

        self.insist(f"following {self.state.writer}", self.state.epoch, join)

    def insist(self, what: str, epoch: int, act: Callable[[], None]) -> None:
        """Try again until it works or another epoch begins: nobody else would."""
        while True:
            with self.changing:
                if self.state.epoch != epoch:
                    return
                try:
                    act()
                    return
                except (PostgresError, OSError) as error:
                    print(f"{what} failed, trying again: {error}", flush=True)
            time.sleep(AGAIN_S)

    # -- a change of writer ----------------------------------------------------------------

    def take_over(self, *, planned: bool) -> None:
        """Make this region the writer, in the background; ``state.failover`` says how far it is."""
        self.state.failover = {
            "Status": "switching-over" if planned else "pending", "IsDataLossAllowed": not planned}
        self.save()
        _background(lambda: self._change(self._switchover if planned else self._failover))

    def _change(self, work: Callable[[], None]) -> None:
        try:
            work()
        except (PostgresError, httpx.HTTPError, psycopg.Error, RdsError) as error:
            print(f"change of writer failed: {error!r}", flush=True)
        finally:
            with self.lock:
                self.state.failover = None
                self.save()

    def _failover(self) -> None:
        """Fence the old writer (``pending``), then promote (``failing-over``)."""
        epoch = self.state.epoch + 1
        with self.changing:
            self.member.stop_receiving()
        while not self._fenced(epoch):
            if self.state.rpo_bound is None or time.time() >= self.contact.expires(self.state.rpo_bound):
                print("the old writer could not be reached; the bound of its lease has passed",
                      flush=True)
                break
            time.sleep(AGAIN_S)
        with self.lock:
            if self.state.failover is not None:
                self.state.failover["Status"] = "failing-over"
        try:
            self._begin(epoch)
        except PostgresError:
            self.member.receive_again()  # nobody has taken over: it stays a standby, not a deaf one
            raise

    def _fenced(self, epoch: int) -> bool:
        try:
            answer = self._peer.post("/_dr/rds/fence", json={"epoch": epoch, "writer": self.region})
            return answer.is_success
        except httpx.HTTPError:
            return False

    def _switchover(self) -> None:
        epoch = self.state.epoch + 1
        answer = self._peer.post("/_dr/rds/quiesce", timeout=60)
        if answer.is_error:
            raise PostgresError(f"the writer does not stop for a switchover: {answer.text}")
        try:
            self._await_received(answer.json()["checkpoint_lsn"])
            self._begin(epoch)
        except PostgresError:
            self._peer.post("/_dr/rds/reign")  # nobody reigns yet: the old writer resumes
            raise

    def _await_received(self, last: str) -> None:
        deadline = time.monotonic() + CATCH_UP_TIMEOUT
        while time.monotonic() < deadline:
            received = self.member.received_lsn()
            if received is not None and lsn(received) >= lsn(last):
                return
            time.sleep(0.02)
        raise PostgresError(f"the replica did not receive {last} in {CATCH_UP_TIMEOUT:.0f} s")

    def _begin(self, epoch: int) -> None:
        with self.changing:
            self.member.promote()
            with self.lock:
                self.state.epoch, self.state.writer = epoch, self.region
                self.save()
        self._announce()

    # -- between the regions --------------------------------------------------------------

    def control(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """What the peer (or the environment) may ask over the link; see each branch."""
        if path == "state":
            return {"global": asdict(self.state), "local": asdict(self.local)}
        if path == "replication":
            return self.replication()
        if path == "announce":
            _background(lambda: self._announced(GlobalState(**body)))
            return {}
        if path == "fence":
            # A newer epoch begins elsewhere: no commit may be acknowledged from here on.
            if body["epoch"] > self.state.epoch and self.member.pid() is not None:
                self.member.stop(immediate=True)
            return {"fenced": True}
        if path == "quiesce":
            return {"checkpoint_lsn": self._quiesce()}
        if path == "reign":
            with self.changing:
                self._start_writer()
            return {}
        raise RdsError("InvalidAction", f"no such control call: {path}", 404)

    def _quiesce(self) -> str:
        """Stop this region's writer for a switchover; where its log ends.

        One whose answer was lost is asked again, and says it again.
        """
        fault = "InvalidGlobalClusterStateFault"
        with self.changing:
            epoch = self.state.epoch
            if self.state.writer != self.region:
                raise RdsError(fault, "this region is not the writer")
            if self._quiesced_in != epoch or self.member.pid() is not None:
                if self.replication().get("state") != "streaming":
                    raise RdsError(fault, "the target is not streaming")
                self.member.stop()
                self._quiesced_in = epoch
                _background(self._unless_orphaned)
            try:
                end = self.member.checkpoint_lsn()
            except PostgresError as error:
                # What it had acknowledged last may not have been sent: nobody may take over from here.
                self._quiesced_in = 0
                _background(lambda: self.insist("resuming as the writer", epoch, self._start_writer))
                raise RdsError(fault, str(error)) from error
            self._quiesced_times += 1
            return end

    def _unless_orphaned(self) -> None:
        """Resume when the switchover for which this writer stopped has come to nothing."""
        epoch = self.state.epoch
        time.sleep(ORPHANED_S)
        while self.state.epoch == epoch and self.member.pid() is None:
            answered = self._quiesced_times
            try:
                peer = self._peers_state()
                if peer.epoch == epoch and peer.failover is None:
                    self.insist("resuming after a lost switchover", epoch,
                                partial(self._start_unless_quiesced_after, answered))
            except httpx.HTTPError:
                pass
            time.sleep(ANNOUNCE_S)

    def _start_unless_quiesced_after(self, answered: int) -> None:
        """A switchover that was answered since somebody looked whether there is one goes on."""
        if self._quiesced_times == answered:
            self._start_writer()

    def _announced(self, state: GlobalState) -> None:
        with self.lock:
            newer = state.epoch > self.state.epoch
            self._adopt(state)
        if newer and self.state.writer != self.region and self.member.initialised:
            self._follow()

    def _announce_forever(self) -> None:
        while True:
            time.sleep(ANNOUNCE_S)
            if self._epoch_of_mine() is not None and self._peer_epoch < self.state.epoch:
                self._announce()

    def _announce(self) -> None:
        epoch = self.state.epoch
        try:
            self._peer.post("/_dr/rds/announce", json=asdict(self.state)).raise_for_status()
            self._peer_epoch = epoch
        except httpx.HTTPError as error:
            print(f"peer not told of epoch {epoch}: {error!r}", flush=True)

    def tell(self) -> None:
        """Have the peer hear of a change of the record."""
        self._announce()

    def ask(self) -> None:
        """Take over what the peer knows.

        Raises:
            httpx.HTTPError: when it does not answer.
        """
        self._adopt(self._peers_state())

    def _peers_state(self) -> GlobalState:
        answer = self._peer.get("/_dr/rds/state")
        answer.raise_for_status()
        return GlobalState(**answer.json()["global"])

    def _adopt(self, state: GlobalState) -> None:
        with self.lock:
            if state.epoch >= self.state.epoch:
                clusters = {**self.state.clusters, **state.clusters}
                mine = self.state.failover if state.epoch == self.state.epoch else None
                self.state = state
                self.state.clusters, self.state.failover = clusters, mine
                self.save()

    # -- observation and records ------------------------------------------------------------

    def replication(self) -> dict[str, Any]:
        """The writer's view of its standby."""
        if self.state.writer != self.region:
            return {"state": "not the writer"}
        try:
            return {**self.member.replication(), "commits_wait": self._guard.holding}
        except psycopg.Error as error:
            return {"state": f"unknown: {error}"}

    def lag_s(self) -> float | None:
        """How far the standby is behind, in seconds; a standby asks its writer. None: not known."""
        try:
            found = (self.replication() if self.state.writer == self.region
                     else self._peer.get("/_dr/rds/replication").raise_for_status().json())
        except (httpx.HTTPError, ValueError):
            return None
        if found.get("state") != "streaming" or found.get("lag_bytes") is None:
            return None
        return float(found["lag_s"] or 0.0) if found["lag_bytes"] else 0.0

    def save(self) -> None:
        """Write the records to disk."""
        with self.lock:
            new = self._path.with_suffix(".new")
            new.write_text(json.dumps({"global": asdict(self.state), "local": asdict(self.local)}))
            os.replace(new, self._path)

    def _epoch_of_mine(self) -> int | None:
        return self.state.epoch if self._resumed and self.state.writer == self.region else None

    def _armed(self, epoch: int) -> None:
        with self.lock:
            self.local.armed = epoch
            self.save()


def _background(work: Callable[[], None]) -> None:
    threading.Thread(target=work, daemon=True).start()
