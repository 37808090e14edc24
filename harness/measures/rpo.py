"""What was lost: acknowledged before the fault, and not there once the drill had settled.

**RPO of a stream** = t_fault - the acknowledgement time of the oldest lost write (0 where none is
lost), with the count. A write is *acknowledged* when a client got success and told the witness.
Streams: ``metadata`` (ledger rows, and Airflow's own acknowledgements: Dag runs created, task
states, XComs) and ``task-logs`` (objects). What is absent after the failover but there again at the
end of the run, once the old region is back, is counted as lost *and* shown as recovered later.

It does **not** mean: what *would* have been lost at another moment (see ``exposure``), nor anything
about writes that were never acknowledged: those are ``unknown``, and may be there (``recovered``) or
not. ``phantom`` writes are there and were never attempted; there must be none.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from harness.evidence import Record, Snapshot
from harness.measures.interval import Interval

EXAMPLES = 5
CLOCK_ERROR_S = 0.01
"""One host's clock serves all; what is left is the time between an event and its time stamp."""


@dataclass(frozen=True)
class Loss:
    """What one stream lost."""

    stream: str
    acknowledged: int
    lost: int
    window: Interval
    recovered_later: int = 0
    unknown: int = 0
    recovered: int = 0
    phantom: int = 0
    parts: dict[str, int] = field(default_factory=dict)
    """Lost writes by part of the stream (``ledger``, ``state``, ``xcom``, ``dagrun``)."""
    examples: tuple[dict[str, Any], ...] = ()


def metadata(records: Iterable[Record], source: str, t_fault: float, settled: Snapshot,
             last: Snapshot) -> Loss:
    """The loss of the metadata databases. ``last``: the run's last snapshot."""
    acked, recovered_later = 0, 0
    lost: list[Record] = []
    parts: dict[str, int] = {}
    attempted: set[tuple[str, str, int]] = set()
    answered: set[tuple[str, str, int]] = set()
    states = _last_states(records)
    for record in records:
        ledger = record.get("s") == "ledger"
        if ledger and record["e"] == "try":
            attempted.add((record["d"], record["wr"], record["n"]))
        if record["e"] != "ack" or record.get("s") not in ("ledger", "airflow"):
            continue
        if ledger:
            answered.add((record["d"], record["wr"], record["n"]))
        if record["t"] > t_fault or record.get("r") != source:
            continue
        acked += 1
        if not _present(record, settled, states):
            kind = "ledger" if ledger else str(record["k"])
            parts[kind] = parts.get(kind, 0) + 1
            lost.append(record)
            recovered_later += _present(record, last, states)
    unknown = {key for key in attempted - answered if key[1].split("/")[0] == source}
    phantom = {row for row in settled.rows if row not in attempted}
    return Loss(
        "metadata", acked, len(lost), _window(lost, t_fault), recovered_later,
        unknown=len(unknown), recovered=len(unknown & settled.rows), phantom=len(phantom),
        parts=parts, examples=_examples(lost),
    )


def task_logs(records: Iterable[Record], source: str, t_fault: float, settled: Snapshot,
              last: Snapshot) -> Loss:
    """The loss of task-log objects."""
    acked = [r for r in records
             if r["e"] == "ack" and r.get("s") == "task-logs" and r.get("r") == source
             and r["t"] <= t_fault]
    lost = [r for r in acked if r["key"] not in settled.logs]
    later = sum(1 for r in lost if r["key"] in last.logs)
    return Loss("task-logs", len(acked), len(lost), _window(lost, t_fault), later,
                examples=_examples(lost))


def _last_states(records: Iterable[Record]) -> dict[tuple[str, str, str, str, int], int]:
    """The last try of each task instance whose success was acknowledged."""
    found: dict[tuple[str, str, str, str, int], int] = {}
    for r in records:
        if r["e"] == "ack" and r.get("k") == "state":
            key = (r["d"], r["dag"], r["run"], r["task"], r["map"])
            found[key] = max(found.get(key, 0), r["n"])
    return found


def _present(record: Record, settled: Snapshot, states: dict[Any, int]) -> bool:
    if record["s"] == "ledger":
        return (record["d"], record["wr"], record["n"]) in settled.rows
    if record["k"] == "dagrun":
        return (record["d"], record["dag"], record["run"]) in settled.runs
    key = (record["d"], record["dag"], record["run"], record["task"], record["map"])
    if record["k"] == "xcom":
        return key in settled.xcoms
    # A success that was forgotten is run again: then the try number has grown past the one that
    # was acknowledged, even if the task succeeded in the end.
    state, tries = settled.tasks.get(key, (None, 0))
    return state == "success" and tries == record["n"] and states.get(key) == record["n"]


def _window(lost: list[Record], t_fault: float) -> Interval:
    oldest = min((record["t"] for record in lost), default=None)
    return Interval(0.0 if oldest is None else max(0.0, t_fault - oldest),
                    CLOCK_ERROR_S if lost else 0.0)


def _examples(lost: list[Record]) -> tuple[dict[str, Any], ...]:
    oldest = sorted(lost, key=lambda record: float(record["t"]))[:EXAMPLES]
    return tuple({k: v for k, v in record.items() if k not in ("e", "w")} for record in oldest)
