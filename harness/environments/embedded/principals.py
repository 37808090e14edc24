"""Who calls a server: told by the credential that the caller offers, and written into the server's access log.

A server's own log is evidence of who called whom only if each caller has a credential of its own. There are three
kinds of caller:

* ``orchestrator``: the system under drill;
* ``observer``: the harness, and people who look with kubectl or boto3;
* ``workload``: what belongs to a site itself: its pods, agents, node, ingress, and the other region's servers.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping

ORCHESTRATOR, OBSERVER, WORKLOAD = "orchestrator", "observer", "workload"


def principal(offered: str, credentials: Mapping[str, str]) -> str | None:
    """Whose credential was offered; None when it is nobody's.

    ``credentials``: caller to credential; an empty one is not in use. All of them are compared, each in constant
    time, so that how long a refusal takes tells nothing about them.
    """
    found = None
    for who, credential in credentials.items():
        same = hmac.compare_digest(offered.encode(errors="replace"), credential.encode())
        if same and credential:
            found = who
    return found
