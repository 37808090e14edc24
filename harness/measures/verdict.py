"""Targets, expectations and verdict: figures held against what the drill asks for.

FAIL beats INCONCLUSIVE beats PASS. Every target that is named is judged or INCONCLUSIVE. What holds without being named
is judged as well: nothing corrupted, misplaced, phantom or duplicated, none of the configuration lost, no task that ran
twice or against its retries, no Deployment that is down at the end, no expectation of a phase that was missed. A
drill may allow some of it (``targets: {tasks-duplicated: 20}``), and then the report says that it did. Every check that
failed counts, whether or not a claim names it, and every gap makes a pass inconclusive. So do writes that are
lost for good, of a stream for which no target says how much may be.

It does **not** judge the clean-up, which has a verdict of its own, so that a failed clean-up neither hides nor fakes a
drill's result.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.common.durations import show_duration
from harness.measures import rpo
from harness.measures.conservation import STRANGE, STREAMS, total
from harness.measures.figures import Figures
from harness.measures.interval import FAIL, INCONCLUSIVE, PASS, Interval, Verdict, exactly, slowest, worst
from harness.measures.result import Claim, Difference, ExitCode, Judgement, Proof
from harness.record.events import Check, Cleanup, Failure, RunAborted, RunBroken, RunEnded, SettleTimeout
from harness.record.evidence import Evidence

NOT_MEASURED = "not measured"
KNOWN = {"rto", "rpo", "split-brain-writes", "tasks-lost", "writes-lost", "tasks-duplicated", "tasks-against-retries"}


@dataclass(frozen=True)
class Outcome:
    """The drill's verdict and all that it follows from."""

    verdict: Verdict
    exit_code: ExitCode
    reasons: list[str]
    targets: list[Judgement]
    expectations: list[Judgement]
    cleanup: str
    aborted: bool
    broken: bool
    gaps: list[str] = field(default_factory=list)


def judge(figures: Figures, claims: list[Claim], proof: Proof | None) -> Outcome:
    """The outcome of a run that all measures could read; ``proof``: what they found of planted violations."""
    evidence, started = figures.history.evidence, figures.history.started
    targets = _targets(figures, started.targets)
    expectations = _expectations(figures, started.targets)
    gaps = list(figures.gaps)
    if proof is not None:
        gaps += [f"the measure {p.measure} does not see a planted violation: {p.violation}"
                 for p in proof.planted if not p.found]
    judged = [j for j in (*targets, *expectations) if j.verdict != PASS]
    reasons = [f"{j.name}: {j.observed}, asked: {j.asked}" for j in judged]
    reasons += [f"{c.id} is not proven: {c.evidence}" for c in claims if c.verdict != PASS]
    verdicts = [j.verdict for j in (*targets, *expectations)] + [c.verdict for c in claims]
    verdicts += [INCONCLUSIVE] * len(gaps)
    if not figures.history.moves and not targets and not claims:
        verdicts.append(INCONCLUSIVE)
        reasons.append("nothing was asked of this drill: no target was judged, and no claim")
    aborted, broken = evidence.first(RunAborted), evidence.first(RunBroken)
    stopped = aborted or broken
    if stopped is not None:
        reasons.insert(0, stopped.reason)
        verdicts.append(INCONCLUSIVE)
    verdict = worst(verdicts)
    outcome = _cleanup(evidence)
    whole = evidence.first(RunEnded) is not None
    return Outcome(verdict, _exit_code(verdict, outcome, aborted=aborted is not None,
                                       broken=broken is not None or not whole),
                   reasons + gaps, targets, expectations, outcome, aborted is not None, broken is not None, gaps)


def broken(evidence: Evidence, why: str) -> Outcome:
    """The outcome of a run in which a measure itself failed: nobody can say anything."""
    aborted = evidence.first(RunAborted)
    return Outcome(INCONCLUSIVE, ExitCode.ABORTED if aborted else ExitCode.BROKEN, [why], [], [],
                   _cleanup(evidence), aborted is not None, True, [why])


def _cleanup(evidence: Evidence) -> str:
    """What became of the environment in the end: somebody may have removed it later."""
    found = evidence.of(Cleanup)
    return found[-1].outcome if found else "not done"


def _exit_code(verdict: Verdict, cleanup: str, *, aborted: bool, broken: bool) -> ExitCode:
    if aborted:
        return ExitCode.ABORTED
    if broken:
        return ExitCode.BROKEN
    if verdict == PASS and cleanup not in ("done", "kept"):
        return ExitCode.NOT_CLEANED_UP
    return {PASS: ExitCode.PASS, FAIL: ExitCode.FAIL, INCONCLUSIVE: ExitCode.INCONCLUSIVE}[verdict]


# -- what is named ---------------------------------------------------------------------------


def _targets(figures: Figures, targets: Mapping[str, Any]) -> list[Judgement]:
    found: list[Judgement] = []
    moves = figures.history.moves
    bounds = {stream: bound for stream, bound in (targets.get("rpo") or {}).items() if bound is not None}
    if targets.get("rto") is not None:
        found += [_duration(f"{move.kind}: RTO of the fleet", targets["rto"], rto_of_fleet(figures, move.index))
                  for move in moves] or [_unjudged("RTO", f"at most {show_duration(targets['rto'])}")]
    for stream, bound in bounds.items():
        for move, losses in zip(moves, figures.losses, strict=True):
            loss = rpo.of_fleet(losses[stream])
            found.append(_duration(f"{move.kind}: RPO of {stream}", bound, loss.rpo, nothing="" if loss.lost else
                                   "nothing lost, known to"))
            if loss.stranded:
                # Lost all the same, though the definition of the RPO ends at the fault.
                found.append(_duration(f"{move.kind}: {stream} acknowledged after the fault, and lost", bound,
                                       exactly(loss.stranded_s)))
        if not moves:
            found.append(_unjudged(f"RPO of {stream}", f"at most {show_duration(bound)}"))
    found += [_unjudged(f"{name} (no such target)", str(bound)) for name, bound in targets.items() if name not in KNOWN]
    counts = {"split-brain-writes": ("split-brain writes", _split(figures)),
              "tasks-lost": ("tasks lost or stuck", _tasks_lost(figures)),
              "writes-lost": ("metadata writes lost", _writes_lost(figures))}
    found += [_count(label, targets[key], figure) for key, (label, figure) in counts.items()
              if targets.get(key) is not None]
    return found


def rto_of_fleet(figures: Figures, index: int) -> Interval | None:
    """The recovery time of the slowest Deployment: at least that of the others where one was not watched."""
    times = [r.rto for r in figures.recoveries[index].values()]
    known = slowest([time for time in times if time is not None])
    return Interval.at_least(known.low) if known is not None and None in times else known


def _split(figures: Figures) -> Interval | None:
    return figures.split.total if figures.history.fleet else None


def _tasks_lost(figures: Figures) -> Interval | None:
    if not figures.followed:
        return None  # nobody looked, or no task was ever heard of
    return exactly(sum(task.outcome in ("lost", "stuck") for task in figures.followed))


def _writes_lost(figures: Figures) -> Interval | None:
    """None where some Deployment's writes were not followed: nothing acknowledged, or nobody looked."""
    if not figures.history.looks or any(
            not figures.fates.get(name, {}) or not figures.fates[name]["metadata"].acknowledged
            for name in figures.history.fleet):
        lost = sum(by["metadata"].lost + by["metadata"].recovered_later for by in figures.fates.values())
        return Interval.at_least(lost) if lost else None
    metadata = total(figures.fates, "metadata")
    lost = metadata.lost + metadata.recovered_later
    return Interval.at_least(lost) if figures.history.silences else exactly(lost)


# -- what holds without being named ---------------------------------------------------------------


def _expectations(figures: Figures, targets: Mapping[str, Any]) -> list[Judgement]:
    evidence = figures.history.evidence
    found = [_never_restored(figures), _up_at_end(figures), _up_between(figures), _followed(figures),
             *_unexplained(figures, targets), *_unnamed(figures, targets), *_strange(figures),
             *_tasks(figures, targets)]
    if targets.get("split-brain-writes") is None and figures.history.fleet:
        found.append(_count("split-brain writes", None, figures.split.total))
    for name, wrong in (("configuration lost or changed", figures.differences.of_configuration("missing", "changed")),
                        ("history lost or changed without a fault", _gone(figures))):
        if figures.differences.looks or wrong:
            found.append(_count(name, 0, exactly(len(wrong)),
                                ", ".join(f"{d.deployment} {d.kind} {d.item}" for d in wrong[:3])))
    found += [Judgement(name=f"check {e.name}", asked="so", observed=e.detail or "not so", verdict=FAIL)
              for e in evidence.of(Check) if not e.ok]
    found += [Judgement(name="phase", asked="as the drill expects", observed=e.reason, verdict=FAIL)
              for e in evidence.of(Failure)]
    found += [Judgement(name="settle", asked=f"within {show_duration(e.seconds)}",
                        observed="timed out" + (f": {e.missing}" if e.missing else ""), verdict=FAIL)
              for e in evidence.of(SettleTimeout)]
    return [judgement for judgement in found if judgement is not None]


def _gone(figures: Figures) -> list[Difference]:
    """Dag runs and task instances that a look before a planned transition shows, and the look after it does not."""
    history = figures.history
    planned = {look.snapshot for look in history.looks if look.move is not None and history.moves[look.move].planned}
    return [d for d in figures.differences.found if d.kind in ("run", "ti") and d.look in planned]


def _never_restored(figures: Figures) -> Judgement | None:
    if not figures.history.moves:
        return None
    never = sorted({name for recoveries in figures.recoveries for name, r in recoveries.items()
                    if r.rto is not None and not r.restored})
    unknown = sorted({name for recoveries in figures.recoveries for name, r in recoveries.items() if r.rto is None})
    shown = f"never restored: {_names(never)}" if never else \
        f"nobody watched: {_names(unknown)}" if unknown else "all restored"
    return Judgement(name="every Deployment is restored", asked="all", observed=shown,
                     verdict=FAIL if never else INCONCLUSIVE if unknown else PASS)


def _up_at_end(figures: Figures) -> Judgement | None:
    if not figures.history.looks:
        return None
    return _all_up("every Deployment is up at the end", figures.up_at_end, "all up")


def _up_between(figures: Figures) -> Judgement | None:
    """No Deployment is down for long while nothing moves it and nothing that disrupts is in force."""
    return _all_up("every Deployment is up while nothing moves", figures.up_between, "none was down")


def _all_up(name: str, up: Mapping[str, bool | None], well: str) -> Judgement | None:
    """``up``: by Deployment, None where nobody watched; ``well``: what to say where all are."""
    if not up:
        return None
    down = sorted(name for name, state in up.items() if state is False)
    unknown = sorted(name for name, state in up.items() if state is None)
    shown = f"down: {_names(down)}" if down else f"nobody watched: {_names(unknown)}" if unknown else well
    return Judgement(name=name, asked="all", observed=shown,
                     verdict=FAIL if down else INCONCLUSIVE if unknown else PASS)


def _followed(figures: Figures) -> Judgement | None:
    """Some write of every Deployment was acknowledged, so that there is something that could have been lost."""
    if not figures.history.looks:
        return None
    silent = sorted(name for name in figures.history.fleet if not figures.fates[name]["metadata"].acknowledged)
    return Judgement(name="writes of every Deployment are followed", asked="all",
                     observed=f"no acknowledgement: {_names(silent)}" if silent else "all followed",
                     verdict=INCONCLUSIVE if silent else PASS)


def _unexplained(figures: Figures, targets: Mapping[str, Any]) -> list[Judgement]:
    """Writes of each stream that no fault accounts for: lost in a planned transition, or at none, or in the new site.

    A target for all metadata writes that are lost covers those, too.
    """
    if not figures.history.looks:
        return []
    found = []
    for stream in STREAMS:
        if stream == "metadata" and targets.get("writes-lost") is not None:
            continue
        lost = total(figures.fates, stream)
        excused = sum(loss.lost + loss.stranded
                      for move, losses in zip(figures.history.moves, figures.losses, strict=True)
                      if not move.planned for loss in losses[stream].values())
        found.append(_count(f"{stream} writes lost without a fault", 0,
                            exactly(max(0, lost.lost + lost.recovered_later - excused)),
                            "; ".join(lost.examples.get("lost", [])[:2])))
    return found


def _unnamed(figures: Figures, targets: Mapping[str, Any]) -> list[Judgement]:
    """Writes that are lost for good, of a stream of which no target says how much may be: nobody can judge them."""
    named = {stream for stream, bound in (targets.get("rpo") or {}).items() if bound is not None}
    if targets.get("writes-lost") is not None:
        named.add("metadata")
    lost = {stream: total(figures.fates, stream).lost for stream in STREAMS if stream not in named}
    return [Judgement(name=f"{stream} writes lost for good", asked="a target that says how much may be", low=count,
                      high=count, observed=str(count), verdict=INCONCLUSIVE) for stream, count in lost.items() if count]


def _strange(figures: Figures) -> list[Judgement]:
    if not figures.history.looks:
        return []
    found = []
    for fate in STRANGE:
        sums = [total(figures.fates, stream) for stream in STREAMS]
        examples = [example for fates in sums for example in fates.examples.get(fate, [])]
        count = exactly(sum(getattr(fates, fate) for fates in sums))
        found.append(_count(f"writes {fate}", None, _attempted(figures, count) if fate == "phantom" else count,
                            "; ".join(examples[:2])))
    return found


def _attempted(figures: Figures, phantom: Interval) -> Interval | None:
    """Phantoms, less those whose attempt may be among the records that were dropped; None where nobody heard of any."""
    if not figures.history.evidence.stored.get("witness"):
        return None
    return Interval(low=max(0.0, phantom.low - figures.history.dropped), high=phantom.high)


def _tasks(figures: Figures, targets: Mapping[str, Any]) -> list[Judgement]:
    followed = figures.followed
    if followed is None:
        return []
    told = exactly if all(task.heard for task in followed) else Interval.at_least
    return [_count("tasks duplicated (more than one side effect)", targets.get("tasks-duplicated"),
                   told(sum(task.duplicated for task in followed))),
            _count("tasks run against their retries", targets.get("tasks-against-retries"),
                   told(sum(task.against_retries for task in followed)))]


# -- helpers ------------------------------------------------------------------------------------


def _duration(name: str, bound: float, figure: Interval | None, nothing: str = "") -> Judgement:
    """Against a bound; ``nothing``: what to say before the upper bound of a figure that may be zero."""
    asked = f"at most {show_duration(bound)}"
    if figure is None:
        return Judgement(name=name, asked=asked, observed=NOT_MEASURED, verdict=INCONCLUSIVE)
    shown = f"{nothing} {show_duration(figure.high)}" if nothing and figure.high is not None else show(figure)
    return Judgement(name=name, asked=asked, observed=shown, low=figure.low, high=figure.high,
                     verdict=figure.against(bound))


def _count(name: str, bound: int | None, figure: Interval | None, examples: str = "") -> Judgement:
    """Against a bound; None: nothing was named, so none is expected."""
    asked = "none" if bound is None else f"at most {bound}"
    if figure is None:
        return Judgement(name=name, asked=asked, observed=NOT_MEASURED, verdict=INCONCLUSIVE)
    verdict = figure.against(bound or 0)
    shown = f"{figure.low:.0f}" + (" or more" if figure.high is None else
                                   f" to {figure.high:.0f}" if figure.high > figure.low else "")
    return Judgement(name=name, asked=asked, observed=shown + (f" ({examples})" if examples and figure.low else ""),
                     low=figure.low, high=figure.high, verdict=verdict,
                     allowed=bool(bound) and figure.most > 0 and verdict == PASS)


def _unjudged(name: str, asked: str) -> Judgement:
    return Judgement(name=name, asked=asked, observed="no transition was measured", verdict=INCONCLUSIVE)


def show(figure: Interval) -> str:
    """A span as people read it: ``at least 10 s``, ``7.2 s (at least 5.1 s)``, ``at most 1.3 s``."""
    if figure.high is None:
        return f"at least {show_duration(figure.low)}"
    if figure.low == 0.0 and figure.high:
        return f"at most {show_duration(figure.high)}"
    if figure.high - figure.low < 0.05:
        return show_duration(figure.high)
    return f"{show_duration(figure.high)} (at least {show_duration(figure.low)})"


def _names(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
