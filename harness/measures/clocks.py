"""Clocks: whether the times in the record can be compared.

Durations between events of the harness come from its monotonic clock; every event carries both clocks, and a wall
clock that went another way than the monotonic one is a **step**, which is a gap. The witness notes its own time of
receipt, so a site's clock is known against the witness's: its **offset** is what its fastest record shows (sent at
t, received at w: the offset is at most w - t, and less by no more than the record's way). What sites' offsets
differ by, from each other's and from the witness's, is added to the error of everything that compares times of two.
A site's own clock is held against its monotonic one as well, by the beats of its client, which carry both.

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
"""What a record may take on its way when everything is well: that much of an offset is no fault of a clock."""

BEATS_LEAST = 5
"""The fastest of fewer beats may have been slow."""

AWAY = """
select wall, wall - monotonic - $base as off from probes
where abs(wall - monotonic - $base) > $step + $slew * abs(monotonic - $since) order by wall limit 1"""
SITE_STEPS = """
with lives as (
    select r, cl, max(t - n / 1000.0) - min(t - n / 1000.0) as moved, (max(n) - min(n)) / 1000.0 as span,
           min(w - t) filter (not coalesce(late, false)) as least,
           count(*) filter (not coalesce(late, false)) as beats
    from witness where e = 'beat' and r is not null and n is not null group by r, cl),
found as (
    select r, moved from lives where moved > $step + $slew * span
    union all
    select r, max(least) - min(least) from lives where beats >= $enough group by r
        having max(least) - min(least) > $step)
select r, max(moved) as moved from found group by r order by r"""
"""Within the life of a site's client by its monotonic clock, between two lives by the witness's."""


def harness_steps(events: Sequence[Recorded], tables: Tables) -> list[str]:
    """Where the harness's wall clock was set, in words."""
    found = steps(events)
    if found or not events:
        return found
    first = events[0]
    return [f"the wall clock was {row['off']:+.1f} s off the monotonic one as the probe of {row['wall']:.3f} was told"
            for row in tables.rows(AWAY, base=first.wall - first.monotonic, since=first.monotonic, step=STEP_S,
                                   slew=SLEW)]


def site_steps(tables: Tables) -> list[str]:
    """The sites whose own clock was set during the run, in words."""
    return [f"the clock of {row['r']} was set by {row['moved']:.1f} s during the run"
            for row in tables.rows(SITE_STEPS, step=STEP_S, slew=SLEW, enough=BEATS_LEAST)]


def steps(events: Sequence[Recorded]) -> list[str]:
    """Where the wall clock was set between two events, in words."""
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
    """By how much a site's clock may be off against the others' and the witness's, in seconds.

    What the fastest record took is part of that: whether it was the way or the clock, nobody can tell.
    """
    known = [0.0, *(value for value in found.values() if value is not None)]
    return {site: max(abs(value - other) for other in known)
            for site, value in found.items() if value is not None}
