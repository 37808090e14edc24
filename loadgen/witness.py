"""The witness: the third site, outside both regions, that remembers every acknowledgement.

``python -m loadgen.witness CONFIG``. Ledger writers, task executors and log writers tell it what
they attempted and what was acknowledged to them; it appends each record, with the time at which
it heard it, to one file. What it holds is what the drill later looks for in the surviving region,
so it shares no process, database or network with either.

A message is a list of records (dicts). Keys are short because there are millions of them:
``e`` event (``try``, ``ack``, ``start``, ``effect``), ``s`` stream, ``d`` Deployment, ``r`` region
of the sender, ``t`` the sender's wall-clock time; the rest belongs to the stream. The witness adds
``w``, the time at which it received the record. ``{"stats": true}`` asks for counts.
"""

from __future__ import annotations

import json
import queue
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import uvloop

from harness.lines import LinesClient, serve_lines

PENDING_MOST = 200_000
"""Records kept while the witness cannot be reached; beyond it the oldest are dropped, counted."""
GATHER_S = 0.03
"""After a message the next one waits so long for company: a task's end is four records within a few
milliseconds. By as much a region's last acknowledgements may be missed when it dies."""


class Witness:
    """The server's state: an open file and some counters for the live display."""

    def __init__(self, path: Path) -> None:
        self._sink = path.open("a", buffering=1024 * 1024)
        self._counts: Counter[str] = Counter()

    async def handle(self, message: Any) -> Any:
        """Append records, durably against the death of any process, then say so."""
        if isinstance(message, dict):
            return {"counts": dict(self._counts)}
        now = time.time()
        for record in message:
            record["w"] = now
            self._counts[f"{record['e']}:{record.get('s', 'task')}:{record.get('r', '')}"] += 1
            self._sink.write(json.dumps(record, separators=(",", ":")) + "\n")
        self._sink.flush()
        return {"ok": len(message)}


class WitnessClient:
    """Tells the witness, in the background and in order, without holding up the teller.

    Records go out as soon as the line is free; while the witness cannot be reached they wait,
    and go out when it can again (a witness that is cut off must not look like lost writes).
    """

    def __init__(self, host: str, port: int, token: str) -> None:
        self._address = (host, port, token)
        self._records: queue.Queue[dict[str, Any]] = queue.Queue(PENDING_MOST)
        self.dropped = 0
        self._idle = threading.Event()
        self._idle.set()
        threading.Thread(target=self._send_forever, name="witness", daemon=True).start()

    def tell(self, **record: Any) -> None:
        """Queue one record; ``t`` is set to now unless given."""
        record.setdefault("t", time.time())
        self._idle.clear()
        try:
            self._records.put_nowait(record)
        except queue.Full:
            self.dropped += 1

    def flush(self, timeout: float) -> bool:
        """Wait until everything queued was received; False when it was not in time."""
        return self._idle.wait(timeout)

    def _send_forever(self) -> None:
        client: LinesClient | None = None
        batch: list[dict[str, Any]] = []
        while True:
            if not batch:
                if self._records.empty():
                    self._idle.set()
                batch = [self._records.get()]
                self._idle.clear()
            while len(batch) < 2000:
                try:
                    batch.append(self._records.get_nowait())
                except queue.Empty:
                    break
            try:
                if client is None:
                    client = LinesClient(*self._address)
                client.ask(batch)
                batch = []
                time.sleep(GATHER_S)
            except (OSError, ValueError):
                if client is not None:
                    client.close()
                client = None
                time.sleep(0.2)


async def serve(config: dict[str, Any]) -> None:
    """Serve until killed."""
    witness = Witness(Path(config["log"]))
    await serve_lines(config["host"], config["port"], config["token"], witness.handle)


def main() -> None:
    """Run the witness of the configuration file given as the only argument."""
    uvloop.run(serve(json.loads(Path(sys.argv[1]).read_text())))


if __name__ == "__main__":
    main()
