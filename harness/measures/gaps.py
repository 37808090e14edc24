"""Gaps: whatever could make a figure better by being absent. Each one keeps a drill from passing.

A gap is something that should have been observed and was not: an evidence file that was never stored or is empty, a
line that could not be read, a record that was dropped on its way, a site that was not heard, a clock that was set,
a phase that left no trace, a step of the teardown that failed, a journal that does not end.

It does **not** mean that something is wrong with the system under drill; it means that nobody can say.
"""

from __future__ import annotations

from harness.measures import clocks
from harness.measures.history import History
from harness.record.events import (
    Check,
    Cleanup,
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
)


def gaps(history: History) -> list[str]:
    """All gaps of a run, in words; those that only one measure minds are the measure's own."""
    evidence = history.evidence
    found = [*evidence.gaps, *(e.reason for e in evidence.of(Gap))]
    found += [f"teardown: {e.what}: {e.error}" for e in evidence.of(TeardownError)]
    if evidence.first(RunEnded) is None:
        found.append("the record does not end: the harness was stopped before its last word, or that was cut off")
    up = evidence.first(FleetUp)
    if evidence.first(RunBroken) is None and evidence.first(RunAborted) is None:
        found += _phases(history)
        if up is None:
            found.append("nobody wrote down that the fleet came up")
    found += clocks.steps(evidence.events)
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
    found += [f"nobody wrote down when the look {name} was taken" for name in evidence.snapshots if name not in looked]
    found += [f"the look {name} was taken, and what it saw is not in the evidence"
              for name in sorted(kept - set(evidence.snapshots))]
    lost = history.tables.value("""
        select count(*) from witness where e = 'ack' and (s is null or t is null or r is null
            or s not in ('ledger', 'airflow', 'task-logs', 'images')
            or (s = 'ledger' and (d is null or wr is null or n is null))
            or (s in ('task-logs', 'images') and key is null)
            or (s = 'airflow' and (k is null or d is null or run is null)))""")
    if lost:
        found.append(f"{lost} acknowledgements do not say of what they are")
    intents = len(evidence.of(FaultIntent))
    if intents and intents != len(evidence.of(FaultOutcome)):
        found.append("a fault was begun and nobody wrote down what came of it")
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
              for site, doubt in doubts.items() if doubt > clocks.STEP_S]
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
