"""What the orchestrator refuses, and why: said before anything is started."""

from __future__ import annotations

from orchestrator.config import OrchestratorConfig
from orchestrator.health import catching_up, region_issues
from orchestrator.store import Cluster, Store


class Refused(Exception):
    """A request that is refused: ``status`` is HTTP's, the message says what to do."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def admit_move(
    cluster: Cluster, target: str, config: OrchestratorConfig, store: Store, *, force: bool,
    planned: bool,
) -> None:
    """Let a failover or failback begin.

    ``force``: an administrator takes the responsibility for an unhealthy standby or one that is
    behind; nobody can force a second move while one runs.

    Raises:
        Refused: 400 without DR, 409 while another move runs, while the standby is unhealthy and,
            for a switchover (a failback is one), while its target has not caught up.
    """
    if not cluster.isDrEnabled:
        raise Refused(400, f"cluster {cluster.name} has no disaster recovery; enable it first (enableDr)")
    if cluster.status == "FAILING_OVER":
        raise Refused(409, "a failover is in progress; wait until it has ended")
    if cluster.status in ("CREATING", "CREATE_FAILED"):
        raise Refused(409, f"the cluster is {cluster.status}; it cannot be failed over")
    if force:
        return
    if planned:
        if behind := catching_up(target, store):
            raise Refused(409, f"no switchover yet: {behind}. Send the request again when it has; an "
                               "administrator can force it, and loses what is not there")
        return
    # That the database is out of contact with its writer is what an outage of the writer looks like.
    grave = [i for i in region_issues(cluster, target, store)
             if i.severity == "CRITICAL" and i.code != "DATABASE_REPLICATION_STOPPED"]
    if grave:
        raise Refused(409, f"the standby {target} is unhealthy: {grave[0].description}. Mend it and send "
                           "the request again; an administrator can force it")
