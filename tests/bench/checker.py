"""How fast the checker is: figures of made-up runs of 1, 10 and 50 million acknowledgements.

    ./dev python -m tests.bench.checker [millions ...]

Each run has 80 Deployments, one failover and **known answers**: which acknowledged rows are absent, which
attempts were never answered, which rows nobody attempted. The check happens in a process of its own,
from the run directory on disk to all figures; its time, its CPU and its largest resident set are printed
with the growth of the time. A figure that is not the known answer ends the bench with an error.
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

from harness.evidence import DIRECTORY, sha256
from harness.journal import Journal
from harness.tables import Tables
from tests.bench.machine import describe

DEPLOYMENTS = 80
T_FAULT = 1_000_000.0
LOST_EVERY, UNKNOWN_EVERY = 100_000, 250_000
"""One acknowledged row in so many is absent; one attempt in so many was never answered."""
WINDOW_S = 30.0
"""Only rows of the last seconds before the fault are lost, as with replication that lags."""
PHANTOMS = 7


def make(run: Path, millions: float) -> dict[str, int]:
    """Write a run directory with so many acknowledgements; what its figures must be."""
    rows = int(millions * 1e6)
    per_writer = rows // DEPLOYMENTS
    (run / DIRECTORY).mkdir(parents=True)
    tables = Tables()
    # Row n of each Deployment's writer is acknowledged at an even pace up to the fault.
    tables.db.execute(f"""
        create table attempts as
        select 'team-' || lpad((i % {DEPLOYMENTS})::varchar, 2, '0') as d,
               'us-west-2/' || lpad((i % {DEPLOYMENTS})::varchar, 8, '0') as wr, i // {DEPLOYMENTS} as n,
               {T_FAULT} - 3600.0 * (1 - (i // {DEPLOYMENTS}) / {per_writer}) as t,
               i % {UNKNOWN_EVERY} = 1 as unanswered
        from range({per_writer * DEPLOYMENTS}) as r(i)""")
    lost = f"t > {T_FAULT - WINDOW_S} and hash(d, n) % 100 = 0 and not unanswered"
    known = dict(zip(("acknowledged", "unknown", "lost"), tables.one(f"""
        select count(*) filter (not unanswered), count(*) filter (unanswered), count(*) filter ({lost})
        from attempts"""), strict=True)) | {"phantom": PHANTOMS}
    columns = "null::varchar as k, 'us-west-2' as r, t as w, null::varchar as dag, " \
        "null::varchar as run, null::varchar as task, null::integer as map, null::varchar as ti, " \
        "null::varchar as key, null::varchar as v"
    files = {
        "witness": (f"""select 'try' as e, 'ledger' as s, d, wr, n, t, {columns} from attempts
            union all
            select 'ack', 'ledger', d, wr, n, t, {columns} from attempts where not unanswered
            union all
            select 'ack', 'ledger', 'team-00', 'us-east-2/1', 1, {T_FAULT + 5},
                {columns.replace("us-west-2", "us-east-2").replace("t as w", "0.0 as w")}""",
                    "witness"),
        "held": (f"""select 'row' as f, d, wr, n, null::varchar as dag, null::varchar as run,
                null::varchar as task, null::integer as map, null::varchar as state,
                null::integer as try, null::varchar as key
            from (select d, wr, n from attempts where not ({lost}) and not unanswered
                  union all select 'team-00', 'nobody/1', range from range({PHANTOMS}))""",
                 "settled-1"),
    }
    book = Journal(run)
    book.append("run.started", run_id="bench", targets={}, proves=[], concurrent_tasks=1, seed=1,
                versions={}, machine={}, drill={"name": "bench"}, probe_interval_s=5.0,
                canary_interval_s=60.0)
    book.append("fleet.up", settings={}, roles={"us-west-2": "primary", "us-east-2": "secondary"},
                deployments=[{"name": f"team-{i:02d}"} for i in range(DEPLOYMENTS)],
                active="us-west-2")
    book.append("fault.outcome", fault="region-outage", disrupts=True, in_force=T_FAULT)
    book.append("trigger.accepted", kind="failover", at=T_FAULT + 1, source="us-west-2",
                target="us-east-2")
    book.append("transition.completed", kind="failover", at=T_FAULT + 9, steps=[])
    book.append("settled", snapshot="settled-1", since=T_FAULT + 9)
    for table, (query, name) in files.items():
        path = run / DIRECTORY / f"{name}.parquet"
        tables.db.execute(f"copy ({query}) to '{path}' (format parquet, compression zstd)")
        book.append("evidence", file=path.name, table=table, sha256=sha256(path))
    book.close()
    return known


def check(run: Path) -> None:
    """Compute all figures of a run directory; print them with what that took, as JSON."""
    began = time.monotonic()
    from harness import evidence
    from harness.measures import figures

    loss = figures.compute(evidence.load(run)).transitions[0].losses["metadata"]
    assert loss is not None
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({
        "seconds": time.monotonic() - began, "cpu_s": used.ru_utime + used.ru_stime,
        "rss_mib": used.ru_maxrss / 1024, "acknowledged": loss.acknowledged,
        "unknown": loss.unknown, "lost": loss.lost, "phantom": loss.phantom,
        "window_s": loss.window.value}))


def main() -> None:
    """Make, check and print."""
    console = Console()
    if sys.argv[1:2] == ["--check"]:
        check(Path(sys.argv[2]))
        return
    sizes = [float(size) for size in sys.argv[1:]] or [1.0, 10.0, 50.0]
    console.print(describe())
    table = Table("acknowledgements", "seconds", "CPU s", "largest RSS MiB", "evidence MiB", "lost",
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
        if wrong or not 0 < found["window_s"] <= WINDOW_S:
            raise SystemExit(f"wrong figures (known, found): {wrong}, window {found['window_s']}")
        growth = "" if last is None else \
            f"n^{math.log(found['seconds'] / last[1]) / math.log(millions / last[0]):.2f}"
        last = millions, found["seconds"]
        table.add_row(f"{millions:g} M", f"{found['seconds']:.1f}", f"{found['cpu_s']:.1f}",
                      f"{found['rss_mib']:.0f}", f"{size:.0f}", str(found["lost"]), growth)
    console.print(table)
    console.print("every figure was the known answer")


if __name__ == "__main__":
    main()
