"""The fingerprint: what each Deployment was made of before a transition, compared with what it is made of after it.

Taken by the observer from the databases and the Kubernetes objects themselves, item by item, each with a digest of
all its fields: variables, connections (every field), pools, the settings and environment variables of Airflow, Dag
runs, task instances that had ended, XComs. What a site-specific name stands in (a bucket, an address) is compared
with that name taken out. An item is **missing**, **changed** or, of the configuration, **added**.

Dag runs, task instances and XComs are written all the time, so that what a lagging standby did not have yet may be
missing: that is the loss that :mod:`rpo` measures. The configuration was there long before: none of it may be missing,
nor may it be lost between two looks while nothing moves (when the region that was lost comes back, say).

It does **not** say that what is there can be used: whether a variable can be decrypted is looked at through Airflow's
own API (the check ``carried-over``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

from harness.measures.history import History
from harness.measures.result import Difference, Fingerprint
from harness.measures.timeline import Look

CONFIGURATION = ("variable", "connection", "pool", "environment")
SHOWN = 100
ENDED = ("success", "failed", "upstream_failed", "skipped", "removed")

COMPARED = f"""
with facts as (
    select snapshot, f, d, concat_ws(' ', dag, run, task, nullif(map, -1), key) as item, c,
           case when f in ('ti', 'run') then state end as state, "try" as tries
    from held where f in ('variable', 'connection', 'pool', 'environment', 'run', 'ti', 'xcom')),
was as (select * from facts where snapshot = $before),
now as (select * from facts where snapshot = $after)
select f, coalesce(was.d, now.d) as d, coalesce(was.item, now.item) as item,
       case when now.item is null then 'missing' when was.item is null then 'added' else 'changed' end as change
from was full join now using (f, d, item)
where case when now.item is null then true
           when was.item is null then f in ('variable', 'connection', 'pool', 'environment')
           when f = 'ti' then was.state in {ENDED}
               and (was.state, was.c, was.tries) is distinct from (now.state, now.c, now.tries)
           when f = 'run' then was.c is distinct from now.c
               or was.state in {ENDED} and was.state is distinct from now.state
           when f = 'xcom' then false  -- a task that runs again writes it again: conservation follows its content
           else was.c is distinct from now.c end
order by f, d, item
"""
COUNTED = """
select count(*) from held where snapshot = $before
    and f in ('variable', 'connection', 'pool', 'environment', 'run', 'ti', 'xcom')
"""


@dataclass(frozen=True)
class Differences:
    """All differences of a run."""

    looks: int = 0
    items: int = 0
    found: list[Difference] = field(default_factory=list)

    def of_configuration(self, *changes: str) -> list[Difference]:
        """Those of what people and the platform set, of some kinds of change."""
        return [d for d in self.found if d.kind in CONFIGURATION and d.change in changes]


def differences(history: History) -> Differences:
    """Compare each look before a transition with the first look after it, and of all others the configuration."""
    found: list[Difference] = []
    items, around = 0, pairs(history.looks)
    for before, after in around:
        items += int(history.tables.value(COUNTED, before=before.snapshot))
        found += _compared(history, before, after)
    for before, after in pairwise(history.looks):
        if (before, after) not in around:
            found += [d for d in _compared(history, before, after) if d.kind in CONFIGURATION]
    return Differences(len(around), items, found)


def _compared(history: History, before: Look, after: Look) -> list[Difference]:
    return [Difference(deployment=row.get("d", ""), kind=row["f"], item=row["item"], change=row["change"],
                       look=after.snapshot)
            for row in history.tables.rows(COMPARED, before=before.snapshot, after=after.snapshot)]


def as_result(found: Differences) -> Fingerprint:
    """What the report shows: the configuration's differences first."""
    ordered = sorted(found.found, key=lambda d: (d.kind not in CONFIGURATION, d.look))
    return Fingerprint(
        looks=found.looks, items=found.items, differences=ordered[:SHOWN],
        missing=sum(d.change == "missing" for d in found.found),
        changed=sum(d.change == "changed" for d in found.found))


def pairs(looks: list[Look]) -> list[tuple[Look, Look]]:
    """Each look before a transition with the first look after it."""
    found = []
    for index, look in enumerate(looks):
        after = next((x for x in looks[index + 1:] if not x.before), None)
        if look.before and after is not None and after.move is not None and after.move != look.move:
            found.append((look, after))
    return found
