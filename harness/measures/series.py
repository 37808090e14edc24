"""Numbers over time, for pictures: how much ran, and how many commits a second each site acknowledged."""

from __future__ import annotations

from harness.measures.history import History
from harness.measures.result import Loss, Series
from harness.measures.timeline import Move

BEFORE_S, AFTER_S = 20.0, 90.0


def running(history: History) -> Series:
    """Task instances in state running, by seconds since the run began; None where no database answered."""
    zero = history.evidence.events[0].wall if history.evidence.events else 0.0
    samples = history.tables.rows("select t, answered, running from samples order by n")
    return Series(at=[round(s["t"] - zero, 3) for s in samples],
                  values=[float(s["running"]) if s.get("answered") else None for s in samples])


def ledger(history: History, move: Move, loss: Loss) -> dict[str, Series]:
    """Ledger commits a second by site, by seconds around the fault."""
    low = loss.rpo.low if loss.rpo is not None and loss.lost else 0.0
    before = int(max(BEFORE_S, 1.1 * low))
    after = int(min(AFTER_S, (move.settled or move.until) - move.fault_seen))
    seconds = list(range(-before, max(after, 1)))
    found = {}
    for site in (move.source, move.target):
        counts = {row["second"]: row["commits"] for row in history.tables.rows("""
            select floor(t - $zero)::integer as second, count(*) as commits from witness
            where e = 'ack' and s = 'ledger' and r = $site and t between $first and $final group by 1""",
            zero=move.fault_seen, site=site, first=move.fault_seen - before, final=move.fault_seen + after)}
        found[site] = Series(at=[float(s) for s in seconds], values=[float(counts.get(s, 0)) for s in seconds])
    return found
