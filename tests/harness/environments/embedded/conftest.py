"""A pair of AWS endpoints and a Kubernetes API on addresses of their own, as real processes."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
import trustme

from harness.environments.embedded import removal
from harness.environments.embedded.addresses import AWS, KUBERNETES, LINKS, Block, BlockLease, Site
from harness.environments.embedded.ownership import Ownership
from harness.environments.embedded.processes import Component, last_lines, reap, spawn
from harness.environments.embedded.site import SiteConfig

TOKEN = "control-token"
STRANGER = 54321
"""A user of this machine that has nothing to do with us."""


def until(condition: Callable[[], Any], timeout: float = 30.0) -> Any:
    """Wait for a condition; its value."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            if value := condition():
                return value
        except (httpx.HTTPError, OSError):
            pass
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.05)


def as_user(user: int, act: Callable[[], Any], group: int | None = None) -> Any:
    """What ``act`` returns (JSON) in a process of another user and group; an OSError's name if it raises one.

    Only root can become somebody else: for others the test is skipped.
    """
    if os.geteuid() != 0:
        pytest.skip("only root can act as another user")
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        said: Any = "nothing"
        try:
            os.setgroups([])
            os.setgid(user if group is None else group)
            os.setuid(user)
            said = act()
        except OSError as error:
            said = type(error).__name__
        except BaseException as error:
            said = repr(error)
        finally:
            os.write(writer, json.dumps(said).encode())
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as source:
        said = json.loads(source.read())
    os.waitpid(child, 0)
    return said


@pytest.fixture
def block(tmp_path: Path) -> Iterator[Block]:
    """A leased block of addresses."""
    lease = BlockLease()
    yield lease.acquire()
    lease.release()


class Sites:
    """Starts components of sites below one directory, and removes them."""

    def __init__(self, root: Path, block: Block) -> None:
        self.root, self.block = root, block
        self.components: dict[str, Component] = {}
        self.ownership = Ownership.new(root)

    def config(self, name: str) -> SiteConfig:
        """A site's configuration, written to its directory."""
        site = Site[name.upper()]
        directory = self.root / "sites" / name
        directory.mkdir(parents=True, exist_ok=True)
        made = SiteConfig(
            environment="test", directory=str(directory), block=self.block.number, site=site.value,
            region={"primary": "us-west-2", "secondary": "us-east-2"}.get(name, "us-east-1"),
            cluster_id="c", kube_token="kube-token", control_token=TOKEN,
            aws_access_key="AKTEST", aws_secret_key="SKTEST", postgres_password="pg-secret",
            replication_password="rp-secret")
        made.save(directory / "site.json")
        return made

    def start(self, name: str, module: str, site: str, config: Path | None = None) -> None:
        """Start a component of a site."""
        directory = self.root / "sites" / site
        self.components[f"{name} {site}"] = spawn(
            name, f"harness.environments.embedded.{module}", ownership=self.ownership, directory=directory,
            log=self.root / f"{name}-{site}.log",
            arguments=[str(config or directory / "site.json")])

    def kill(self, site: str) -> int:
        """Kill a site's processes; how many there were."""
        count = removal.kill(self.ownership, self.root / "sites" / site)
        reap(c for n, c in self.components.items() if n.endswith(site))
        return count

    def client(self, service: Any, site: Site, key: str = "AKTEST") -> Any:
        """A plain boto3 client of a site's endpoint."""
        return boto3.client(
            service, endpoint_url=f"http://{self.block.service(site, AWS)}:{AWS.port}",
            region_name="us-west-2", aws_access_key_id=key, aws_secret_access_key="SKTEST")

    def answers(self, site: Site) -> bool:
        """Whether a site's AWS endpoint answers."""
        url = f"http://{self.block.service(site, AWS)}:{AWS.port}/healthz"
        return httpx.get(url, timeout=1).status_code == 200


@pytest.fixture
def sites(block: Block) -> Iterator[Sites]:
    """Components of sites; whatever was started is killed afterwards, its log shown on failure."""
    # Not below tmp_path: PostgreSQL runs as an unprivileged user when we are root.
    root = Path(tempfile.mkdtemp(prefix="drill-test-"))
    root.chmod(0o711)
    made = Sites(root, block)
    yield made
    for log in sorted(root.rglob("*.log")):
        print(f"== {log}\n{last_lines(log, 20)}")
    removal.remove(made.ownership)
    reap(made.components.values())


@pytest.fixture
def links(sites: Sites) -> Sites:
    """Sites whose links run."""
    directory = sites.root / "sites" / "links"
    directory.mkdir(parents=True)
    config = directory / "config.json"
    config.write_text(json.dumps({"block": sites.block.number, "control_token": TOKEN,
                                  "log": str(directory / "links.jsonl")}))
    sites.start("links", "links", "links", config)
    from loadgen.wire.jsonlines import LinesClient

    def listening() -> bool:
        LinesClient(sites.block.service(Site.OUTSIDE, LINKS), LINKS.port, TOKEN).close()
        return True

    until(listening)
    return sites


@pytest.fixture
def aws_pair(links: Sites) -> Sites:
    """Both regions' AWS endpoints, joined by links."""
    for name in ("primary", "secondary"):
        links.config(name)
        links.start("aws", "aws.server", name)
    for site in (Site.PRIMARY, Site.SECONDARY):
        until(lambda site=site: links.answers(site))
    return links


@pytest.fixture
def kubeconfig(sites: Sites) -> Path:
    """A running Kubernetes API; the path of a kubeconfig for it."""
    sites.config("primary")
    directory = sites.root / "sites" / "primary"
    address = sites.block.service(Site.PRIMARY, KUBERNETES)
    authority = trustme.CA()
    issued = authority.issue_cert(address)
    issued.private_key_pem.write_to_path(str(directory / "kube.key"))
    (directory / "kube.crt").write_bytes(b"".join(b.bytes() for b in issued.cert_chain_pems))
    ca = sites.root / "ca.crt"
    authority.cert_pem.write_to_path(str(ca))
    sites.start("kubernetes", "kube.server", "primary")
    server = f"https://{address}:{KUBERNETES.port}"
    until(lambda: httpx.get(f"{server}/healthz", verify=str(ca)).status_code == 200)
    path = sites.root / "kubeconfig"
    path.write_text(json.dumps({
        "apiVersion": "v1", "kind": "Config", "current-context": "t",
        "clusters": [{"name": "t", "cluster": {"server": server, "certificate-authority": str(ca)}}],
        "users": [{"name": "t", "user": {"token": "kube-token"}}],
        "contexts": [{"name": "t", "context": {"cluster": "t", "user": "t"}}]}))
    return path
