"""Clocks: whether the times in the record can be compared.

Durations between events of the harness come from its monotonic clock; every event carries both clocks, and a wall
clock that went another way than the monotonic one is a **step**, which is a gap. The witness notes its own time of
receipt, so a site's clock is known against the witness's: its **offset** is what its fastest record shows (sent at
t, received at w: the offset is at most w - t, and less by no more than the record's way). What sites' offsets
differ by, from each other's and from the witness's, is added to the error of everything that compares times of two.

It does **not** say that a clock was right: only that the clocks of the run agreed with each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from harness.record.events import Recorded
from harness.record.tables import Tables

STEP_S = 0.25
"""A wall clock that moves by more against the monotonic one, between two events, has been set. (Slewing is 0.5 ms a
second: half an hour of it stays below.)"""
SLEW = 0.0005
"""Seconds a second by which a clock may be slewed without having been set."""
WAY_S = 0.1
"""What a record may take on its way when everything is well; offsets are not told apart more finely."""


def steps(events: Sequence[Recorded]) -> list[str]:
    """Where the wall clock was set, in words."""
    found: list[str] = []
    for one, other in pairwise(events):
        moved = (other.wall - one.wall) - (other.monotonic - one.monotonic)
        if abs(moved) > STEP_S:
            found.append(f"the wall clock was set by {moved:+.1f} s between records {one.record} and {other.record}")
    if found or not events:
        return found
    # Many small steps are one large one.
    first = events[0]
    for event in events:
        span = event.monotonic - first.monotonic
        if abs(event.wall - first.wall - span) > STEP_S + SLEW * span:
            return [f"the wall clock went {event.wall - first.wall - span:+.1f} s away from the monotonic one up to "
                    f"record {event.record}"]
    return found


def offsets(tables: Tables) -> dict[str, float | None]:
    """By site: the least time from a record's own time stamp to its receipt; None where none tells."""
    rows = tables.rows("""
        select r, min(w - t) as least from witness
        where r is not null and t is not null and not coalesce(late, false) group by r""")
    return {row["r"]: row.get("least") for row in rows}


def doubts(found: dict[str, float | None]) -> dict[str, float]:
    """By how much a site's clock may be off against the others' and the witness's, in seconds."""
    known = [0.0, *(value for value in found.values() if value is not None)]
    return {site: max(0.0, max(abs(value - other) for other in known) - WAY_S)
            for site, value in found.items() if value is not None}
