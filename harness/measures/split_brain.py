"""Two writers at once: writes that a second reign would have contradicted.

Counted apart: **database writes** acknowledged by a writer of the older epoch after the newer epoch
began; **side effects** that reached the witness from a region that was not active; **double runs**,
the same task instance with signs of life from both regions at the same time.

An epoch begins with t_promoted, the first commit that the new writer acknowledged. It does **not**
count what the old region did before that, however long it was cut off: that is not a split brain
but a loss, and ``rpo`` counts it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from harness.evidence import Record
from harness.measures.timeline import Transition

EXAMPLES = 5


@dataclass(frozen=True)
class SplitBrain:
    """Counts and examples."""

    database_writes: int
    side_effects: int
    double_runs: int
    examples: tuple[dict[str, Any], ...] = ()

    @property
    def total(self) -> int:
        """All kinds together."""
        return self.database_writes + self.side_effects + self.double_runs


def split_brain(records: Iterable[Record], transition: Transition) -> SplitBrain:
    """What the region that was left did after the new epoch began."""
    if transition.t_promoted is None:
        return SplitBrain(0, 0, 0)
    writes: list[Record] = []
    effects: list[Record] = []
    started: dict[tuple[Any, ...], float] = {}
    old_life: dict[tuple[Any, ...], float] = {}
    for record in records:
        region = record.get("r")
        if record["e"] in ("start", "effect"):
            key = (record["d"], record["dag"], record["run"], record["task"], record["map"])
            if region == transition.target and record["e"] == "start":
                if transition.t_promoted < record["t"] < transition.t_next:
                    started[key] = min(started.get(key, record["t"]), record["t"])
            elif region == transition.source and record["t"] < transition.t_next:
                old_life[key] = max(old_life.get(key, 0.0), record["t"])
        if region != transition.source:
            continue
        if not transition.t_promoted < record["t"] < transition.t_next:
            continue
        if record["e"] == "ack" and record.get("s") in ("ledger", "airflow"):
            writes.append(record)
        if record["e"] == "effect":
            effects.append(record)
    double = [key for key, begun in started.items() if old_life.get(key, 0.0) > begun]
    return SplitBrain(len(writes), len(effects), len(double),
                      tuple([*writes, *effects][:EXAMPLES]))


def intruders(records: Iterable[Record], active: str) -> SplitBrain:
    """In a run without a transition: signs of life from the region that is not active."""
    writes, effects = 0, 0
    started: dict[tuple[Any, ...], set[Any]] = {}
    for record in records:
        if record["e"] in ("start", "effect"):
            key = (record["d"], record["dag"], record["run"], record["task"], record["map"])
            started.setdefault(key, set()).add(record.get("r"))
        if record.get("r") == active:
            continue
        writes += record["e"] == "ack" and record.get("s") in ("ledger", "airflow")
        effects += record["e"] == "effect"
    double = len([key for key, regions in started.items() if len(regions) > 1])
    return SplitBrain(writes, effects, double)
