"""Exposure: the replication lag before the fault, sampled: what the RPO would have been otherwise.

The RPO of a drill is one draw. The lag's distribution (p50, p99, maximum) over the load phase says
what other moments would have cost. It does **not** say that they would have: a lag is an upper
bound of the loss at that moment only as far as the sampling interval resolves it.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.tables import Tables


@dataclass(frozen=True)
class Exposure:
    """Replication lag in seconds and bytes over a span of samples."""

    samples: int
    p50_s: float | None
    p99_s: float | None
    max_s: float | None
    max_bytes: float | None


def exposure(tables: Tables, until: float) -> Exposure:
    """The lag of the metadata database up to a moment (wall-clock seconds)."""
    found = tables.one("""
        select count(*), quantile_disc(lag_s, 0.5), quantile_disc(lag_s, 0.99), max(lag_s),
               max(lag_bytes)
        from samples where t <= $until and lag_state = 'streaming'""", until=until)
    return Exposure(*found)
