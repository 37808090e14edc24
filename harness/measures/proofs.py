"""Proofs: what a run has shown of the claims that its drill names.

Each proof is a function of the figures and of the checks in the journal, and says what its evidence is:
**observed** (the database, the network, the servers' own logs, probes), or **the orchestrator's own word**, which
shows what a system says of itself and no more, or both. A claim that a drill names and that nothing here covers is
INCONCLUSIVE, and says so: naming is not proving. The numbers of a claim are in :mod:`harness.drill.claims`.

It does **not** mean that a claim holds in general: only that this run, of this size, did not contradict it.
"""

from __future__ import annotations

from collections.abc import Callable

from harness.common.durations import show_duration
from harness.drill.claims import CLAIMS
from harness.measures import fingerprint, rpo, sequence
from harness.measures.figures import Figures
from harness.measures.interval import FAIL, INCONCLUSIVE, PASS, Interval, slowest, worst
from harness.measures.result import Claim, Difference, Loss
from harness.measures.shown import OBSERVED, PARTLY, WORD, Shown
from harness.record.events import Check, FaultOutcome, HealImage, LoadAtFault

GUARD_S = 2.0
"""How late a guard that looks several times a second may stop commits."""


Proof = Callable[[Figures], Shown]


def prove(claims: list[str], figures: Figures) -> list[Claim]:
    """What the run says of each claim."""
    found = []
    for name in claims:
        proof = PROOFS.get(name)
        shown = proof(figures) if proof else Shown(INCONCLUSIVE, "no check of this drill covers the claim")
        found.append(Claim(id=name, text=str(CLAIMS[name]) if name in CLAIMS else "", verdict=shown.verdict,
                           evidence=shown.evidence, source=shown.source))
    return found


def _checked(name: str, source: str = OBSERVED) -> Proof:
    """A claim that the drill checked by looking."""

    def proof(figures: Figures) -> Shown:
        looks = [e for e in figures.history.evidence.of(Check) if e.name == name]
        if not looks:
            return Shown(INCONCLUSIVE, f"nobody looked ({name})", source)
        bad = [e for e in looks if not e.ok]
        return Shown(FAIL, bad[0].detail, source) if bad else Shown(PASS, looks[-1].detail, source)

    return proof


def _checked_after(name: str, every: bool = True) -> Proof:
    """The same of what a transition could have changed: a look came after every one of them, or after the first."""
    looked = _checked(name)

    def proof(figures: Figures) -> Shown:
        shown, history = looked(figures), figures.history
        moved = [move.accepted for move in history.moves]
        seen = max((e.wall for e in history.evidence.of(Check) if e.name == name), default=0.0)
        if shown.verdict == PASS and seen < (max if every else min)(moved, default=0.0):
            return Shown(INCONCLUSIVE, f"nobody looked after the {'last' if every else 'first'} transition ({name})")
        return shown

    return proof


def _both(*proofs: Proof) -> Proof:
    """Everything must be shown."""

    def proof(figures: Figures) -> Shown:
        shown = [each(figures) for each in proofs]
        sources = {s.source for s in shown}
        return Shown(worst([s.verdict for s in shown]), "; ".join(s.evidence for s in shown if s.evidence),
                     sources.pop() if len(sources) == 1 else PARTLY)

    return proof


def _none(kind: str, text: str) -> Proof:
    """No split-brain write of a kind, in a run that had a second epoch."""

    def proof(figures: Figures) -> Shown:
        count = getattr(figures.split, kind).interval
        if not _all_began(figures):
            return Shown(worst([FAIL if count.low else INCONCLUSIVE]), f"no new epoch was seen; {_say(count)} {text}")
        return Shown(count.against(0), f"{_say(count)} {text} over {len(figures.history.moves)} transition(s)")

    return proof


def _all_began(figures: Figures) -> bool:
    """Whether every transition brought every Deployment that it moves a new epoch."""
    moves = figures.history.moves
    return bool(moves) and all(figures.history.epoch_of(name, move) for move in moves for name in move.deployments)


def _one_region(figures: Figures) -> Shown:
    """Nothing was heard from a site that did not reign, and where it has power no Airflow was found in it."""
    shown = _both(_none("side_effects", "side effects"), _none("starts", "starts of tasks"))(figures)
    if not any(e.name == "one-region" for e in figures.history.evidence.of(Check)):
        return shown
    looked = _checked("one-region")(figures)
    return Shown(worst([shown.verdict, looked.verdict]), f"{shown.evidence}; {looked.evidence}")


def _curated(figures: Figures) -> Shown:
    """Nothing but the curated set in the standby; where somebody started Airflow by hand, it was taken away again."""
    empty = _checked("standby-empty")(figures)
    drilled = any(e.fault == "manual-drift" for e in figures.history.evidence.of(FaultOutcome))
    return _checked("drift-repaired")(figures) if drilled and empty.verdict == PASS else empty


def _audited(what: str, text: str) -> Proof:
    """A count of the dependency audit that must be zero in every transition."""

    def proof(figures: Figures) -> Shown:
        values = [None if audit is None else getattr(audit, what) for audit in figures.audits]
        total = sum(value for value in values if value is not None)
        if total:
            examples = [e for audit in figures.audits if audit for e in audit.examples
                        if (" iam " in e) == (what == "iam_writes")]
            return Shown(FAIL, f"{total} {text}: {'; '.join(examples[:2])}")
        if not values or None in values:
            return Shown(INCONCLUSIVE, f"{text}: the network and the servers left no record")
        return Shown(PASS, f"no {text} over {len(values)} transition(s)")

    return proof


def _guarded(figures: Figures) -> Shown:
    """Commits waited once the standby was too far behind, so what was lost is within the bound."""
    waited = _checked("commits-wait")(figures)
    limit = figures.history.started.rpo_bound_s
    windows = [_with_stranded(loss) for by_stream in figures.losses for loss in by_stream["metadata"].values()]
    if waited.verdict == FAIL:
        return waited
    lost = slowest([w for w in windows if w is not None])
    if waited.verdict != PASS or lost is None or None in windows or limit is None:
        return Shown(INCONCLUSIVE, f"{waited.evidence}; no loss was measured against a bound")
    return Shown(lost.against(limit + GUARD_S),
                 f"commits waited ({waited.evidence}); of {_span(lost)} writes were lost, the bound is {limit:.0f} s")


def _with_stranded(loss: Loss) -> Interval | None:
    """The window of all that was lost, up to the last write that the old writer acknowledged."""
    return None if loss.rpo is None else loss.rpo + Interval(low=loss.stranded_s, high=loss.stranded_s)


def _switchover(figures: Figures) -> Shown:
    """A failback is a switchover, by the server's log, and loses nothing."""
    history = figures.history
    backs = [m for m in history.moves if m.kind == "failback"]
    if not backs:
        return Shown(INCONCLUSIVE, "no failback")
    spans = " or ".join(f"t between {m.asked!r} and {m.seen_complete or m.until!r}" for m in backs)
    counted = f"select count(*) from access where action = $action and ({spans})"
    if forced := history.tables.value(counted, action="FailoverGlobalCluster"):
        return Shown(FAIL, f"a failback was a failover, which may lose writes: {forced} FailoverGlobalCluster"
                           " in the servers' logs")
    gone = history.tables.value(
        "select count(*) from fates where stream = 'metadata' and fate in ('lost', 'recovered_later', 'corrupted',"
        f" 'misplaced') and lost_at in ({', '.join(str(m.index) for m in backs)})")
    acked = sum(loss.acknowledged + loss.stranded for m in backs
                for loss in figures.losses[m.index]["metadata"].values())
    if gone:
        return Shown(FAIL, f"{gone} acknowledged writes lost in failback")
    if not acked or any(m.snapshot is None for m in backs):
        return Shown(INCONCLUSIVE, "no acknowledged write was followed through a failback")
    asked = history.tables.value(counted, action="SwitchoverGlobalCluster") >= len(backs)
    how = "switched over, by the servers' logs" if asked else "switched over, by the orchestrator's own word"
    return Shown(PASS, f"0 of {acked} acknowledged writes lost in failback; {how}", OBSERVED if asked else PARTLY)


def _bounds(figures: Figures) -> Shown:
    """RTO and RPO within what is promised, at the size for which it is."""
    bounds, history = CLAIMS["XR-19"].bounds, figures.history
    if not history.moves:
        return Shown(INCONCLUSIVE, "no transition")
    outcomes, shown = [], []
    for move, recoveries, losses in zip(history.moves, figures.recoveries, figures.losses, strict=True):
        times = [r.rto for r in recoveries.values()]
        rto = None if None in times else slowest([t for t in times if t is not None])
        parts: list[tuple[str, Interval | None]] = [("rto", rto)]
        parts += [(stream, _with_stranded(rpo.of_fleet(by))) for stream, by in losses.items()]
        for name, figure in parts:
            outcomes.append(INCONCLUSIVE if figure is None else figure.against(bounds[name]))
            shown.append(f"{move.kind} {name} {_span(figure) if figure else 'not measured'}")
    running = [e.running for e in history.evidence.of(LoadAtFault)]
    size = (len(history.fleet), max(running, default=0))
    if size[0] < bounds["deployments"] or size[1] < bounds["concurrent-tasks"]:
        outcomes.append(INCONCLUSIVE)
        shown.append(f"the claim is made for {bounds['deployments']:.0f} Deployments and"
                     f" {bounds['concurrent-tasks']:.0f} tasks, this run had {size[0]} and {size[1]}")
    return Shown(worst(outcomes), "; ".join(shown))


def _objects(figures: Figures) -> Shown:
    """Task logs and images reach the other side, within the time that is promised, with their content."""
    bounds, history = CLAIMS["XR-06"].bounds, figures.history
    outcomes, shown = [], []
    for move, losses in zip(history.moves, figures.losses, strict=True):
        for stream, bound in bounds.items():
            loss = rpo.of_fleet(losses[stream])
            lost = _with_stranded(loss)
            outcomes.append(INCONCLUSIVE if lost is None else lost.against(bound))
            shown.append(f"{move.source} to {move.target}: {loss.acknowledged - loss.lost} of {loss.acknowledged} "
                         f"{stream} there" + (f", {loss.stranded} of after the fault not" if loss.stranded else ""))
    if not outcomes:
        return Shown(INCONCLUSIVE, "task logs and images were not looked at after a transition")
    broken = sum(getattr(by[stream], fate) for by in figures.fates.values() for stream in bounds
                 for fate in ("corrupted", "misplaced"))
    if broken:
        outcomes.append(FAIL)
        shown.append(f"{broken} have another content than was acknowledged")
    if history.evidence.of(HealImage):
        image = _checked("image-carried")(figures)
        outcomes.append(image.verdict)
        shown.append(image.evidence)
    return Shown(worst(outcomes), "; ".join(shown))


def _carried(figures: Figures) -> Shown:
    """Everything that a Deployment is made of is there afterwards, and can be read through its own API."""
    looked, found = _checked_after("carried-over")(figures), figures.differences
    wrong = found.of_configuration("missing", "changed")
    missing = [d for d in found.found if d.change != "added" and d not in wrong]
    gone = list(filter(_had_arrived(figures), missing))
    outcomes, shown = [looked.verdict], [looked.evidence]
    if wrong:
        outcomes.append(FAIL)
        shown.append(f"{len(wrong)} items of the configuration are not what they were: "
                     + ", ".join(f"{d.deployment} {d.kind} {d.item} {d.change}" for d in wrong[:3]))
    elif not found.looks:
        outcomes.append(INCONCLUSIVE)
        shown.append("no fingerprint was taken before and after")
    else:
        shown.append(f"{found.items} items compared")
    if gone:
        outcomes.append(FAIL)
        shown.append(f"{len(gone)} Dag runs, task instances and XComs are gone or changed, though what came after them"
                     " is there")
    elif missing:
        shown.append(f"{len(missing)} Dag runs, task instances and XComs had not been replicated (see the RPO)")
    broken = sum(getattr(by["metadata"], fate) for by in figures.fates.values()
                 for fate in ("corrupted", "misplaced"))
    if broken:
        outcomes.append(FAIL)
        shown.append(f"{broken} writes with another content, or in another Deployment's database")
    return Shown(worst(outcomes), "; ".join(shown))


def _had_arrived(figures: Figures) -> Callable[[Difference], bool]:
    """Whether an item that is not what it was must have been on the other side already.

    It must unless a transition that something broke lost writes of its Deployment, and none that was acknowledged
    after the look that still shows the item survived.
    """
    history = figures.history
    excused: set[tuple[str, str]] = set()
    for before, after in fingerprint.pairs(history.looks):
        for move, losses in zip(history.moves, figures.losses, strict=True):
            if not move.planned and before.began <= move.accepted < after.began:
                survived = rpo.survivors(history, move, before.ended)
                excused |= {(after.snapshot, name) for name, loss in losses["metadata"].items()
                            if loss.lost and name not in survived}
    return lambda difference: (difference.look, difference.deployment) not in excused


def _retries(figures: Figures) -> Shown:
    measured = [t for t in figures.tasks if t is not None]
    flying = sum(t.in_flight for t in measured)
    stuck = sum(t.stuck for t in measured)
    if not measured or not (flying or stuck):
        return Shown(INCONCLUSIVE, "no task was in flight at any fault, or none was followed")
    names = ("survived", "retried", "lost", "stuck", "duplicated", "against_retries")
    counts = {name: sum(getattr(t, name) for t in measured) for name in names}
    shown = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items() if count)
    return Shown(FAIL if stuck else PASS, f"of {sum(t.met for t in measured)} tasks met, {flying} of"
                 f" them in flight: {shown}")


def _regions_speak(figures: Figures) -> Shown:
    """Both regions' agents called the orchestrator before anything moved, by the network's record."""
    history = figures.history
    until = min((m.asked for m in history.moves), default=history.end)
    calling = {row["caller"] for row in history.tables.rows(
        "select distinct caller from links where service = 'orchestrator' and event = 'connect' and t < $until",
        until=until)}
    if {"primary", "secondary"} <= calling:
        return Shown(PASS, "the network saw both regions report before anything moved")
    return Shown(PASS, "that both regions report is the orchestrator's own word", WORD)


def _seen_fault(figures: Figures) -> Shown:
    """Something that the harness itself had broken was in force when the orchestrator reported it."""
    faults = [e.fault for e in figures.history.evidence.of(FaultOutcome)]
    if not faults:
        return Shown(PASS, "nothing was broken by the drill: that is the orchestrator's own word", WORD)
    return Shown(PASS, f"the drill itself saw in force: {', '.join(faults)}")


def _span(figure: Interval) -> str:
    if figure.high is None:
        return f"at least {show_duration(figure.low)}"
    return f"at most {show_duration(figure.high)}"


def _say(count: Interval) -> str:
    if count.high is None:
        return f"{count.low:.0f} or more (not all was heard)"
    return f"{count.low:.0f}" if count.low == count.high else f"{count.low:.0f} to {count.high:.0f}"


PROOFS: dict[str, Proof] = {
    "XR-01": _checked("one-cluster", WORD),
    "XR-02": _checked_after("identity"),
    "XR-03": _guarded,
    "XR-04": _checked("headless"),
    "XR-05": _none("database_writes", "database writes accepted from a site that did not reign"),
    "XR-06": _objects,
    "XR-07": _curated,
    "XR-08": _one_region,
    "XR-09": _audited("iam_writes", "IAM writes"),
    "XR-10": _audited("left_site", "calls into the region left"),
    "XR-11": _checked("variants"),
    "XR-12": sequence.ran_in_order,
    "XR-13": _switchover,
    "XR-14": _checked_after("reverse-replication", every=False),
    "XR-15": _checked("flag", WORD),
    "XR-16": _both(_checked("observed", WORD), _regions_speak),
    "XR-17": _both(_checked("unhealthy", WORD), _seen_fault),
    "XR-19": _bounds,
    "XR-20": _carried,
    "XR-21": _checked("manual-work", WORD),
    "XR-22": _retries,
}
