"""Epochs: who was the one writer of each Deployment's metadata, and since when.

An **epoch** is a reign of one writer of one Deployment's metadata at one site. It begins with the database's own
word (a new timeline, a connection that was switched), with an error of its own. Everything else is joined to
this table: Deployments of one fleet may move at different moments, and to different sites.

Where the database's word is not there, the begin of an epoch is only *inferred*: it lies between the request and
the first write that the new site acknowledged, and whatever happened in between is uncertain, so that figures that
depend on it are inconclusive. It does **not** begin with something that the standby site may do at any time (push
an image, say).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from harness.measures.timeline import Move
from harness.record.events import EpochBegan
from harness.record.evidence import Evidence
from harness.record.tables import Tables

BEFORE = -1e18
"""The begin of an epoch that was there before anybody looked, in place of minus infinity."""
AFTER = 1e18
COLUMNS = {"d": "varchar", "number": "integer", "site": "varchar", "began_first": "double", "began_last": "double",
           "ended_first": "double", "ended_last": "double", "move": "integer"}


@dataclass(frozen=True)
class Epoch:
    """A reign. ``first`` and ``last``: the earliest and the latest moment at which it can have begun."""

    deployment: str
    number: int
    site: str
    first: float
    last: float
    inferred: bool = False
    move: int | None = None
    """The transition that brought it about; None: it was there before, or nobody had asked for it."""

    @property
    def began(self) -> float:
        """The middle of what is possible."""
        return self.first if self.first == BEFORE else (self.first + self.last) / 2

    @property
    def error(self) -> float:
        """How far off that may be."""
        return 0.0 if self.first == BEFORE else (self.last - self.first) / 2


def epochs(evidence: Evidence, fleet: Sequence[str], active: str, moves: Sequence[Move],
           offsets: dict[str, float]) -> dict[str, list[Epoch]]:
    """The epochs of every Deployment, oldest first.

    ``active``: the site that Airflow ran at when the fleet came up; ``offsets``: by how many seconds a site's
    clock may be wrong against the others', which is added to the error.
    """
    told = evidence.of(EpochBegan)
    first_written = _FirstWrites(evidence.tables)
    found: dict[str, list[Epoch]] = {}
    for name in fleet:
        mine = [m for m in moves if name in m.deployments]
        made = [Epoch(name, e.number, e.site, e.began - e.error - offsets.get(e.site, 0.0),
                      e.began + e.error + offsets.get(e.site, 0.0))
                for e in sorted(told, key=lambda e: e.began) if e.deployment in (None, name)]
        home = mine[0].source if mine else active
        if made and made[0].site == home and not (mine and made[0].last > mine[0].asked):
            made[0] = Epoch(name, made[0].number, home, BEFORE, BEFORE)
        else:
            made.insert(0, Epoch(name, 0, home, BEFORE, BEFORE))
        found[name] = _with_moves(made, name, mine, first_written, offsets)
    return found


def _with_moves(told: list[Epoch], name: str, mine: Sequence[Move], first_written: _FirstWrites,
                offsets: dict[str, float]) -> list[Epoch]:
    """Each epoch with the transition that made it, and an inferred one where the database said nothing.

    A system may move before it is asked: what begins after the fault belongs to the transition that answers it.
    """
    found = told[:1]
    rest = told[1:]
    for index, move in enumerate(mine):
        until = mine[index + 1].asked if index + 1 < len(mine) else inf
        own = next((e for e in rest if e.site == move.target and move.fault_asked <= e.last and e.first < until), None)
        if own is not None:
            rest.remove(own)
            found.append(Epoch(**{**vars(own), "move": move.index}))
        elif _reigning([*found, *rest], move.asked).site == move.target:
            continue  # it is there already: a request that failed half-way had moved this one
        elif (first := first_written.after(move, until).get(name)) is not None:
            found.append(Epoch(name, found[-1].number + 1, move.target, move.asked,
                               first + offsets.get(move.target, 0.0), inferred=True, move=move.index))
    return sorted(found + rest, key=lambda e: e.first)


def _reigning(found: Sequence[Epoch], at: float) -> Epoch:
    """The epoch in force at a moment."""
    return max((e for e in found if e.first <= at), key=lambda e: e.first)


class _FirstWrites:
    """When each Deployment's first metadata write was acknowledged at the site that it moves to."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._known: dict[tuple[int, float], dict[str, float]] = {}

    def after(self, move: Move, until: float) -> dict[str, float]:
        """By Deployment, wall-clock seconds; from the request of ``move`` up to ``until``."""
        if (move.index, until) not in self._known:
            rows = self._tables.rows("""
                select d, min(t) as first from witness
                where e = 'ack' and s in ('ledger', 'airflow') and k is distinct from 'dagrun'
                    and r = $site and t >= $since and t < $until group by d""",
                site=move.target, since=move.asked, until=min(until, AFTER))
            self._known[move.index, until] = {row["d"]: row["first"] for row in rows if "d" in row}
        return self._known[move.index, until]


def fill(tables: Tables, found: dict[str, list[Epoch]]) -> None:
    """Make the table ``epochs(d, number, site, began_first, began_last, ended_first, ended_last, move)``."""
    rows = []
    for name, mine in found.items():
        for epoch, after in zip(mine, [*mine[1:], None], strict=True):
            rows.append([name, epoch.number, epoch.site, epoch.first, epoch.last,
                         after.first if after else AFTER, after.last if after else AFTER, epoch.move])
    tables.make("epochs", COLUMNS, rows)
