"""S3 replication that copies: what moto accepts as a rule, this carries out.

The facts followed are S3's own: only versioned buckets replicate; an object written after the
rule was set is ``PENDING`` until its copy is acknowledged, then ``COMPLETED``; the copy has the
same version id and the status ``REPLICA``, and a replica is never replicated again, which is what
keeps two buckets that replicate to each other from looping; what cannot be copied yet stays
pending and is tried again (S3 retries for days). Objects older than the rule stay where they are.
Delete markers are not replicated (S3's default). Copies run over the link between the regions.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

import httpx
from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import FakeKey, S3Backend, s3_backends

from harness.environments.embedded.aws.wal import WriteAheadLog
from loadgen.wire.http import http_client

RETRY_FIRST, RETRY_MOST = 0.2, 2.0
WORKERS = 2
GATHER_S = 0.5
"""What was written within so short a time is copied together: a fleet's logs come in bursts, and a
connection for each of them costs more than the bytes. (S3 itself takes seconds.)"""
TOGETHER_MOST, TOGETHER_BYTES = 32, 1024 * 1024
REPLICA_PATH = "/_dr/s3/replica"


def backend() -> S3Backend:
    """Moto's S3 state in this process."""
    return s3_backends[DEFAULT_ACCOUNT_ID]["aws"]


@dataclass(frozen=True)
class Pending:
    """One version that waits to be copied."""

    bucket: str
    key: str
    version: str
    target: str
    size: int
    since: float


class Replicator:
    """Copies pending versions to the peer region, a few at a time, in order of arrival."""

    def __init__(self, peer: str, token: str, log: WriteAheadLog) -> None:
        """``peer``: base URL of the other region's endpoint through the link."""
        self._peer, self._token, self._log = peer, token, log
        self._queue: deque[Pending] = deque()
        self._flying: set[Pending] = set()
        self._wake = threading.Condition()
        self.status: dict[tuple[str, str, str], str] = {}
        self._latencies: deque[float] = deque(maxlen=2000)
        self.failed_attempts = 0
        self.completed = 0

    def start(self) -> None:
        """Start the copying threads."""
        for number in range(WORKERS):
            threading.Thread(target=self._work, name=f"replicate-{number}", daemon=True).start()

    def written(self, bucket: str, key: str) -> None:
        """An object was written by a client: queue its newest version where a rule asks."""
        stored = backend().get_object(bucket, key)
        if not isinstance(stored, FakeKey):
            return
        target = _target(bucket, key)
        if target is None or stored.version_id == "null":
            return
        self.status[bucket, key, stored.version_id] = "PENDING"
        item = Pending(bucket, key, stored.version_id, target, int(stored.contentsize), time.time())
        with self._wake:
            self._queue.append(item)
            self._wake.notify()

    def note(self, note: dict[str, Any]) -> None:
        """Apply a recorded status at start: what was completed need not be copied again."""
        identity = (note["bucket"], note["key"], note["version"])
        self.status[identity] = note["status"]
        with self._wake:
            self._queue = deque(
                p for p in self._queue if (p.bucket, p.key, p.version) != identity
            )

    def accept(self, copies: list[dict[str, Any]]) -> None:
        """Store copies that the peer sent. Storing the same version twice changes nothing."""
        for copy in copies:
            self._accept(copy)

    def _accept(self, body: dict[str, Any]) -> None:
        bucket, name, version = body["bucket"], body["key"], body["version"]
        held = backend().get_bucket(bucket).keys.getlist(name, [])
        if not any(getattr(key, "version_id", None) == version for key in held):
            stored = backend().put_object(bucket, name, base64.b64decode(body["value"]))
            stored._version_id = version
            stored._metadata.update(body["metadata"])
            # The newest version is the one a GET answers with; a late replica of an older
            # write must not hide a newer object of the same name.
            versions = backend().get_bucket(bucket).keys.getlist(name, [])
            backend().get_bucket(bucket).keys.setlist(
                name, sorted(versions, key=lambda k: body["written"] if k is stored else _written(k))
            )
        self.status[bucket, name, version] = "REPLICA"

    def metrics(self) -> dict[str, Any]:
        """S3's replication metrics by their CloudWatch names (bytes, operations, seconds)."""
        with self._wake:
            waiting = [*self._queue, *self._flying]
        oldest = min((item.since for item in waiting), default=None)
        latencies = sorted(self._latencies)
        return {
            "BytesPendingReplication": sum(item.size for item in waiting),
            "OperationsPendingReplication": len(waiting),
            "ReplicationLatency": 0.0 if oldest is None else time.time() - oldest,
            "ReplicationLatencyMax": latencies[-1] if latencies else 0.0,
            "OperationsFailedReplication": self.failed_attempts,
            "OperationsCompleted": self.completed,
        }

    # -- inner works --------------------------------------------------------------------

    def _work(self) -> None:
        client = self._client()
        pause = RETRY_FIRST
        while True:
            with self._wake:
                while not self._queue:
                    self._wake.wait()
                backlog = len(self._queue) >= TOGETHER_MOST
            if not backlog:
                time.sleep(GATHER_S)
            items = self._take()
            try:
                done = self._copy(client, items)
            except httpx.HTTPError:
                done = False
            with self._wake:
                self._flying.difference_update(items)
                if not done:
                    self.failed_attempts += len(items)
                    self._queue.extendleft(reversed(items))
            if done:
                pause = RETRY_FIRST
            else:
                time.sleep(pause)
                pause = min(pause * 2, RETRY_MOST)

    def _take(self) -> list[Pending]:
        """The next versions to copy together, in the order in which they were written."""
        taken: list[Pending] = []
        with self._wake:
            while self._queue and len(taken) < TOGETHER_MOST:
                if taken and sum(item.size for item in taken) + self._queue[0].size > TOGETHER_BYTES:
                    break
                taken.append(self._queue.popleft())
            self._flying.update(taken)
        return taken

    def _client(self) -> httpx.Client:
        return http_client(timeout=5, headers={"x-dr-token": self._token})

    def _copy(self, client: httpx.Client, items: list[Pending]) -> bool:
        copies = [(item, copy) for item in items if (copy := _copy_of(item)) is not None]
        if not copies:
            return True  # deleted since
        answer = client.post(f"{self._peer}{REPLICA_PATH}", content=json.dumps([c for _, c in copies]))
        if answer.status_code != 200:
            return False
        for item, _ in copies:
            self.status[item.bucket, item.key, item.version] = "COMPLETED"
            self._log.append_note({"bucket": item.bucket, "key": item.key, "version": item.version,
                                   "status": "COMPLETED"})
            self._latencies.append(time.time() - item.since)
            self.completed += 1
        return True


def _copy_of(item: Pending) -> dict[str, Any] | None:
    """What is sent of a version; None when it has been deleted since."""
    stored = backend().get_object(item.bucket, item.key, version_id=item.version)
    if not isinstance(stored, FakeKey):
        return None
    return {"bucket": item.target, "key": item.key, "version": item.version,
            "value": base64.b64encode(stored.value).decode(),
            "metadata": dict(stored.metadata), "written": _written(stored)}


def _written(key: Any) -> float:
    return float(key.last_modified.timestamp())


def _target(bucket: str, key: str) -> str | None:
    """The destination bucket of the first enabled rule that covers the key."""
    held = backend().get_bucket(bucket)
    rules = (getattr(held, "replication", None) or {}).get("Rule", [])
    if not held.is_versioned:
        return None
    for rule in rules:
        prefix = rule.get("Prefix") or (rule.get("Filter") or {}).get("Prefix") or ""
        if rule.get("Status") == "Enabled" and key.startswith(prefix):
            return str(rule["Destination"]["Bucket"]).rsplit(":", 1)[-1]
    return None
