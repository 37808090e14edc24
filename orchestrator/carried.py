"""What a failover does not carry over (XR-21): work that is left to people, per Deployment."""

from __future__ import annotations

from typing import Any

from orchestrator.store import Deployment

NOT_CARRIED_OVER = (
    ("CUSTOMER_NETWORKING", "customer-managed networking and DNS",
     "Point your own DNS names, firewall rules and peerings at {region}."),
    ("IMAGE_PULL_SECRETS", "imagePullSecrets of KubernetesPodOperators",
     "Create the pull secrets that tasks name in namespace {namespace} of {region}."),
    ("CUSTOMER_WORKLOAD_IDENTITY", "customer-managed workload identities",
     "Let the identity of namespace {namespace} in {region} assume your own roles."),
    ("TRANSIT_GATEWAY_ROUTING", "customer-managed transit-gateway routing",
     "Route {region}'s network range at your transit gateway."),
)


def manual_work(deployment: Deployment, region: str) -> list[dict[str, Any]]:
    """The list for one Deployment that is to run, or runs, in ``region``."""
    return [{"code": code, "what": what,
             "todo": todo.format(region=region, namespace=deployment.namespace)}
            for code, what, todo in NOT_CARRIED_OVER]
