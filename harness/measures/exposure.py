"""Exposure: the replication lag before a transition, sampled: what the RPO would have been otherwise.

The RPO of a drill is one draw. The lag's distribution (p50, p99, maximum) over the time before the fault says what
other moments would have cost. It does **not** say that they would have: a lag is an upper bound of the loss at that
moment only as far as the sampling interval resolves it.
"""

from __future__ import annotations

from harness.measures.result import Exposure
from harness.record.tables import Tables


def exposure(tables: Tables, until: float) -> Exposure:
    """The lag of the metadata database up to a moment (wall-clock seconds)."""
    samples, p50, p99, most, most_bytes = tables.one("""
        select count(*), quantile_disc(lag_s, 0.5), quantile_disc(lag_s, 0.99), max(lag_s), max(lag_bytes)
        from samples where t <= $until and lag_state = 'streaming'""", until=until)
    return Exposure(samples=samples, p50_s=p50, p99_s=p99, max_s=most, max_bytes=most_bytes)
