"""From evidence to a result: all measures, the proof that they see, and the verdict. Pure; no I/O."""

from __future__ import annotations

from collections.abc import Callable

from harness.measures import (
    conservation,
    exposure,
    fingerprint,
    history,
    proofs,
    rpo,
    split_brain,
    tasks,
    throughput,
    verdict,
)
from harness.measures import series as pictures
from harness.measures.conservation import STREAMS, total
from harness.measures.epochs import BEFORE
from harness.measures.figures import Figures, MeasureFailed, compute, measured
from harness.measures.history import History
from harness.measures.interval import FAIL, INCONCLUSIVE, PASS, Interval, percentile, worst
from harness.measures.result import (
    Claim,
    Clock,
    Deployment,
    Epoch,
    Fates,
    Fingerprint,
    Phase,
    Proof,
    Resources,
    Result,
    Run,
    Series,
    Step,
    Tasks,
    Transition,
)
from harness.measures.verdict import Outcome
from harness.record.events import EnvironmentUp, FleetUp, LoadAtFault, PhaseEnded, PhaseStarted, RunStarted
from harness.record.evidence import Evidence
from harness.record.journal import FORMAT

Prover = Callable[[History], Proof | None]


def evaluate(evidence: Evidence, prove: Prover = lambda _: None) -> Result:
    """The result of a run.

    ``prove``: says what the measures find of violations that it plants in a copy of this evidence
    (:func:`harness.selftest.planted.prove`); one that is missed makes the run inconclusive. A measure that does not
    come to its end is named in the reasons, and the exit code is 4.
    """
    try:
        past = measured("history", lambda: history.of(evidence))
        proof = prove(past)
        figures = compute(past)
        claims = measured("proofs", lambda: proofs.prove(past.started.proves, figures))
        outcome = measured("verdict", lambda: verdict.judge(figures, claims, proof))
        return measured("result", lambda: _whole(figures, claims, outcome, proof))
    except MeasureFailed as error:
        return _broken(evidence, error)


def _whole(figures: Figures, claims: list[Claim], outcome: Outcome, proof: Proof | None) -> Result:
    past = figures.history
    lateness = past.tables.value("select quantile_disc(late_ms, 0.99) from probes")
    return Result(
        verdict=outcome.verdict, exit_code=outcome.exit_code, reasons=outcome.reasons, gaps=outcome.gaps,
        cleanup=outcome.cleanup, aborted=outcome.aborted, broken=outcome.broken,
        run=_run(past.evidence, measured("series", lambda: pictures.running(past)), lateness),
        targets=outcome.targets, expectations=outcome.expectations, claims=claims,
        transitions=[_transition(figures, index) for index in range(len(past.moves))],
        fates={stream: total(figures.fates, stream) for stream in STREAMS},
        split_brain=figures.split,
        tasks=None if figures.followed is None else tasks.count(
            figures.followed, sum(t.in_flight for t in figures.tasks if t is not None)),
        fingerprint=fingerprint.as_result(figures.differences),
        deployments=[_deployment(figures, name) for name in past.fleet],
        clocks=[Clock(site=site, offset_s=None if offset is None else round(-offset, 4))
                for site, offset in sorted(past.offsets.items()) if site],
        resources=figures.resources, proof=proof)


def _transition(figures: Figures, index: int) -> Transition:
    past, move = figures.history, figures.history.moves[index]
    recoveries, losses = figures.recoveries[index], figures.losses[index]
    epochs = [past.epoch_of(name, move) for name in move.deployments]
    begun = [e for e in epochs if e is not None]
    known = [r.rto for r in recoveries.values() if r.rto is not None]
    times = known and [*known, *[Interval.at_least(0.0)] * (len(recoveries) - len(known))]
    rto = verdict.rto_of_fleet(figures, index)
    return Transition(
        kind=move.kind, source=move.source, target=move.target, planned=move.planned,
        deployments=list(move.deployments), t_fault=move.fault_seen,
        t_fault_error_s=round(move.fault_seen - move.fault_asked, 6), t_request=move.accepted,
        t_epoch=max(e.last for e in begun) if begun and len(begun) == len(epochs) else None,
        t_epoch_error_s=round(2 * max(e.error for e in begun), 6) if begun else None,
        t_completed=move.completed.at if move.completed else None, t_settled=move.settled, rto=rto,
        rto_p50=percentile(times, 0.5), rto_p95=percentile(times, 0.95),
        never_restored=sorted(name for name, r in recoveries.items() if r.rto is not None and not r.restored),
        rpo={stream: rpo.of_fleet(by) for stream, by in losses.items()},
        split_brain=figures.split_of[index], tasks=figures.tasks[index], audit=figures.audits[index],
        exposure=measured("exposure", lambda: exposure.exposure(past.tables, move.fault_seen)),
        throughput=measured("throughput", lambda: throughput.throughput(past, move, rto)),
        steps=[Step(name=s["name"], at=s["at"], seconds=s["seconds"], attempts=s.get("attempts", 1))
               for s in (move.completed.steps if move.completed else [])],
        ledger=measured("series", lambda: pictures.ledger(past, move, rpo.of_fleet(losses["metadata"]))))


def _deployment(figures: Figures, name: str) -> Deployment:
    past = figures.history
    recoveries = [r[name] for r in figures.recoveries if name in r]
    losses = [{stream: by[name] for stream, by in losses.items() if name in by} for losses in figures.losses
              if name in losses["metadata"]]
    fates = figures.fates.get(name, {})
    mine = tasks.count(t for t in figures.followed or [] if t.key[0] == name)
    split = figures.split_by[name].total
    verdicts, reasons = [PASS], []
    strange = [(f"{count} {stream} writes {fate}", count > 0) for stream, found in fates.items()
               for fate, count in ((fate, getattr(found, fate)) for fate in conservation.STRANGE)]
    for said, bad in ((f"never restored in {_kinds(figures, name)}", any(not r.restored and r.rto for r in recoveries)),
                      ("down at the end", figures.up_at_end.get(name) is False),
                      *_beyond_targets(figures, fates, mine, split), *strange):
        if bad:
            verdicts.append(FAIL)
            reasons.append(said)
    if past.looks and not (fates and fates["metadata"].acknowledged):
        verdicts.append(INCONCLUSIVE)
        reasons.append("none of its writes was followed")
    if any(r.rto is None for r in recoveries) or figures.up_at_end.get(name, True) is None:
        verdicts.append(INCONCLUSIVE)
        reasons.append("it was not watched all the time")
    return Deployment(
        name=name, verdict=worst(verdicts), reasons=reasons, up_at_end=figures.up_at_end.get(name),
        epochs=[Epoch(number=e.number, site=e.site, began=None if e.first == BEFORE else e.began,
                      error_s=round(e.error, 6), inferred=e.inferred, transition=e.move)
                for e in past.epochs.get(name, [])],
        recoveries=recoveries, losses=losses, fates=fates, tasks_lost=mine.lost, tasks_stuck=mine.stuck,
        tasks_duplicated=mine.duplicated, tasks_against_retries=mine.against_retries, split_brain_writes=split)


def _beyond_targets(figures: Figures, fates: dict[str, Fates], mine: Tasks,
                    split: Interval) -> list[tuple[str, bool]]:
    """Whether one Deployment alone has more of something than the drill's target allows the whole fleet."""
    targets, metadata = figures.history.started.targets, fates.get("metadata")
    gone = metadata.lost + metadata.recovered_later if metadata else 0
    counts = (("split-brain-writes", split.low, "split-brain writes"), ("writes-lost", gone, "metadata writes lost"),
              ("tasks-lost", mine.lost + mine.stuck, "tasks lost or stuck"))
    found = [(f"{count:.0f} {said}", targets.get(name) is not None and count > targets[name])
             for name, count, said in counts]
    unasked = (("tasks-duplicated", mine.duplicated, "tasks duplicated"),
               ("tasks-against-retries", mine.against_retries, "tasks run against their retries"))
    return found + [(f"{count} {said}", count > (targets.get(name) or 0)) for name, count, said in unasked]


def _kinds(figures: Figures, name: str) -> str:
    return ", ".join(move.kind for move, r in zip(figures.history.moves, figures.recoveries, strict=True)
                     if name in r and not r[name].restored)


def _run(evidence: Evidence, running: Series, lateness: float | None) -> Run:
    started, up = evidence.first(RunStarted) or RunStarted(), evidence.first(FleetUp) or FleetUp()
    environment, at_fault = evidence.first(EnvironmentUp), evidence.first(LoadAtFault)
    return Run(
        id=started.run_id, drill=started.drill.get("name", ""), title=started.drill.get("title", ""),
        file=started.drill.get("file", ""), sha256=started.drill.get("sha256", ""), seed=started.seed,
        started=evidence.events[0].wall if evidence.events else 0.0,
        ended=evidence.events[-1].wall if evidence.events else 0.0,
        environment=started.environment, machine=started.machine, versions=started.versions,
        simulated=environment.simulated if environment else [], settings=up.settings,
        deployments=len(up.deployments), concurrent_tasks_asked=started.concurrent_tasks,
        concurrent_tasks_at_fault=at_fault.running if at_fault else None,
        probe_interval_s=started.probe_interval_s, canary_interval_s=started.canary_interval_s,
        lateness_p99_ms=lateness, phases=_phases(evidence), running=running, format=FORMAT)


def _phases(evidence: Evidence) -> list[Phase]:
    """The bring-up, then each phase; one without an end lasted to the end of the record."""
    up, ended = evidence.first(FleetUp), {e.index: e.wall for e in evidence.of(PhaseEnded)}
    zero, end = (evidence.events[0].wall, evidence.events[-1].wall) if evidence.events else (0.0, 0.0)
    found = [Phase(name="bring up", began=zero, ended=up.wall)] if up else []
    return found + [Phase(name=e.phase, began=e.wall, ended=ended.get(e.index, end))
                    for e in evidence.of(PhaseStarted)]


def _broken(evidence: Evidence, error: MeasureFailed) -> Result:
    """What can be said when a measure fails: that it did, and nothing else."""
    outcome = verdict.broken(evidence, str(error))
    return Result(
        verdict=outcome.verdict, exit_code=outcome.exit_code, reasons=outcome.reasons, gaps=outcome.gaps,
        cleanup=outcome.cleanup, aborted=outcome.aborted, broken=True,
        run=_run(evidence, Series(at=[], values=[]), None), targets=[], expectations=[],
        claims=[], transitions=[], fates={}, split_brain=split_brain.NOTHING, tasks=None,
        fingerprint=Fingerprint(looks=0, items=0, differences=[], missing=0, changed=0), deployments=[], clocks=[],
        resources=Resources(), proof=None)
