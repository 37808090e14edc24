"""Gaps: whatever could make a figure better by being absent. Each one keeps a drill from passing.

A gap is something that should have been observed and was not: an evidence file that was never stored or is empty, a
line that could not be read, a record that was dropped on its way, a site that was not heard, a clock that was set,
a phase that left no trace, a step of the teardown that failed, a journal that does not end.

It does **not** mean that something is wrong with the system under drill; it means that nobody can say.
"""

from __future__ import annotations

from collections import defaultdict

from harness.measures import clocks
from harness.measures.history import History
from harness.record.events import (
    Check,
    Cleanup,
    CleanupIntent,
    Failure,
    FaultIntent,
    FaultOutcome,
    FleetUp,
    Gap,
    LoadReached,
    LoadStarted,
    Looked,
    PhaseEnded,
    PhaseStarted,
    RunAborted,
    RunBroken,
    RunEnded,
    Settled,
    TeardownError,
    TriggerIntent,
    UndoIntent,
    UndoOutcome,
)
from harness.record.evidence import Evidence

LATER = (Cleanup, CleanupIntent, RunBroken, RunEnded)
"""What may follow the end of a run: somebody removed what it had left."""


def gaps(history: History) -> list[str]:
    """All gaps of a run, in words; those that only one measure minds are the measure's own."""
    evidence = history.evidence
    found = [*evidence.gaps, *(e.reason for e in evidence.of(Gap))]
    found += [f"teardown: {e.what}: {e.error}" for e in evidence.of(TeardownError)]
    if evidence.first(RunEnded) is None:
        found.append("the record does not end: the harness was stopped before its last word, or that was cut off")
    elif after := _after_the_end(evidence):
        found.append(f"the record goes on after its end: {', '.join(after)}")
    up = evidence.first(FleetUp)
    if evidence.first(RunBroken) is None and evidence.first(RunAborted) is None:
        found += _phases(history)
        if up is None:
            found.append("nobody wrote down that the fleet came up")
        elif not up.deployments:
            found.append("the fleet has no Deployment: there was nothing to drill")
    found += clocks.harness_steps(evidence.events, history.tables) + clocks.site_steps(history.tables)
    if up is not None:
        found += _observed(history)
    if evidence.first(LoadStarted) is not None and evidence.first(LoadReached) is None:
        found.append("the load never reached the asked number of running tasks")
    for move in history.moves:
        name = f"{move.kind} to {move.target}"
        if move.completed is None:
            found.append(f"{name}: nobody saw that the orchestrator had finished")
        if move.settled is None:
            found.append(f"{name}: the fleet was not looked at after it")
        elif move.snapshot not in evidence.snapshots:
            found.append(f"{name}: the databases were not looked at after it had settled")
    kept = {e.snapshot for e in evidence.of(Looked)}
    looked = kept | {e.snapshot for e in evidence.of(Settled)}
    found += _unasked(history) + _elsewhere(history)
    found += [f"nobody wrote down when the look {name} was taken" for name in evidence.snapshots if name not in looked]
    found += [f"the look {name} was taken, and what it saw is not in the evidence"
              for name in sorted(kept - set(evidence.snapshots))]
    found += _untold(history)
    intents = len(evidence.of(FaultIntent))
    if intents and intents != len(evidence.of(FaultOutcome)):
        found.append("a fault was begun and nobody wrote down what came of it")
    if len(evidence.of(UndoIntent)) > len(evidence.of(UndoOutcome)):
        found.append("something was to be taken back and nobody wrote down what came of it")
    return found


UNTOLD = """
select count(*) filter (coalesce(r, '') = '' or nameless) as nameless,
       count(*) filter (e = 'ack' and k is distinct from 'dagrun' and c is null) as empty,
       count(*) filter (not isfinite(t) or t < $began - $off or t > $ended + $off) as astray
from (
    select *, case when e <> 'ack' then d is null or dag is null or run is null or task is null
                   when s = 'ledger' then d is null or wr is null or n is null
                   when s in ('task-logs', 'images') then key is null
                   when s = 'airflow' then k is null or d is null or run is null
                   else true end as nameless
    from witness where e in ('ack', 'start', 'effect'))
"""


def _untold(history: History) -> list[str]:
    """Records of the witness that no measure can place: they would count as nothing at all."""
    events = history.evidence.events
    nameless, empty, astray = history.tables.one(
        UNTOLD, began=events[0].wall, ended=events[-1].wall, off=clocks.STEP_S) if events else (0, 0, 0)
    found = []
    if nameless:
        found.append(f"{nameless} records of the witness do not say of what, or of whom, they are")
    if empty:
        found.append(f"{empty} acknowledgements do not say what was written")
    if astray:
        found.append(f"{astray} records of the witness are of a time before or after the run")
    return found


def _after_the_end(evidence: Evidence) -> list[str]:
    """Kinds of what was written after the run had ended: only the clean-up may come later."""
    end = evidence.of(RunEnded)[0].record
    return sorted({e.KIND for e in evidence.events if e.record > end and not isinstance(e, LATER)})


def _unasked(history: History) -> list[str]:
    """Reigns that began and that no transition accounts for."""
    found: dict[tuple[str, float], list[str]] = defaultdict(list)
    for name, mine in history.epochs.items():
        for epoch in mine[1:]:
            if epoch.move is None:
                found[epoch.site, round(epoch.began, 1)].append(name)
    return [f"{site} became the writer of {len(names)} Deployments at {at:.1f}, and no transition asked for it"
            for (site, at), names in sorted(found.items())]


def _elsewhere(history: History) -> list[str]:
    """Looks into a site at which no Deployment was to run."""
    found = []
    for look in history.looks:
        expected = {next((m.target for m in reversed(history.moves)
                          if name in m.deployments and m.accepted < look.began), history.active)
                    for name in history.fleet}
        if look.site and expected and look.site not in expected:
            found.append(f"the look {look.snapshot} was taken at {look.site}, where no Deployment was to run")
    return found


def _observed(history: History) -> list[str]:
    """What the parts of the environment left, against what they should have."""
    evidence = history.evidence
    found = [f"no evidence of {table} was stored" if table not in evidence.stored
             else f"the evidence of {table} is empty"
             for table in history.started.observed if not evidence.stored.get(table)]
    if history.moves and not evidence.has_links and "links" not in history.started.observed:
        found.append("the network left no record of who called whom")
    if not history.looks:
        found.append("the databases were never looked at")
    probed = {row["d"] for row in evidence.tables.rows("select distinct d from probes")}
    found += [f"Deployment {name} was never probed" for name in history.fleet if name not in probed]
    if history.dropped:
        found.append(f"{history.dropped} records never reached the witness, though their clients had told them")
    found += [str(silence) for silence in history.silences]
    doubts = clocks.doubts(history.offsets)
    found += [f"the clock of {site} is off by {doubt:.1f} s against the others"
              for site, doubt in doubts.items() if doubt > clocks.STEP_S + clocks.WAY_S]
    return found


def _phases(history: History) -> list[str]:
    """Phases that the drill names and the journal does not tell of from begin to end.

    One that failed or was aborted left a record of that, and what comes after it is not expected.
    """
    evidence, planned = history.evidence, history.started.phases
    if not planned or evidence.first(Failure) is not None or evidence.first(Gap) is not None:
        return []
    ended = {e.index for e in evidence.of(PhaseEnded)}
    begun = {e.index for e in evidence.of(PhaseStarted)}
    found = [f"phase {index + 1} ({kind}) {'has no end' if index in begun else 'left no trace'} in the record"
             for index, kind in enumerate(planned) if index not in ended]
    if len(evidence.of(Settled)) < planned.count("settle"):
        found.append(f"of {planned.count('settle')} settle phases {len(evidence.of(Settled))} are in the record")
    requests = len(evidence.of(TriggerIntent)) + sum(e.name == "refusal" for e in evidence.of(Check))
    if requests < planned.count("failover") + planned.count("failback"):
        found.append("a failover or failback of the drill is not in the record")
    cleanup = evidence.first(Cleanup)
    if cleanup is None:
        found.append("nobody wrote down what became of the environment")
    return found
