"""The dependency audit: whom the orchestrator called between trigger and completion.

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

ORCHESTRATOR_LINK = "13"
"""Third octets 130 to 139 are the orchestrator's links (see ``environments.embedded.addresses``)."""


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
    if transition.t_completed is None or not evidence.links:
        return None
    since, until = transition.t_trigger, transition.t_completed
    left = role_of[transition.source]
    into_left = [
        e for e in evidence.links
        if e.get("caller") == "orchestrator" and e.get("site") == left and since <= e["t"] <= until
        and e["event"] in ("connect", "refused", "request")
    ]
    by_site: dict[str, int] = {}
    iam = 0
    for role, lines in evidence.access.items():
        for line in lines:
            third = str(line["caller"]).split(".")[2:3]
            if not (since <= line["t"] <= until and third and third[0].startswith(ORCHESTRATOR_LINK)
                    and len(third[0]) == 3):
                continue
            by_site[role] = by_site.get(role, 0) + 1
            if line["service"] == "iam" and not str(line["action"]).startswith(("Get", "List")):
                iam += 1
    return Audit(
        calls=sum(by_site.values()), by_site=by_site, left_region=len(into_left), iam_writes=iam,
        examples=tuple(f"{e['event']} {e['service']} at {e['t']:.3f}" for e in into_left[:5]),
    )
