"""Exposure: the replication lag before the fault, sampled: what the RPO would have been otherwise.

The RPO of a drill is one draw. The lag's distribution (p50, p99, maximum) over the load phase says
what other moments would have cost. It does **not** say that they would have: a lag is an upper
bound of the loss at that moment only as far as the sampling interval resolves it.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.journal import Event
from harness.measures.interval import percentile


@dataclass(frozen=True)
class Exposure:
    """Replication lag in seconds and bytes over a span of samples."""

    samples: int
    p50_s: float | None
    p99_s: float | None
    max_s: float | None
    max_bytes: float | None


def exposure(samples: list[Event], until: float) -> Exposure:
    """The lag of the metadata database up to a moment (wall-clock seconds)."""
    seen = [s["lag"] for s in samples
            if s.wall <= until and (s.get("lag") or {}).get("state") == "streaming"]
    seconds = [float(lag["lag_s"]) for lag in seen if lag.get("lag_s") is not None]
    sizes = [float(lag["lag_bytes"]) for lag in seen if lag.get("lag_bytes") is not None]
    return Exposure(len(seen), percentile(seconds, 0.5), percentile(seconds, 0.99),
                    max(seconds, default=None), max(sizes, default=None))
