"""The sequence of a transition: whether its acts came in the order that is promised (XR-12).

Compute for the database, its promotion, Airflow at the new site, DNS: in the servers' own logs, by the orchestrator's
credential, with the begin of the new epoch by the database's word between them. Where the logs do not tell, the
orchestrator's own list of steps is all there is, and the proof says so.

It does **not** say how long each step took (the report shows what the orchestrator says of that), nor that the sequence
could be begun again at every point: a drill with the fault ``orchestrator-crash`` shows that.
"""

from __future__ import annotations

from itertools import combinations

from harness.measures.audit import ORCHESTRATORS
from harness.measures.figures import Figures
from harness.measures.interval import FAIL, INCONCLUSIVE, PASS
from harness.measures.shown import WORD, Shown
from harness.record.events import FaultOutcome, OrchestratorCrashes

SEQUENCE = ("provision-database-compute", "promote-database", "inflate", "move-dns")
"""The steps on the critical path, as the orchestrator names them."""


def ran_in_order(figures: Figures) -> Shown:
    """The steps ran in their order, by the servers' logs and the database; else by the orchestrator's word."""
    history = figures.history
    if not history.moves:
        return Shown(INCONCLUSIVE, "no transition")
    armed = [point for e in history.evidence.of(FaultOutcome) if e.fault == "orchestrator-crash"
             for point in (e.parameters.get("at") or ())]
    drilled = any(e.fault == "orchestrator-crash" for e in history.evidence.of(FaultOutcome))
    died = [point for e in history.evidence.of(OrchestratorCrashes) for point in e.points]
    if drilled and not died:
        return Shown(INCONCLUSIVE, "the orchestrator was to die, and nobody saw that it did")
    if missing := sorted(set(armed) - set(died)):
        return Shown(INCONCLUSIVE, f"the orchestrator never came to die at {', '.join(missing)}")
    after = f"; it died {len(died)} times on the way" if died else ""
    told = []
    for move in history.moves:
        if move.completed is None:
            return Shown(INCONCLUSIVE, f"{move.kind}: nobody saw it finish")
        names = [s["name"] for s in move.completed.steps if s.get("name") in SEQUENCE]
        if names != list(SEQUENCE):
            return Shown(FAIL, f"{move.kind}: steps ran as {', '.join(names) or 'none'}", WORD)
        told.append(_acts(figures, move.index))
    if wrong := [text for _, text in told if text and text.startswith("out of order")]:
        return Shown(FAIL, "; ".join(wrong) + after)
    if all(seen for seen, _ in told):
        return Shown(PASS, f"in the servers' logs, in order: {told[-1][1]}{after}")
    return Shown(PASS, f"steps ran in order: {', '.join(SEQUENCE)}{after} (nothing but its own word says so)", WORD)


ACTS = """
select min(t) filter (service = 'rds' and action = 'CreateDBInstance' and role = $target) as compute,
       min(t) filter (service = 'rds' and action in ('FailoverGlobalCluster', 'SwitchoverGlobalCluster')
                      and role = $target) as promotion,
       min(t) filter (service = 'kubernetes' and role = $target and action like 'PATCH %/deployments/%'
                      and action not like '%/scale') as inflation,
       min(t) filter (service = 'route53' and role = 'global' and not starts_with(action, 'GET ')) as names
from access where t between $since and $until and (who = 'orchestrator' or regexp_matches(caller, $orchestrators))
"""


def _acts(figures: Figures, index: int) -> tuple[bool, str]:
    """Whether the logs tell of every act of a transition, and their order in words."""
    history, move = figures.history, figures.history.moves[index]
    epochs = [history.epoch_of(name, move) for name in move.deployments]
    known = [e for e in epochs if e is not None and not e.inferred]
    if not known or len(known) < len(epochs) or move.seen_complete is None:
        return False, ""
    row = history.tables.rows(ACTS, target=history.roles.get(move.target, move.target), since=move.asked,
                              until=move.seen_complete, orchestrators=ORCHESTRATORS)[0]
    # The epoch began somewhere between two moments: each act is held against the one that excuses it.
    acts = [("compute", row.get("compute")), ("promotion asked", row.get("promotion")),
            ("new epoch", max(e.last for e in known)), ("Airflow applied", row.get("inflation")),
            ("DNS changed", row.get("names"))]
    seen = [(name, at) for name, at in acts if at is not None]
    error = max(e.last for e in known) - min(e.first for e in known)
    told = ", ".join(f"{name} at +{at - move.asked:.1f} s" for name, at in seen)
    if any(one > other + (error if name == "new epoch" else 0.0)
           for (name, one), (_, other) in combinations(seen, 2)):
        return True, f"out of order in the servers' logs ({move.kind}): {told}"
    # Compute that was there already is not asked for again, and the same holds for names.
    missing = {name for name, at in acts if at is None}
    return missing in (set(), {"compute"}, {"DNS changed"}), told
