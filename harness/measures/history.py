"""What every measure begins with: the run's fleet, sites, transitions, looks and epochs, worked out once."""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.measures import clocks, hearing
from harness.measures.epochs import Epoch, epochs, fill
from harness.measures.hearing import Silence
from harness.measures.timeline import Look, Move, Outage, looks, moves, outages
from harness.record.events import FleetUp, RunStarted
from harness.record.evidence import Evidence
from harness.record.tables import Tables


@dataclass(frozen=True)
class History:
    """The run as the measures see it. Times are wall-clock seconds."""

    evidence: Evidence
    started: RunStarted
    fleet: tuple[str, ...]
    roles: dict[str, str]
    """Site to role."""
    addresses: dict[str, str]
    """The address at which users reach a site, to its name."""
    active: str
    """The site that Airflow ran at when the fleet came up."""
    moves: list[Move]
    looks: list[Look]
    outages: list[Outage]
    epochs: dict[str, list[Epoch]]
    offsets: dict[str, float | None]
    """Site to how far its clock is from the witness's (seconds)."""
    silences: list[Silence]
    blind_s: float
    """How long a record took to the witness at most: by so much the last ones of a site may be missed."""
    whole: bool
    """Whether every record of every client is there exactly once."""
    dropped: int
    """How many records never reached the evidence."""
    end: float = field(default=0.0)

    @property
    def tables(self) -> Tables:
        """The columnar part of the evidence."""
        return self.evidence.tables

    @property
    def last_look(self) -> Look | None:
        """The look at the end of the run, or the last that there was."""
        return self.looks[-1] if self.looks else None

    def epoch_of(self, name: str, move: Move) -> Epoch | None:
        """The epoch that a transition brought a Deployment.

        Where the Deployment was at the target before the request (one that failed half-way had moved it), that is
        the epoch that it had then. None: nobody saw a new one.
        """
        mine = self.epochs.get(name, [])
        own = next((e for e in mine if e.move == move.index), None)
        before = [e for e in mine if e.first <= move.asked and e.move is not None]
        return own or (before[-1] if before and before[-1].site == move.target else None)

    def reign_before(self, name: str, move: Move) -> float:
        """Since when the site that a Deployment leaves in a transition has reigned, at the latest."""
        mine = self.epochs.get(name, [])
        new = self.epoch_of(name, move)
        older = [e for e in mine if e is not new and e.site == move.source and e.last <= move.accepted]
        return older[-1].last if older else mine[0].last if mine else 0.0

    def site_at_end(self, name: str) -> str:
        """Where a Deployment is to run when the run ends."""
        mine = self.epochs.get(name)
        asked = [m.target for m in self.moves if name in m.deployments]
        return asked[-1] if asked else mine[-1].site if mine else self.active


def of(evidence: Evidence) -> History:
    """Work out a run's history; makes the table ``epochs``."""
    started = evidence.first(RunStarted) or RunStarted()
    up = evidence.first(FleetUp) or FleetUp()
    fleet = tuple(d["name"] for d in up.deployments)
    offsets = clocks.offsets(evidence.tables)
    found = moves(evidence, fleet)
    off = outages(evidence)
    reigns = epochs(evidence, fleet, up.active, found, clocks.doubts(offsets))
    fill(evidence.tables, reigns)
    end = evidence.events[-1].wall if evidence.events else 0.0
    # Where every number is there once, it is not worth to count which are missing.
    whole = hearing.whole(evidence.tables)
    dropped = (hearing.given_up if whole else hearing.dropped)(evidence.tables)
    broken = min((move.fault_asked for move in found), default=end)
    return History(
        evidence=evidence, started=started, fleet=fleet, roles=dict(up.roles), addresses=dict(up.addresses),
        active=up.active, moves=found, looks=looks(evidence, found), outages=off, epochs=reigns, offsets=offsets,
        silences=hearing.silences(evidence, list(up.roles), off, started.beat_interval_s),
        blind_s=hearing.blind(evidence.tables, broken), whole=whole, dropped=dropped, end=end)
