"""The dependency audit: who called into the site that is left, and who wrote to a global control plane.

Read from the links that every call of the orchestrator crosses (a connection that was refused counts as much as one
that was answered) and from the servers' own access logs, never from the orchestrator's word; from the request until
the
*harness itself* has seen the transition complete. **Calls into the site that is left** are those that come

* directly: over one of the orchestrator's links, or with the orchestrator's credential;
* through the other site: over the link between the sites, other than what the database and the object store
  themselves say to their peers (service ``control``);
* by address: past all links, by nobody who is known there (the site's own workloads and the observer are). Without the
  servers' logs of that site nobody knows of those.

**Global writes** are changes at a control plane that lives in one region (IAM, Route 53), whoever makes them.

It does **not** cover calls that cross no border and are made by the site's own workloads, nor the clean-up, which runs
after completion and may call the old site once it is back.
"""

from __future__ import annotations

from harness.measures.history import History
from harness.measures.result import Audit
from harness.measures.timeline import Move

EXAMPLES = 5
ORCHESTRATOR, OBSERVER, WORKLOAD = "orchestrator", "observer", "workload"
PEERS = "control"
"""The service under which databases and object stores of two sites talk to each other."""
LINKED = r"^\d+\.\d+\.1[1-4]\d\."
"""Addresses of links: third octets 110 to 149 name caller and site; 13x are the orchestrator's."""
ORCHESTRATORS = r"^\d+\.\d+\.13\d\."
READ = "^(Get|List|Describe|Head|GET|HEAD)"

LEFT_LINKS = """
select t, concat_ws(' ', caller, event, service, 'of', site) as what from links
where caller = 'orchestrator' and site = $left and t between $since and $until
    and event in ('connect', 'refused', 'request')"""
LEFT_ACCESS = f"""
select t, concat_ws(' ', coalesce(who, 'somebody'), 'at', caller, 'asked', role, 'for', service, action) as what
from access
where role = $left and t between $since and $until and service <> '{PEERS}' and (
    who = '{ORCHESTRATOR}'
    or who is distinct from '{OBSERVER}' and regexp_matches(caller, '{LINKED}')
    or who is null)"""
CALLS = f"""
select role, count(*) as calls from access
where t between $since and $until
    and (who = '{ORCHESTRATOR}' or regexp_matches(caller, '{ORCHESTRATORS}')) group by role order by role"""
GLOBAL = f"""
select t, service, concat_ws(' ', coalesce(who, caller), service, action) as what from access
where role = 'global' and t between $since and $until and service <> '{PEERS}'
    and who is distinct from '{OBSERVER}' and not regexp_matches(action, '{READ}')"""


def audit(history: History, move: Move) -> Audit | None:
    """The audit of one transition.

    None where the network or the orchestrator's calls left no record, or where the transition never completed: an
    orchestrator that called nobody cannot have moved anything.
    """
    until = move.seen_complete
    if until is None or not history.evidence.has_links:
        return None
    tables = history.tables
    span = {"since": move.asked, "until": until}
    left = {**span, "left": history.roles.get(move.source, move.source)}
    called = tables.value(
        "select count(*) from links where caller = 'orchestrator' and t between $since and $until", **span)
    by_site = {row["role"]: row["calls"] for row in tables.rows(CALLS, **span)}
    if not called and not by_site:
        return None
    into = sorted(tables.rows(LEFT_LINKS, **left) + tables.rows(LEFT_ACCESS, **left), key=lambda row: row["t"])
    logged = {row["role"] for row in tables.rows("select distinct role from access where role is not null")}
    recorded = "global" in logged
    written = tables.rows(GLOBAL, **span) if recorded else []
    iam = [row for row in written if row["service"] == "iam"]
    return Audit(
        calls=sum(by_site.values()), by_site=by_site,
        left_site=len(into) if into or left["left"] in logged else None,
        iam_writes=len(iam) if recorded else None, other_global_writes=len(written) - len(iam) if recorded else None,
        examples=[f"{row['what']} at {row['t']:.3f}" for row in [*into, *iam][:EXAMPLES]])
