"""Where everything of an embedded pair is: names, addresses, clients, files. Starts and breaks nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dns.resolver
from kubernetes import client as kubernetes_client

from harness.environments.base import DatabaseAccess, EnvironmentFailed, Epoch, RegionAccess
from harness.environments.embedded import credentials
from harness.environments.embedded.addresses import (
    AWS,
    DNS,
    GLOBAL_AWS,
    INGRESS,
    ORCHESTRATOR,
    POSTGRES,
    WITNESS,
    Block,
    Caller,
    Service,
    Site,
)
from harness.environments.embedded.layout import ROLES, PairSettings, environments_root
from harness.environments.embedded.postgres import log_of
from harness.environments.embedded.timelines import Timeline, timelines
from loadgen.wire.aws import aws_client
from loadgen.wire.kubernetes import kubernetes_client_of

DOMAIN = "dr-drill.test"
SIMULATED = (
    "Both regions are processes of one host; the links between them are user-space TCP proxies.",
    "The Kubernetes API, its controllers and its node are dr-drill's own; pods are processes "
    "forked from one warm Airflow process, which stands for the machine image.",
    "The AWS endpoints are moto with S3 replication and RDS global-database actions added.",
    "rds.global_db_rpo is enforced by making the standby PostgreSQL's synchronous one, looked at every "
    "250 ms; Aurora does it in its storage. CloudWatch metrics are computed from the same parts.",
    "An API outage is the endpoint answering 503; an orchestrator that dies of a crash point is started "
    "again by the harness, as a supervisor would.",
    "A region's power is taken from its processes, not from the machine, so PostgreSQL runs with "
    "fsync off: commits are as fast as the page cache.",
    "Provisioning the database head takes {head_delay:g} s here; AWS takes 5 to 10 minutes. Add "
    "that to the RTO.",
    "Write-ahead log between the regions is gathered for up to 40 ms on its way (its lag includes that).",
    "Copies between buckets leave in batches of 500 ms; S3 takes seconds to minutes. Images are objects of "
    "512 bytes, one pushed every 5 s.",
    "Tasks do no work: a synthetic executor drives Airflow's task execution API for them.",
    "Dags were serialized once into a template database; no Dag processor runs.",
    "An API server is one uvicorn worker with 4 threads; what the warm process held when it was forked, it and "
    "every scheduler keep for as long as they live.",
    "An AWS endpoint checks the access key of a request and knows by it who calls (orchestrator, observer or "
    "workload); it does not verify the signature, and the three share one secret key.",
    "DNS answers from a copy of the Route 53 zone that is at most seconds old.",
)


class PairAccess:
    """What a drill needs to know of a pair to reach its parts."""

    def __init__(self, identifier: str, settings: PairSettings) -> None:
        """Name a pair; its block and its secrets are known once it is being brought up, or found."""
        self.identifier, self.settings = identifier, settings
        self.directory = environments_root() / "envs" / identifier
        self.logs = self.directory / "logs"
        self.cluster_id = f"cl{identifier[-12:]}"
        self.domain = f"{identifier}.{DOMAIN}"
        self._tokens: dict[str, str] = {}
        self._block: Block | None = None

    @property
    def block(self) -> Block:
        """The environment's addresses."""
        if self._block is None:
            raise EnvironmentFailed("the environment is not up")
        return self._block

    @property
    def simulated(self) -> Sequence[str]:
        """What is simulated here, for the report."""
        return [text.format(head_delay=self.settings.head_delay) for text in SIMULATED]

    @property
    def regions(self) -> Mapping[str, RegionAccess]:
        """Both regions by role."""
        return {role: self._access(role, site) for role, site in ROLES.items()}

    def _access(self, role: str, site: Site) -> RegionAccess:
        return RegionAccess(
            name=self.region_name(role), role=role, kubeconfig=self.directory / f"kubeconfig-{role}",
            aws_endpoint=f"http://{self.block.service(site, AWS)}:{AWS.port}",
            postgres_host=self.block.service(site, POSTGRES), postgres_port=POSTGRES.port,
            log_bucket=self.bucket(role, "task-logs"), image_bucket=self.bucket(role, "images"),
            proxy_bucket=self.bucket(role, "proxy-registry"),
        )

    def region_name(self, role: str) -> str:
        """A role's region."""
        return self.settings.primary if role == "primary" else self.settings.secondary

    @property
    def organization_id(self) -> str:
        """The organization under which the orchestrator knows the cluster."""
        return "dr-drill"

    @property
    def orchestrator_url(self) -> str:
        """The base URL of the orchestrator's API."""
        return f"http://{self.block.service(Site.OUTSIDE, ORCHESTRATOR)}:{ORCHESTRATOR.port}"

    @property
    def crash_file(self) -> Path:
        """Where the points are armed at which the orchestrator is to die."""
        return self.directory / "sites" / "orchestrator" / "crash-point"

    def secret(self, name: str) -> str:
        """One of the environment's secrets (``api_token``, ``postgres_password``...)."""
        return self._tokens[name]

    def database(self, role: str, database: str = "postgres") -> DatabaseAccess:
        """A region's PostgreSQL, for the observer."""
        return DatabaseAccess(self.block.service(ROLES[role], POSTGRES), POSTGRES.port, "postgres",
                              self._tokens["postgres_password"], database)

    def kubernetes(self, role: str) -> kubernetes_client.ApiClient:
        """The official client for a region, directly (through no link), as the observer."""
        return kubernetes_client_of(self.directory / f"kubeconfig-{role}")

    def aws(self, role: str, service: Any) -> Any:
        """A boto3 client for a region's endpoint (role ``global``: us-east-1), directly, as the observer."""
        if role == "global":
            endpoint = f"http://{self.block.service(Site.OUTSIDE, GLOBAL_AWS)}:{GLOBAL_AWS.port}"
            region = "us-east-1"
        else:
            endpoint, region = self.regions[role].aws_endpoint, self.region_name(role)
        return aws_client(
            service, endpoint=endpoint, region=region, access_key=self._tokens["aws_observer_key"],
            secret_key=self._tokens["aws_secret_key"], connect=2, read=20)

    @property
    def service_file(self) -> Path:
        """A libpq service file: ``PGSERVICEFILE=... psql service=secondary``."""
        return self.directory / credentials.SERVICE_FILE

    @property
    def witness_log(self) -> Path:
        """Every record that the witness received."""
        return self.directory / "sites" / "witness" / "witness.jsonl"

    @property
    def link_log(self) -> Path:
        """What passed the links."""
        return self.directory / "sites" / "links" / "links.jsonl"

    @property
    def usage_log(self) -> Path:
        """CPU and memory of all parts over time; see :mod:`.usage`."""
        return self.directory / "sites" / "meter" / "usage.jsonl"

    def access_logs(self) -> dict[str, list[Path]]:
        """The servers' own access logs, by role (``global`` for us-east-1)."""
        sites = self.directory / "sites"
        return {
            "primary": [sites / "primary" / part / "access.jsonl" for part in ("aws", "kube")],
            "secondary": [sites / "secondary" / part / "access.jsonl" for part in ("aws", "kube")],
            "global": [sites / "us-east-1" / "aws" / "access.jsonl"],
        }

    def epochs(self) -> list[Epoch]:
        """Every reign of a writer so far, oldest first, from the PostgreSQL logs of both regions."""
        found = [Epoch(None, timeline.number, region, timeline.began, timeline.error, _postgres_log_of(region))
                 for region, timeline in self._timelines() if timeline.error is not None]
        return sorted(found, key=lambda epoch: epoch.began)

    def epoch_gaps(self) -> list[str]:
        """What the PostgreSQL logs do not say of the reigns: a log that is not there, a promotion without an end."""
        missing = [f"the {_postgres_log_of(self.region_name(role))} is missing"
                   for role in ROLES if not self._postgres_log(role).exists()]
        return missing + [
            f"the {_postgres_log_of(region)} does not say when timeline {timeline.number or 'of unknown number'} "
            f"began (at {timeline.began:.3f} or later)"
            for region, timeline in self._timelines() if timeline.error is None]

    def _timelines(self) -> list[tuple[str, Timeline]]:
        """The timelines that each region's server began, with the region's name."""
        return [(self.region_name(role), timeline) for role in ROLES if self._postgres_log(role).exists()
                for timeline in timelines(self._postgres_log(role))]

    def _postgres_log(self, role: str) -> Path:
        return log_of(self.directory / "sites" / role)

    def spools(self) -> list[Path]:
        """What the witness's clients in the regions and among the users could not send, and kept on disk."""
        sites = self.directory / "sites"
        return sorted({*sites.glob("*/spool/*.jsonl"), *sites.glob("users/**/spool/*.jsonl")})

    def witness_address(self) -> tuple[str, int, str]:
        """Host, port and token of the witness, for the observer."""
        return self.block.service(Site.OUTSIDE, WITNESS), WITNESS.port, self._tokens["witness_token"]

    def workload_witness(self, role: str) -> dict[str, str]:
        """The variables by which a workload of a region finds the witness (through its link)."""
        return {
            "DR_DRILL_WITNESS_HOST": self.block.link(Caller(ROLES[role]), Site.OUTSIDE, WITNESS),
            "DR_DRILL_WITNESS_PORT": str(WITNESS.port),
            "DR_DRILL_WITNESS_TOKEN": self._tokens["witness_token"],
            # Beside the pods' own directories, which go with them.
            "DR_DRILL_SPOOL": str(self.directory / "sites" / role / "spool"),
        }

    def workload_aws(self, role: str) -> dict[str, str]:
        """The variables by which a workload of a region reaches its AWS APIs, directly."""
        return {
            "AWS_ENDPOINT": f"http://{self.block.service(ROLES[role], AWS)}:{AWS.port}",
            "AWS_ACCESS_KEY_ID": self._tokens["aws_access_key"],
            "AWS_SECRET_ACCESS_KEY": self._tokens["aws_secret_key"]}

    def dns_address(self) -> tuple[str, int]:
        """Where DNS questions are answered."""
        return self.block.service(Site.OUTSIDE, DNS), DNS.port

    def public_address(self, role: str) -> str:
        """The address at which users reach a region's ingress."""
        return self.block.link(Caller.USERS, ROLES[role], INGRESS)

    def public_addresses(self) -> dict[str, str]:
        """Public ingress address to region name."""
        return {self.public_address(role): self.region_name(role) for role in ROLES}

    @property
    def ingress_port(self) -> int:
        """The port of every ingress."""
        return INGRESS.port

    def resolve(self, hostname: str) -> tuple[str, int]:
        """Address of a hostname by DNS, and the answer's remaining TTL in seconds.

        Raises:
            dns.exception.DNSException: when there is no answer.
        """
        resolver = dns.resolver.Resolver(configure=False)
        resolver.nameservers, resolver.port = [self.dns_address()[0]], self.dns_address()[1]
        resolver.lifetime = 2.0
        answer = resolver.resolve(hostname, "A")
        ttl = answer.rrset.ttl if answer.rrset is not None else 0
        return str(answer[0]), int(ttl)

    def link_url(self, caller: Caller, site: Site, service: Service) -> str:
        """The URL at which a caller reaches a service through its link."""
        return f"http://{self.block.link(caller, site, service)}:{service.port}"

    def db_cluster(self, role: str) -> str:
        """The identifier of a region's DB cluster."""
        return f"metadata-{self.region_name(role)}"

    def bucket(self, role: str, purpose: str) -> str:
        """The name of a region's bucket for a purpose."""
        return f"{self.cluster_id}-{purpose}-{self.region_name(role)}"


def _postgres_log_of(region: str) -> str:
    return f"postgresql log of {region}"
