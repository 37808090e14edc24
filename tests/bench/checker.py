"""How fast the checker is: results of made-up runs of 1, 10 and 50 million acknowledgements.

    ./dev python -m tests.bench.checker [millions ...]

Each run has 80 Deployments, one failover and **known answers**: which acknowledged rows are absent, corrupted or in
another Deployment's database, which attempts were never answered, which rows nobody attempted, which came from a site that
did not reign; beside them a task instance for every thousand rows, of which a known number ran twice or is stuck. The
check happens in a process of its own, from the run directory on disk to the whole result, planted violations included;
its time, its CPU and its largest resident set are printed with the growth of the time. A figure that is not the known
answer ends the bench with an error.
"""

from __future__ import annotations

import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from harness.record.events import (
    EpochBegan,
    EvidenceStored,
    FaultOutcome,
    FleetUp,
    RunEnded,
    RunStarted,
    Settled,
    TransitionCompleted,
    TriggerAccepted,
)
from harness.record.evidence import DIRECTORY, sha256
from harness.record.journal import Journal
from harness.record.tables import FORMAT, Tables
from tests.bench.machine import describe

DEPLOYMENTS = 80
T_FAULT = 1_000_000.0
UNKNOWN_EVERY = 250_000
"""One attempt in so many was never answered."""
WINDOW_S = 30.0
"""Only rows of the last seconds before the fault are lost, as with replication that lags."""
CORRUPTED_EVERY, MISPLACED_EVERY = 1_000_003, 900_001
PHANTOMS, INTRUDERS = 7, 5
ROWS_A_TASK, TWICE_EVERY, STUCK_EVERY = 1000, 97, 991


def make(run: Path, millions: float) -> dict[str, int]:
    """Write a run directory with so many acknowledgements; what its figures must be."""
    rows = int(millions * 1e6)
    per_writer = rows // DEPLOYMENTS
    (run / DIRECTORY).mkdir(parents=True)
    tables = Tables()
    # Row n of each Deployment's writer is acknowledged at an even pace up to the fault.
    tables.db.execute(f"""
        create table attempts as
        select *, t > {T_FAULT - WINDOW_S} and hash(d, n) % 100 = 0 and not unanswered as lost from (
            select i, 'team-' || lpad((i % {DEPLOYMENTS})::varchar, 2, '0') as d,
                   'us-west-2/' || lpad((i % {DEPLOYMENTS})::varchar, 8, '0') as wr, i // {DEPLOYMENTS} as n,
                   {T_FAULT} - 3600.0 * (1 - (i // {DEPLOYMENTS}) / {per_writer}) as t,
                   (hash(i) >> 4)::bigint as c, i % {UNKNOWN_EVERY} = 1 as unanswered
            from range({per_writer * DEPLOYMENTS}) as r(i))""")
    tables.db.execute(f"""
        create table tasks as
        select 'team-' || lpad((i % {DEPLOYMENTS})::varchar, 2, '0') as d, 'run' || (i // 10)::varchar as run,
               'task' || (i % 10)::varchar as task, {T_FAULT} - 3600.0 + 3500.0 * i / {max(1, rows // ROWS_A_TASK)} as t,
               i, i % {TWICE_EVERY} = 3 as twice, i % {STUCK_EVERY} = 5 as stuck
        from range({rows // ROWS_A_TASK}) as r(i)""")
    names = ("acknowledged", "unknown", "lost", "corrupted", "misplaced")
    usual = "not lost and not unanswered"
    known = dict(zip(names, tables.one(f"""
        select count(*) filter (not unanswered) + {INTRUDERS}, count(*) filter (unanswered), count(*) filter (lost),
               count(*) filter ({usual} and i % {CORRUPTED_EVERY} = 11),
               count(*) filter ({usual} and i % {MISPLACED_EVERY} = 17) from attempts"""), strict=True))
    known |= {"phantom": PHANTOMS, "split": INTRUDERS} | dict(zip(("duplicated", "stuck"), tables.one(
        "select count(*) filter (twice), count(*) filter (stuck) from tasks"), strict=True))
    none = "null::varchar as k, null::varchar as dag, null::varchar as run, null::varchar as task, null::integer as map"
    witness = f"""
        with told as (
            select 'try' as e, 'ledger' as s, d, 'us-west-2' as r, wr, n, t - 0.001 as t, c, {none} from attempts
            union all
            select 'ack', 'ledger', d, 'us-west-2', wr, n, t, c, {none} from attempts where not unanswered
            union all
            select e, 'ledger', 'team-00', 'us-west-2', 'us-west-2/late', i, {T_FAULT} + 20 + i, 5, {none}
            from range({INTRUDERS}) as r(i), (values ('try'), ('ack')) as x(e)
            union all
            select e, null, d, 'us-west-2', null, 1, t + after_s, 1, null, 'wide', run, task, -1
            from tasks, (values ('start', 0.0), ('effect', 1.0), ('effect', 2.0)) as x(e, after_s)
            where after_s < 2 and (e = 'start' or not stuck) or after_s = 2 and twice and not stuck)
        select *, t + 0.02 as w, 'client' as cl, row_number() over () as q, null::varchar as ti,
               null::varchar as key, null::boolean as late from told"""
    held = f"""
        select 'row' as f, case when i % {MISPLACED_EVERY} = 17 then 'team-xx' else d end as d, d as o, wr, n,
               case when i % {CORRUPTED_EVERY} = 11 then 0 else c end as c, null::varchar as dag,
               null::varchar as run, null::varchar as task, null::integer as map, null::varchar as state,
               null::integer as try, null::integer as retries, null::varchar as key from attempts where {usual}
        union all select 'row', 'team-00', 'team-00', 'nobody/1', range, 1, null, null, null, null, null, null, null, null
            from range({PHANTOMS})
        union all select 'row', 'team-00', 'team-00', 'us-west-2/late', range, 5,
            null, null, null, null, null, null, null, null from range({INTRUDERS})
        union all select 'ti', d, null, null, null, 1, 'wide', run, task, -1,
            case when stuck then 'running' else 'success' end, 1, 2, null from tasks"""
    known["duplicated"] = tables.value("select count(*) from tasks where twice and not stuck")
    book = Journal(run)
    book.append(RunStarted(run_id="bench", concurrent_tasks=1, drill={"name": "bench"}, probe_interval_s=5.0,
                           canary_interval_s=60.0))
    book.append(FleetUp(roles={"us-west-2": "primary", "us-east-2": "secondary"}, active="us-west-2",
                        deployments=[{"name": f"team-{i:02d}"} for i in range(DEPLOYMENTS)]))
    book.append(FaultOutcome(fault="partition", disrupts=True, in_force=T_FAULT))
    book.append(TriggerAccepted(kind="failover", at=T_FAULT + 1, source="us-west-2", target="us-east-2"))
    book.append(TransitionCompleted(kind="failover", at=T_FAULT + 9))
    book.append(EpochBegan(number=2, site="us-east-2", began=T_FAULT + 5, error=0.02))
    book.append(Settled(snapshot="settled-1", since=T_FAULT + 9))
    for table, query, name in (("witness", witness, "witness"), ("held", held, "settled-1")):
        path = run / DIRECTORY / f"{name}.parquet"
        tables.db.execute(f"copy ({query}) to '{path}' (format parquet, compression zstd,"
                          f" kv_metadata {{format: '{FORMAT}'}})")
        count = tables.value(f"select count(*) from '{path}'")
        book.append(EvidenceStored(file=path.name, table=table, sha256=sha256(path), rows=count))
    book.append(RunEnded())
    book.close()
    return known


def check(run: Path) -> None:
    """Make the result of a run directory; print its figures with what that took, as JSON."""
    began = time.monotonic()
    from harness.measures import evaluate
    from harness.record import evidence
    from tests.bench.prover import TimedProver

    prover = TimedProver()
    result = evaluate(evidence.load(run), prover)
    proof = result.proof
    assert proof is not None
    assert result.tasks is not None
    fates, used = result.fates["metadata"], resource.getrusage(resource.RUSAGE_SELF)
    window = result.transitions[0].rpo["metadata"].rpo
    print(json.dumps({
        "seconds": time.monotonic() - began, "cpu_s": used.ru_utime + used.ru_stime,
        "rss_mib": used.ru_maxrss / 1024, "proof_s": prover.seconds, "proven": all(p.found for p in proof.planted),
        "acknowledged": fates.acknowledged, "unknown": fates.unknown, "lost": fates.lost,
        "corrupted": fates.corrupted, "misplaced": fates.misplaced, "phantom": fates.phantom,
        "split": result.split_brain.database_writes.low, "duplicated": result.tasks.duplicated,
        "stuck": result.tasks.stuck, "window_s": window.low if window else None}))


def main() -> None:
    """Make, check and print."""
    console = Console()
    if sys.argv[1:2] == ["--check"]:
        check(Path(sys.argv[2]))
        return
    sizes = [float(size) for size in sys.argv[1:]] or [1.0, 10.0, 50.0]
    console.print(describe())
    table = Table("acknowledgements", "seconds", "of which proof", "CPU s", "largest RSS MiB", "evidence MiB", "lost",
                  "growth", box=None)
    last: tuple[float, float] | None = None
    for millions in sizes:
        with tempfile.TemporaryDirectory(prefix="drill-checker-") as directory:
            run = Path(directory) / "run"
            known = make(run, millions)
            size = sum(path.stat().st_size for path in (run / DIRECTORY).iterdir()) / 2**20
            done = subprocess.run([sys.executable, "-m", "tests.bench.checker", "--check", str(run)],
                                  capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(done.stderr)
        found = json.loads(done.stdout)
        wrong = {k: (v, found[k]) for k, v in known.items() if found[k] != v}
        if wrong or not found["proven"] or not 0 < found["window_s"] <= WINDOW_S:
            raise SystemExit(f"wrong figures (known, found): {wrong}, window {found['window_s']}")
        growth = "" if last is None else \
            f"n^{math.log(found['seconds'] / last[1]) / math.log(millions / last[0]):.2f}"
        last = millions, found["seconds"]
        table.add_row(f"{millions:g} M", f"{found['seconds']:.1f}", f"{100 * found['proof_s'] / found['seconds']:.1f} %",
                      f"{found['cpu_s']:.1f}", f"{found['rss_mib']:.0f}", f"{size:.0f}", str(found["lost"]), growth)
    console.print(table)
    console.print("every figure was the known answer")


if __name__ == "__main__":
    main()
