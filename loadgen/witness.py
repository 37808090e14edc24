"""The witness: the third site, outside both regions, that remembers every acknowledgement.

``python -m loadgen.witness CONFIG``. Ledger writers, task executors and log writers tell it what
they attempted and what was acknowledged to them; it appends each record, with the time at which
it heard it, to one file. What it holds is what the drill later looks for in the surviving region,
so it shares no process, database or network with either.

A message is a list of records (dicts). Keys are short because there are millions of them:
``e`` event (``try``, ``ack``, ``start``, ``effect``; ``beat``: a site's client says that it lives, and in
``n`` what its monotonic clock shows, in milliseconds;
``dropped``: a client gave up ``n`` records), ``s`` stream, ``d`` Deployment, ``r`` region of the sender,
``t`` the sender's wall-clock time, ``c`` the content (see ``loadgen.content``; of a task's start, its
date in microseconds), ``cl`` the client's life and ``q`` the record's number in it, counted from 1
without gaps, ``late`` where the record could not be sent at once; the rest belongs to the stream. The
witness adds ``w``, the time at which it received the record. ``{"stats": true}`` asks for counts.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import uuid
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadgen.spool import SUFFIX, Room, Spool
from loadgen.wire.jsonlines import LinesClient, serve_lines

GATHER_S = 0.03
"""After a message the next one waits so long for company: a task's end is four records within a few
milliseconds. By as much a region's last acknowledgements may be missed when it dies and stays dead."""
RETRY_S = 0.2
BATCH = 2000
LOOK_FOR_DEAD_S = 2.0
ADOPTED_MOST = 16
"""Files of dead clients that one client sends at a time."""
SPANS_MOST = 10_000
"""Gaps in one client's records that the witness remembers."""
SPOOL = "DR_DRILL_SPOOL"


class Heard:
    """Which records of one client were heard, as spans of their numbers: nearly always a single one."""

    def __init__(self) -> None:
        self._first: list[int] = []
        self._last: list[int] = []

    def add(self, number: int) -> bool:
        """Remember a record; False when it was heard before."""
        first, last = self._first, self._last
        place = bisect_right(first, number)  # of the first span that begins after it
        if place and number <= last[place - 1]:
            return False
        joins_left = place > 0 and last[place - 1] == number - 1
        joins_right = place < len(first) and first[place] == number + 1
        if joins_left and joins_right:
            last[place - 1] = last.pop(place)
            first.pop(place)
        elif joins_left:
            last[place - 1] = number
        elif joins_right:
            first[place] = number
        else:
            first.insert(place, number)
            last.insert(place, number)
            if len(first) > SPANS_MOST:
                # A client sends in order, so what is missing between its oldest records was given up.
                first.pop(1)
                last.pop(0)
        return True


class Witness:
    """The server's state: an open file, what was heard of whom, and some counters for the live display."""

    def __init__(self, path: Path) -> None:
        self._sink = path.open("a", buffering=1024 * 1024)
        self._counts: Counter[str] = Counter()
        self._heard: defaultdict[str, Heard] = defaultdict(Heard)

    async def handle(self, message: Any) -> Any:
        """Append records, durably against the death of any process, then say so.

        A record that was heard before is not appended again: its client had missed the answer.
        """
        if isinstance(message, dict):
            return {"counts": dict(self._counts)}
        now = time.time()
        for record in message:
            if "cl" in record and not self._heard[record["cl"]].add(record["q"]):
                continue
            record["w"] = now
            self._counts[f"{record['e']}:{record.get('s', 'task')}:{record.get('r', '')}"] += 1
            self._sink.write(json.dumps(record, separators=(",", ":")) + "\n")
        try:
            self._sink.flush()
        except OSError:
            # What did not get into the file will be sent again: twice in the file is better than not at all.
            self._heard.clear()
            raise
        return {"ok": len(message)}


@dataclass
class Batch:
    """Records on their way, and where they wait until they were received."""

    spool: Spool
    records: list[dict[str, Any]]
    lines: int
    size: int
    """Bytes of the spool's file."""
    torn: int
    """Lines that cannot be read."""


class WitnessClient:
    """Tells the witness, in the background and in order, without holding up the teller.

    Records go out as soon as the line is free; while the witness cannot be reached they wait,
    and go out when it can again (a witness that is cut off must not look like lost writes). They wait
    in a :class:`Spool`, on disk where there is a directory for it, and outlive their client there; each
    client also sends what dead ones of the same directory have left.
    """

    def __init__(
        self, host: str, port: int, token: str, spool: Path | None = None, *, patrols: bool = False,
        who: Mapping[str, str] | None = None, room: Room | None = None,
    ) -> None:
        """``spool``: the directory for what cannot be sent; None: in memory.

        ``patrols``: look for what dead clients left all the time, not only at the start and when the line is
        back. ``who``: fields of the records by which a client speaks of itself (``r``, ``d``). ``room``: for
        what waits; beyond it the newest records are given up, and how many is told.
        """
        self._address, self._who = (host, port, token), dict(who or {})
        self._directory, self._patrols = spool, patrols
        self.life = uuid.uuid4().hex[:12]
        """The ``cl`` of its records."""
        self._number = 0
        """The ``q`` of its last record."""
        self.dropped = 0
        """Records that were given up."""
        self._own = Spool.create(spool, self.life, room)
        if spool is not None and self._own.path is None:
            print(f"{spool} cannot be written: what cannot be sent waits in memory", file=sys.stderr)
        self._adopted: list[Spool] = []
        self._note: dict[str, Any] = {}
        self._note_count = 0
        self._late_until = 0
        """Records of its own with a number up to this one are late."""
        self._down = False
        self._look_at = 0.0
        """When to look for what dead clients left, next (monotonic)."""
        self._own_turn = True
        self._change = threading.Condition()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._send_forever, name="witness", daemon=True)
        self._thread.start()

    @classmethod
    def of_pod(cls, *, patrols: bool = False) -> WitnessClient:
        """The client of a pod, as its environment says."""
        named = {"r": os.environ.get("DR_DRILL_REGION"), "d": os.environ.get("DR_DRILL_DEPLOYMENT")}
        directory = os.environ.get(SPOOL)
        return cls(
            os.environ["DR_DRILL_WITNESS_HOST"], int(os.environ["DR_DRILL_WITNESS_PORT"]),
            os.environ["DR_DRILL_WITNESS_TOKEN"], Path(directory) if directory else None, patrols=patrols,
            who={key: value for key, value in named.items() if value})

    def tell(self, **record: Any) -> None:
        """Queue one record; ``t`` is set to now unless given.

        Raises:
            ValueError: when the client was closed.
        """
        record.setdefault("t", time.time())
        with self._change:
            if self._closing.is_set():
                raise ValueError("a closed client tells nothing")
            self._number += 1
            if not self._own.append(_line({**record, "cl": self.life, "q": self._number})):
                self._give_up()
            self._change.notify_all()

    def flush(self, timeout: float) -> bool:
        """Wait until everything queued was received; False when it was not in time."""
        with self._change:
            return self._change.wait_for(lambda: self._own.empty, timeout)

    def close(self, timeout: float) -> bool:
        """Send no more; what was not received within ``timeout`` seconds is left for the next client.

        Returns whether all of it was received. Nothing may be told afterwards.
        """
        done = self.flush(timeout)
        with self._change:
            if self._closing.is_set():
                return done
            self._closing.set()
            self._change.notify_all()
        self._thread.join()
        self._own.close(remove=self._own.empty)
        for spool in self._adopted:
            spool.close()
        return done

    def _give_up(self) -> None:
        """Count a record for which there is no room; the count goes into the spool as well."""
        self.dropped += 1
        if not self._own.note_open:
            self._number += 1
            self._note_count = 0
            self._note = {"e": "dropped", **self._who, "t": time.time(), "cl": self.life, "q": self._number}
        self._note_count += 1
        # Always equally long, so that it can be written over.
        self._own.note(_line(self._note)[:-1] + b',"n":%12d}' % self._note_count)

    # -- the sender's thread ----------------------------------------------------------------

    def _send_forever(self) -> None:
        line: LinesClient | None = None
        while (batch := self._next_batch()) is not None:
            try:
                if batch.records:
                    if line is None:
                        line = LinesClient(*self._address)
                    line.ask(batch.records)
            except (OSError, ValueError):
                if line is not None:
                    line.close()
                line, self._down = None, True
                self._closing.wait(RETRY_S)
            else:
                self._received(batch)
                self._closing.wait(GATHER_S)
        if line is not None:
            line.close()

    def _next_batch(self) -> Batch | None:
        """Wait for something to send; None once the client is to end."""
        while True:
            if time.monotonic() >= self._look_at:
                self._look_for_dead()
            with self._change:
                if self._closing.is_set():
                    return None
                # In turns: neither may wait until there is nothing left of the other.
                spools = [self._own, *self._adopted] if self._own_turn else [*self._adopted, self._own]
                spool = next((spool for spool in spools if not spool.empty), None)
                if spool is not None:
                    lines, size = spool.take(BATCH)
                    if self._down:
                        self._late_until = self._number
                    break
                self._change.wait(max(0.0, self._look_at - time.monotonic()) if self._patrols else None)
        self._own_turn = spool is not self._own
        records = [record for line in lines if (record := _record(line)) is not None]
        for record in records:
            if spool is not self._own or record["q"] <= self._late_until:
                record["late"] = True
        return Batch(spool, records, len(lines), size, len(lines) - len(records))

    def _received(self, batch: Batch) -> None:
        with self._change:
            batch.spool.taken(batch.lines, batch.size)
            if batch.spool is not self._own and batch.spool.empty:
                self._adopted.remove(batch.spool)
                batch.spool.close(remove=True)
                self._look_at = 0.0  # there may be more than could be taken at a time
            self._change.notify_all()
        if batch.torn:
            self.dropped += batch.torn
            self.tell(e="dropped", **self._who, n=batch.torn)
        if self._down and batch.records:
            self._down, self._look_at = False, 0.0

    def _look_for_dead(self) -> None:
        """Take over what clients have left that are dead."""
        self._look_at = time.monotonic() + LOOK_FOR_DEAD_S if self._patrols else float("inf")
        if self._directory is None:
            return
        mine = {spool.path for spool in (self._own, *self._adopted)}
        for path in self._directory.glob(f"*{SUFFIX}"):
            if len(self._adopted) == ADOPTED_MOST:
                return
            if path in mine or (found := Spool.adopt(path)) is None:
                continue
            if found.empty:
                found.close(remove=True)
            else:
                self._adopted.append(found)


def _line(record: dict[str, Any]) -> bytes:
    return json.dumps(record, separators=(",", ":")).encode()


def _record(line: bytes) -> dict[str, Any] | None:
    """The record of a line; None when it was cut off."""
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


async def serve(config: dict[str, Any]) -> None:
    """Serve until killed."""
    witness = Witness(Path(config["log"]))
    await serve_lines(config["host"], config["port"], config["token"], witness.handle)


def main() -> None:
    """Run the witness of the configuration file given as the only argument."""
    import uvloop  # here, because clients do without

    uvloop.run(serve(json.loads(Path(sys.argv[1]).read_text())))


if __name__ == "__main__":
    main()
