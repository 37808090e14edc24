"""A slow and simple reckoning of a made-up run, to compare the measures with. It shares no code with them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

EVER, NEVER = float("-inf"), float("inf")
CLOCK_S, BLIND_S = 0.01, 0.03


@dataclass(frozen=True)
class Moved:
    """One request: the same for some Deployments, each of which has its own epoch."""

    asked: float
    """The fault was asked for."""
    seen: float
    """The fault was seen; of a planned move, when the request was accepted."""
    accepted: float
    source: str
    target: str
    epochs: dict[str, float]
    """By Deployment that moves, when its new epoch began."""
    error: float
    planned: bool


@dataclass(frozen=True)
class Write:
    """Something that a client wrote: a ledger row, a task log, an image; a start or an effect has only a moment."""

    kind: str
    deployment: str
    site: str
    number: int
    tried: float
    acked: float | None
    content: int = 0

    @property
    def name(self) -> tuple[str, str, str, int]:
        """What it is told by."""
        return (self.kind, self.deployment, self.site, self.number)


@dataclass(frozen=True)
class Shown:
    """A look shows a write: in which database, with which content, how many times."""

    write: Write
    found: str
    content: int
    times: int = 1


@dataclass(frozen=True)
class Seen:
    """A look."""

    at: float
    shows: list[Shown]
    phantoms: list[tuple[str, int]] = field(default_factory=list)
    """(Deployment, number) of rows that nobody attempted."""


@dataclass(frozen=True)
class Case:
    """A made-up run."""

    home: dict[str, str]
    """By Deployment where it runs at the begin."""
    moves: list[Moved]
    writes: list[Write]
    looks: list[Seen]


# -- fates ----------------------------------------------------------------------------------------------------------


def shown(case: Case, write: Write) -> list[str]:
    """For each look that must show a write: ``held``, ``absent``, ``corrupted`` or ``misplaced``; "" for the others."""
    found = []
    for look in case.looks:
        mine = [item for item in look.shows if item.write == write]
        here = [item for item in mine if item.found == write.deployment]
        if write.acked is None or write.acked > look.at:
            found.append("")
        elif here and all(item.content == write.content for item in here):
            found.append("held")
        elif len(mine) > len(here):
            found.append("misplaced")
        else:
            found.append("corrupted" if here else "absent")
    return found


def fate(case: Case, write: Write) -> str:
    """What became of an acknowledged write."""
    states = shown(case, write)
    assert write.acked is not None
    if not case.looks or write.acked > case.looks[-1].at:
        return "unjudged"
    for bad in ("corrupted", "misplaced"):
        if bad in states:
            return bad
    if states[-1] == "absent":
        return "lost"
    return "recovered_later" if "absent" in states else "held"


def lost_at(case: Case, write: Write) -> int | None:
    """The last transition between the first look that lacks a write and the one before it."""
    states = shown(case, write)
    lacking = next(index for index, state in enumerate(states) if state not in ("", "held"))
    since = case.looks[lacking - 1].at if lacking else EVER
    until = case.looks[lacking].at
    found = None
    for index, move in enumerate(case.moves):
        mine = write.deployment in move.epochs or write.kind == "image"
        if mine and since <= move.accepted < until:
            found = index
    return found


def counts(case: Case, deployment: str, kind: str) -> Counter[str]:
    """How many writes of a Deployment and kind ended as what."""
    found: Counter[str] = Counter()
    mine = [w for w in case.writes if (w.deployment, w.kind) == (deployment, kind)]
    for write in mine:
        found["duplicated"] += any(
            sum(item.times for item in look.shows if item.write == write and item.found == deployment) > 1
            for look in case.looks)
        if write.acked is None:
            last = case.looks[-1].shows if case.looks else []
            found["unknown"] += 1
            found["unknown_held"] += any(item.write == write for item in last)
            continue
        found["acknowledged"] += 1
        outcome = fate(case, write)
        found[outcome] += outcome != "misplaced"
    found["misplaced"] = len({(item.write, item.found) for look in case.looks for item in look.shows
                              if item.write in mine and item.found != deployment})
    if kind == "row":
        found["phantom"] = len({number for look in case.looks for d, number in look.phantoms if d == deployment})
    return +found


# -- reigns -----------------------------------------------------------------------------------------------------------


def reigns(case: Case, deployment: str) -> list[tuple[str, float, float, float, float]]:
    """The reigns of a Deployment: site, earliest and latest begin, earliest and latest end."""
    begun = [(case.home[deployment], EVER, EVER)]
    begun += [(m.target, m.epochs[deployment] - m.error, m.epochs[deployment] + m.error)
              for m in case.moves if deployment in m.epochs]
    return [(site, first, last, *(begun[i + 1][1:] if i + 1 < len(begun) else (NEVER, NEVER)))
            for i, (site, first, last) in enumerate(begun)]


def intrusion(case: Case, write: Write) -> tuple[int, int]:
    """Whether an accepted write came outside of every reign of its site: certainly, and perhaps (0 or 1 each)."""
    assert write.acked is not None
    names = [write.deployment] if write.deployment else list(case.home)
    mine = [reign for name in names for reign in reigns(case, name) if reign[0] == write.site]
    if any(last <= write.acked <= ends for _, _, last, ends, _ in mine):
        return 0, 0
    perhaps = any(first <= write.acked and write.tried <= ends for _, first, _, _, ends in mine)
    return int(not perhaps), 1


def split(case: Case, kinds: tuple[str, ...], deployment: str | None = None) -> tuple[int, int]:
    """Split-brain writes of some kinds, at least and at most."""
    pairs = [intrusion(case, w) for w in case.writes
             if w.kind in kinds and w.acked is not None and deployment in (None, w.deployment)]
    return sum(low for low, _ in pairs), sum(high for _, high in pairs)


# -- losses -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Window:
    """What a transition lost of one stream of one Deployment."""

    acknowledged: int
    lost: int
    recovered_later: int
    stranded: int
    known: bool
    low: float = 0.0
    high: float | None = None


def window(case: Case, index: int, deployment: str, kind: str) -> Window:
    """The loss of one transition."""
    move = case.moves[index]
    names = [deployment] if deployment else list(move.epochs)
    since, until = NEVER, EVER
    for name in names:
        number = 1 + [i for i, m in enumerate(case.moves) if name in m.epochs].index(index)
        old = [reign for reign in reigns(case, name)[:number] if reign[0] == move.source][-1]
        since, until = min(since, old[2]), max(until, old[4])
    acked = [w for w in case.writes if (w.deployment, w.kind) == (deployment, kind) and w.acked is not None]
    reign = [w for w in acked if w.site == move.source and since < (w.acked or 0) <= min(until, move.seen)]
    gone = [w for w in acked if fate(case, w) in ("lost", "recovered_later") and lost_at(case, w) == index]
    lost = [w for w in gone if (w.acked or 0) <= move.seen]
    stranded = [w for w in gone if w.site == move.source and move.seen < (w.acked or 0) <= until]
    count = Window(len({w.name for w in reign + lost}), len(lost),
                   sum(fate(case, w) == "recovered_later" for w in lost), len(stranded), known=False)
    following = min((m.asked if m.asked > move.accepted else m.accepted for m in case.moves[index + 1:]
                     if set(m.epochs) & set(move.epochs)), default=NEVER)
    if not any(move.accepted < look.at < following for look in case.looks) or not (reign or lost):
        return count
    if not lost:
        last = max(w.acked or 0 for w in reign)
        return Window(**{**vars(count), "known": True, "high": move.seen - last + CLOCK_S + BLIND_S})
    oldest = min(w.acked or 0 for w in lost)
    older = [w for w in acked if (w.acked or 0) < oldest and (oldest <= since or (
        w.site == move.source and (w.acked or 0) > since))]
    survives = any(fate(case, w) in ("held", "recovered_later") for w in older)
    return Window(**{**vars(count), "known": True, "low": max(0.0, move.asked - oldest - CLOCK_S),
                     "high": max(0.0, move.seen - oldest) + CLOCK_S if survives else None})
