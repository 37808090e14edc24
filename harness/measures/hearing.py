"""Whether the witness could hear a site, and what reached it: nothing may look better for being unheard.

Each site's client tells the witness every few seconds that it lives (a **beat**). A span without beats, while the site
had power, is a **silence**: what the site got accepted in it is not known, and figures that depend on it have no upper
bound. Records that a client could not send are kept by it and sent later, marked late; they end the silence, for they
carry the time at which they were told. A client numbers its records: a number that is missing is a record that was
**dropped** on the way.

It does **not** cover the last moments of a client that was killed: what it had told and not yet sent is gone with
it. By how much is the **blind window**: the longest that a record took to the witness when all was well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from harness.measures.timeline import Outage
from harness.record.events import FleetUp, Looked, Settled
from harness.record.evidence import Evidence
from harness.record.tables import Tables

SILENT_BEATS = 8.0
"""So many beats that are missing are a silence: fewer are a busy machine."""
BLIND_LEAST_S = 0.03
"""Clients send in batches so far apart."""


@dataclass(frozen=True)
class Silence:
    """A span in which a site had power and was not heard, in wall-clock seconds."""

    site: str
    began: float
    ended: float

    def __str__(self) -> str:
        return (f"{self.site} was not heard by the witness for {self.ended - self.began:.0f} s; "
                "what it got accepted in that time is not known")


def silences(evidence: Evidence, sites: Sequence[str], outages: Sequence[Outage], interval: float) -> list[Silence]:
    """The silences of all sites, from when the fleet was up to the last look; none where nobody sends beats."""
    up = evidence.first(FleetUp)
    ends = [e.ended for e in evidence.of(Looked)] + [e.wall for e in evidence.of(Settled)]
    if not interval or up is None or not ends:
        return []
    patience, end = SILENT_BEATS * interval, max(ends)
    beats: dict[str, list[float]] = {site: [] for site in sites}
    for row in evidence.tables.rows("select r, t from witness where e = 'beat' order by t"):
        beats.setdefault(row["r"], []).append(row["t"])
    found = []
    for site in sites:
        off = [outage for outage in outages if outage.site == site]
        # Its clients start some time after the fleet is up, and after its power is back.
        heard = [t for t in beats[site] if up.wall < t <= end]
        marks = [min(up.wall + patience, heard[0]), *heard, end] if heard else [up.wall, end]
        for one, other in pairwise(marks):
            for began, ended in _with_power(one, other, off, patience):
                if ended - began > patience:
                    found.append(Silence(site, began, ended))
    return found


def _with_power(began: float, ended: float, off: Sequence[Outage], starting: float) -> list[tuple[float, float]]:
    """What is left of a span without the outages; a site that comes back has ``starting`` seconds to speak again."""
    spans = [(began, ended)]
    for outage in off:
        back = outage.ended + starting
        spans = [part for a, b in spans for part in ((a, min(b, outage.began)), (max(a, back), b))
                 if part[1] > part[0]]
    return spans


def whole(tables: Tables) -> bool:
    """Whether each record of every client is there exactly once, by the numbers that clients give them.

    By their sums: of the squares as well, so that some which are there twice do not make up for some that are missing.
    """
    return bool(tables.value("""
        select coalesce(bool_and(cl is not null and most = there and total = most::hugeint * (most + 1) // 2
                                 and squares = most::hugeint * (most + 1) * (2 * most + 1) // 6), true)
        from (select cl, max(q) as most, count(*) as there, sum(q) as total, sum(q::hugeint * q) as squares
              from witness group by cl)"""))


def dropped(tables: Tables) -> int:
    """How many records never reached the evidence: by the numbers of those that did, or by their clients' word."""
    missing = int(tables.value("""
        select coalesce(sum(most - there), 0) from (
            select max(q) as most, count(distinct q) as there from witness
            where cl is not null and q is not null group by cl)"""))
    return max(missing, given_up(tables))


def given_up(tables: Tables) -> int:
    """Records that clients themselves say they had to give up."""
    return int(tables.value("select coalesce(sum(n), 0) from witness where e = 'dropped'"))


def blind(tables: Tables, until: float) -> float:
    """The longest that a record took to the witness, of those that it had before anything was broken (seconds).

    One in a thousand may have taken longer. (A quantile of DuckDB's would hold all of them in memory.)
    """
    tables.db.execute("""
        create or replace temp view delays as
        select w - t as delay, w from witness where e in ('ack', 'effect') and not coalesce(late, false)""")
    longer = int(tables.value("select count(*) from delays where w < $until", until=until)) // 1000
    found = tables.rows("select delay from delays where w < $until order by delay desc limit 1 offset $longer",
                        until=until, longer=longer)
    return max(BLIND_LEAST_S, float(found[0]["delay"] if found else 0.0))
