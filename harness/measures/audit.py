"""The dependency audit: whom the orchestrator called from the request to completion.

Read from the links that every call of the orchestrator crosses (a connection that was refused
counts as much as one that was answered) and from the servers' own access logs, never from the
orchestrator's word. ``left_region`` counts connections and requests into the region that is being
left: the claim is that there are none. ``iam_writes`` counts writes to IAM's control plane, which
lives in one region.

It does **not** cover calls that cross no border (inside a region), nor the clean-up, which runs
after completion and may call the old region once it is back.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.evidence import Evidence
from harness.measures.timeline import Transition

ORCHESTRATOR_LINKS = r"^\d+\.\d+\.13\d\."
"""Third octets 130 to 139 are the orchestrator's links (see ``environments.embedded.addresses``)."""
EXAMPLES = 5


@dataclass(frozen=True)
class Audit:
    """Calls by where they went."""

    calls: int
    by_site: dict[str, int]
    left_region: int
    iam_writes: int
    examples: tuple[str, ...] = ()


def audit(evidence: Evidence, transition: Transition, role_of: dict[str, str]) -> Audit | None:
    """The audit of one transition; None where the network kept no record or it never completed.

    ``role_of``: region name to role.
    """
    if transition.t_completed is None or not evidence.has_links:
        return None
    span = {"since": transition.t_asked, "until": transition.t_completed}
    into_left = """
        from links where caller = 'orchestrator' and site = $left
        and t between $since and $until and event in ('connect', 'refused', 'request')"""
    left = role_of[transition.source]
    count = evidence.tables.value(f"select count(*) {into_left}", left=left, **span)
    examples = evidence.tables.rows(
        f"select event, service, t {into_left} order by t limit {EXAMPLES}", left=left, **span)
    calls = evidence.tables.rows(f"""
        select role, count(*) as calls,
               count(*) filter (service = 'iam' and not regexp_matches(action, '^(Get|List)')) as iam
        from access where t between $since and $until
            and regexp_matches(caller, '{ORCHESTRATOR_LINKS}') group by role order by role""", **span)
    return Audit(
        calls=sum(c["calls"] for c in calls), by_site={c["role"]: c["calls"] for c in calls},
        left_region=count, iam_writes=sum(c["iam"] for c in calls),
        examples=tuple(f"{e['event']} {e['service']} at {e['t']:.3f}" for e in examples))
