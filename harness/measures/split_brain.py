"""Two writers at once: what a site got accepted while another one reigned.

**Split-brain writes** are whatever a site of an older epoch got accepted after a Deployment's newer epoch began, and
whatever a standby got accepted before its own: **database writes** (ledger rows, Airflow's states, XComs and Dag
runs), **side effects** of tasks, **starts** of tasks, **objects** (task logs, images). Each is held against the epochs
of its own Deployment (:mod:`epochs`); an image, which belongs to none, against those of all.

A count is at least what certainly came outside of every reign of its site, and at most what may have: a ledger row was
accepted between its attempt and its acknowledgement, and an epoch's begin has an error. Where a site was not heard
(:mod:`hearing`), what it wrote is not known, and the count has no upper bound.

It does **not** count what the old site did before the newer epoch began, however long it was cut off: that is not a
split brain but a loss (:mod:`rpo`, :mod:`conservation`).
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from harness.measures.hearing import Silence
from harness.measures.history import History
from harness.measures.result import Count, SplitBrain

EXAMPLES = 5
KINDS = ("database_writes", "side_effects", "starts", "objects")

DOUBTFUL = """
create or replace table doubtful as
with pairs as (
    select d, r, min(t) as first, max(t) as last from witness
    where e in ('ack', 'effect', 'start') and r <> '' group by d, r)
select coalesce(d, '') as d, r from pairs anti join epochs on site = r and (epochs.d = pairs.d or pairs.d is null)
    and first >= began_last and last <= ended_first
"""
"""Nearly always all that a site did for a Deployment is inside of one reign; only the rest is looked at closely."""
INTRUSIONS = """
create or replace table intrusions as
with kinds as (
    select case when e = 'effect' then 'side_effects' when e = 'start' then 'starts'
                when s in ('ledger', 'airflow') then 'database_writes' else 'objects' end as kind,
           d, r, t, s, wr, n, dag, run, task, map, key, cl, q
    from witness where e in ('ack', 'effect', 'start') and (coalesce(d, ''), r) in (from doubtful)),
suspects as (
    select * from kinds anti join epochs on epochs.site = kinds.r and (epochs.d = kinds.d or kinds.d is null)
        and kinds.t >= began_last and kinds.t <= ended_first),
attempts as (
    select d, wr, n, min(t) as first from witness semi join (select d, wr, n from suspects where s = 'ledger')
        using (d, wr, n)
    where e = 'try' and s = 'ledger' and (d, r) in (from doubtful) group by all),
spans as (
    select suspects.*, coalesce(attempts.first, suspects.t) as since
    from suspects left join attempts using (d, wr, n)),
judged as (
    select *, exists (
        select 1 from epochs where site = spans.r and (epochs.d = spans.d or spans.d is null)
            and spans.t >= began_first and spans.since <= ended_last) as possible,
        (select max_by(move, began_first) from epochs where move is not null
            and (epochs.d = spans.d or spans.d is null) and began_first <= spans.t) as move
    from spans)
select distinct kind, d, r, t, possible, move, concat_ws(' ', s, wr, n, dag, run, task, map, key) as what,
       coalesce(cl || '/' || q, '') as told
from judged
"""
"""What came when its site did not reign; ``possible``: perhaps it did. ``move``: the last transition before it."""


def find(history: History) -> None:
    """Make the table ``intrusions(kind, d, r, t, possible, move, what, told)``."""
    history.tables.db.execute(DOUBTFUL)
    history.tables.db.execute(INTRUSIONS)


def of(history: History, move: int | None = None, deployment: str | None = None) -> SplitBrain:
    """The counts of the whole run, or of what came after one transition, or of one Deployment."""
    return _counted(_rows(history), history, move, deployment)


def by_deployment(history: History) -> dict[str, SplitBrain]:
    """The counts of the whole run for each Deployment; images are nobody's."""
    rows = _rows(history)
    return {name: _counted(rows, history, None, name) for name in history.fleet}


def _rows(history: History) -> list[dict[str, Any]]:
    return history.tables.rows(f"""
        select kind, coalesce(d, '') as d, move, count(*) filter (not possible) as certain, count(*) as most,
               list(concat_ws(' ', d, r, what) order by t, what)[:{EXAMPLES}] as examples
        from intrusions group by all order by min(t)""")


def _counted(rows: list[dict[str, Any]], history: History, move: int | None, deployment: str | None) -> SplitBrain:
    certain: dict[str, int] = defaultdict(int)
    most: dict[str, int] = defaultdict(int)
    examples: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        if (move is not None and row.get("move") != move) or (deployment is not None and row["d"] != deployment):
            continue
        certain[row["kind"]] += row["certain"]
        most[row["kind"]] += row["most"]
        examples[row["kind"]] += row["examples"]
    deaf = bool(unheard(history, move))
    return SplitBrain(**{kind: Count(low=certain[kind], high=None if deaf else most[kind],
                                     examples=examples[kind][:EXAMPLES]) for kind in KINDS})


def unheard(history: History, move: int | None = None) -> list[Silence]:
    """The silences of sites that did not reign at the time; after one transition, or of the whole run."""
    found = []
    for silence in history.silences:
        for reigns in history.epochs.values():
            reigning = [
                e for e, after in zip(reigns, [*reigns[1:], None], strict=True)
                if e.site != silence.site and e.first < silence.ended
                and (after is None or after.last > silence.began)
                and (move is None or e.move == move)]
            if reigning:
                found.append(silence)
                break
    return found


NOTHING = SplitBrain(**{kind: Count(low=0, high=None) for kind in KINDS})
"""What is known where nothing could be counted."""
