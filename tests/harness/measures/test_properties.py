"""Made-up runs of several Deployments that move at different moments, reckoned twice."""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from harness.measures import conservation, history, rpo, split_brain
from harness.measures.history import History
from harness.testing import SITES, Facts, Story
from tests.harness.measures import reference
from tests.harness.measures.reference import Case, Moved, Seen, Shown, Write

STREAMS = {"row": "metadata", "log": "task-logs", "image": "images"}
STEP = 0.5
"""Moments are whole steps, so that bounds are met exactly, and often."""
END = 400
EXAMPLES = int(os.environ.get("DR_DRILL_EXAMPLES", "40"))
"""For each property; a thousand take ten minutes."""
CHECKED = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A run of one to three Deployments with up to three requests, each followed by a look or not."""
    names = ["a", "b", "c"][:draw(st.integers(1, 3))]
    home = dict.fromkeys(names, "west")
    where = dict(home)
    moves: list[Moved] = []
    at = draw(st.integers(40, 60))
    for _ in range(draw(st.sampled_from([0, 1, 2, 2, 3, 3]))):
        source = draw(st.sampled_from(sorted(set(where.values()))))
        there = [name for name in names if where[name] == source]
        chosen = draw(st.lists(st.sampled_from(there), min_size=1, unique=True))
        planned = draw(st.booleans())
        accepted = float(at)
        epochs = {name: accepted + STEP * draw(st.integers(2, 30)) for name in sorted(chosen)}
        seen = accepted if planned else accepted - STEP * draw(st.integers(1, 6))
        asked = seen if planned else seen - STEP * draw(st.integers(0, 4))
        target = "east" if source == "west" else "west"
        moves.append(Moved(asked, seen, accepted, source, target, epochs, draw(st.sampled_from([0.0, STEP, 2.0])), planned))
        where |= dict.fromkeys(chosen, target)
        at += 60 + draw(st.integers(0, 20))
    writes = [draw(_writes(number, names)) for number in range(draw(st.integers(12, 30)))]
    moments = draw(st.sets(st.integers(60, int(END / STEP)), max_size=1)) | {int(END / STEP)}
    moments |= {int((move.accepted + draw(st.integers(1, 50))) / STEP) for move in moves if draw(st.integers(0, 3))}
    looks = [draw(_looks(writes, names, STEP * moment + 0.25)) for moment in sorted(moments)]
    return Case(home, moves, writes, looks)


@st.composite
def _writes(draw: st.DrawFn, number: int, names: list[str]) -> Write:
    kind = draw(st.sampled_from(["row"] * 6 + ["log", "log", "image", "start", "effect"]))
    # No two writes have one moment: which of them is the older would not be known.
    acked = 16 * draw(st.integers(0, 15)) + STEP * number
    tried = acked - (STEP * draw(st.integers(0, 6)) if kind == "row" else 0.0)
    answered = kind != "row" or draw(st.integers(0, 9)) > 0
    return Write(kind, "" if kind == "image" else draw(st.sampled_from(names)), draw(st.sampled_from(["west", "east"])),
                 number, tried, acked if answered else None, draw(st.integers(1, 3)))


@st.composite
def _looks(draw: st.DrawFn, writes: list[Write], names: list[str], at: float) -> Seen:
    shows: list[Shown] = []
    for write in writes:
        if write.kind in ("start", "effect") or write.tried > at or (write.acked is not None and write.acked > at):
            continue
        how = draw(st.sampled_from(["held"] * 4 + ["absent"] * 3 + ["odd"]))
        if how == "absent":
            continue
        if how == "held" or write.kind != "row":
            shows.append(Shown(write, write.deployment, write.content + 10 * (how == "odd")))
            continue
        odd = draw(st.sampled_from(["corrupted", "misplaced", "copied", "twice", "one of two corrupted"]))
        elsewhere = draw(st.sampled_from(names))
        if odd in ("misplaced", "copied"):
            shows.append(Shown(write, elsewhere, write.content))
        if odd != "misplaced" and (odd != "copied" or elsewhere != write.deployment):
            shows.append(Shown(write, write.deployment, write.content + 10 * (odd == "corrupted"),
                               times=2 if odd == "twice" else 1))
        if odd == "one of two corrupted":
            shows.append(Shown(write, write.deployment, write.content + 10))
    phantoms = draw(st.lists(st.tuples(st.sampled_from(names), st.integers(900, 903)), max_size=2, unique=True))
    return Seen(at, shows, phantoms)


SENT = st.sampled_from(["as it is", "twice", "numbered"])


def told(case: Case, sent: str = "as it is") -> Story:
    """The story of a case; ``sent``: how its records came to the witness, which must not matter."""
    story = Story()
    story.start(*case.home)
    story.events[0].data["beat_interval_s"] = 0.0
    for index, move in enumerate(case.moves):
        if not move.planned:
            story.event(move.seen, "fault.outcome", fault="partition", disrupts=True, in_force=move.seen, asked=move.asked,
                        undo={"mend": index})
        story.request(move.accepted, move.source, move.target, deployments=sorted(move.epochs), sent=move.accepted)
        for name, began in move.epochs.items():
            story.epoch(began, move.target, index + 2, name, error=move.error)
        story.complete(move.accepted + 0.75)
        if not move.planned:
            story.event(move.accepted + 0.875, "undo.outcome", undo={"mend": index})
    for write in case.writes:
        _tell(story, write)
    if sent == "numbered":
        for number, record in enumerate(story.witness, 1):
            record |= {"cl": "client", "q": number}
    if sent == "twice":
        story.witness += [dict(record) for record in story.witness]
    for look in case.looks:
        story.settle(look.at, _facts(look))
    story.end(END + 100)
    return story


def _tell(story: Story, write: Write) -> None:
    where: dict[str, Any] = {"region": write.site}
    if write.kind == "image":
        story.image(write.tried, f"image-{write.number}", content=write.content, **where)
    elif write.kind == "log":
        story.log(write.tried, f"log-{write.number}", deployment=write.deployment, content=write.content, **where)
    elif write.kind == "row":
        story.ack(write.tried, write.number, deployment=write.deployment, content=write.content, **where)
        acknowledged = story.witness.pop()
        if write.acked is not None:
            story.witness.append(acknowledged | {"t": write.acked})
    else:
        story.life(write.kind, write.tried, f"t{write.number}", deployment=write.deployment, **where)


def _facts(look: Seen) -> Facts:
    facts: Facts = []
    for item in look.shows:
        write = item.write
        if write.kind == "row":
            facts += [{"f": "row", "d": item.found, "o": write.deployment, "wr": f"{write.site}/w", "n": write.number,
                       "c": item.content}] * item.times
        else:
            facts.append({"f": write.kind, "key": f"{write.kind}-{write.number}", "c": item.content})
    return facts + [{"f": "row", "d": name, "o": name, "wr": "nobody/w", "n": number, "c": 1}
                    for name, number in look.phantoms]


def reckoned(case: Case, sent: str = "as it is") -> History:
    past = history.of(told(case, sent).evidence())
    conservation.account(past)
    split_brain.find(past)
    return past


# -- the properties ---------------------------------------------------------------------------------------------------


@CHECKED
@given(cases(), SENT)
def test_every_write_ends_as_the_reference_says(case: Case, sent: str) -> None:
    past = reckoned(case, sent)
    found = conservation.fates(past)
    for kind, stream in STREAMS.items():
        for name in ("",) if kind == "image" else case.home:
            expected = reference.counts(case, name, kind)
            mine = found[name][stream].model_dump(exclude={"examples"}) if name in found else {}
            assert +Counter(mine) == expected
            for outcome in expected:
                event(outcome)


@CHECKED
@given(cases())
def test_every_lost_write_is_lost_where_the_reference_says(case: Case) -> None:
    past = reckoned(case)
    rows = past.tables.rows("select ident, d, fate, lost_at from fates")
    found = {(row["d"], row["ident"]): (row["fate"], row.get("lost_at")) for row in rows}
    expected = {}
    for write in case.writes:
        if write.acked is None or write.kind not in STREAMS:
            continue
        outcome = reference.fate(case, write)
        if outcome not in ("held", "unjudged"):
            ident = f"row {write.number} of {write.site}/w" if write.kind == "row" else f"{write.kind}-{write.number}"
            expected[write.deployment, ident] = (outcome, reference.lost_at(case, write))
    assert found == expected


@CHECKED
@given(cases(), SENT)
def test_every_window_is_the_references(case: Case, sent: str) -> None:
    past = reckoned(case, sent)
    for index, by_stream in enumerate(rpo.losses(past)):
        for kind, stream in STREAMS.items():
            for name, loss in by_stream[stream].items():
                expected = reference.window(case, index, name, kind)
                assert (loss.acknowledged, loss.lost, loss.recovered_later, loss.stranded, loss.rpo is not None) == (
                    expected.acknowledged, expected.lost, expected.recovered_later, expected.stranded, expected.known)
                if loss.rpo is not None:
                    assert loss.rpo.low == pytest.approx(expected.low)
                    assert loss.rpo.high == (None if expected.high is None else pytest.approx(expected.high))
                    event("censored" if expected.high is None else "lost" if expected.lost else "nothing lost")


@CHECKED
@given(cases(), SENT)
def test_every_split_brain_count_is_the_references(case: Case, sent: str) -> None:
    past = reckoned(case, sent)
    kinds = {"database_writes": ("row",), "side_effects": ("effect",), "starts": ("start",), "objects": ("log", "image")}
    whole = split_brain.of(past)
    each = split_brain.by_deployment(past)
    for field, mine in kinds.items():
        count = getattr(whole, field)
        assert (count.low, count.high) == reference.split(case, mine)
        for name in case.home:
            count = getattr(each[name], field)
            assert (count.low, count.high) == reference.split(case, mine, name)
            event(f"{field} {count.low} to {count.high}" if count.high else "none")


def test_sites_of_made_up_runs_are_those_of_stories() -> None:
    assert set(SITES) == {"west", "east"}
