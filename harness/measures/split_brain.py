"""Two writers at once: writes that a second reign would have contradicted.

Counted apart: **database writes** acknowledged by a writer of the older epoch after the newer epoch
began; **side effects** that reached the witness from a region that was not active; **double runs**,
the same task instance with signs of life from both regions at the same time.

An epoch begins with t_promoted, the first commit that the new writer acknowledged. It does **not**
count what the old region did before that, however long it was cut off: that is not a split brain
but a loss, and ``rpo`` counts it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness.measures.timeline import Transition
from harness.tables import Tables

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


WRITE = "e = 'ack' and s in ('ledger', 'airflow')"
LIFE = "e in ('start', 'effect')"


def split_brain(tables: Tables, transition: Transition) -> SplitBrain:
    """What the region that was left did after the new epoch began."""
    if transition.t_promoted is None:
        return SplitBrain(0, 0, 0)
    span = {"source": transition.source, "target": transition.target,
            "since": transition.t_promoted, "until": transition.t_next}
    writes, effects = tables.one(f"""
        select count(*) filter ({WRITE}), count(*) filter (e = 'effect') from witness
        where r = $source and t > $since and t < $until""", **_only(span, "source since until"))
    double = tables.value(f"""
        select count(*) from (
            select min(t) filter (r = $target and e = 'start' and t > $since) as begun,
                   max(t) filter (r = $source) as old_life
            from witness where {LIFE} and t < $until
            group by d, dag, run, task, map)
        where old_life > begun""", **span)
    examples = tables.rows(f"""
        select * exclude (w) from witness
        where r = $source and t > $since and t < $until and ({WRITE} or e = 'effect')
        order by t limit {EXAMPLES}""", **_only(span, "source since until"))
    return SplitBrain(writes, effects, double, tuple(examples))


def intruders(tables: Tables, active: str) -> SplitBrain:
    """In a run without a transition: signs of life from the region that is not active."""
    writes, effects = tables.one(f"""
        select count(*) filter ({WRITE}), count(*) filter (e = 'effect') from witness
        where r <> $active""", active=active)
    double = tables.value(f"""
        select count(*) from (
            select 1 from witness where {LIFE}
            group by d, dag, run, task, map having count(distinct r) > 1)""")
    return SplitBrain(writes, effects, double)


def _only(values: dict[str, Any], names: str) -> dict[str, Any]:
    return {name: values[name] for name in names.split()}
