"""A proxy or a netrc file of the shell is nobody's business: no request of ours, and no token, goes to a proxy.

Each client is made as the program makes it, asks a port that records, and must have asked that one.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.engine.observers.prober import Prober, Target
from harness.environments.embedded.access import PairAccess
from harness.environments.embedded.addresses import Block
from harness.environments.embedded.aws.global_cluster import GlobalCluster
from harness.environments.embedded.aws.replication import Pending, Replicator
from harness.environments.embedded.components import PairComponents
from harness.environments.embedded.layout import PairSettings
from harness.systems.astro.driver import AstroOrchestrator
from harness.systems.astro.view import watch
from orchestrator import regions
from orchestrator.agent import surroundings
from orchestrator.facts import Sources
from orchestrator.kubernetes_region import KubernetesRegion
from tests.loadgen.wire.recorder import VARIABLES, Recorder, recorder

SECRET = "the-token-that-nobody-else-may-see"


@pytest.fixture
def asked() -> Iterator[Recorder]:
    """The server that the clients are to ask."""
    with recorder() as made:
        yield made


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Recorder]:
    """A proxy that all variables of the shell name, beside a netrc file and an AWS profile that is not there."""
    with recorder() as made:
        for name in VARIABLES:
            monkeypatch.setenv(name, f"http://127.0.0.1:{made.port}")
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        netrc = tmp_path / ".netrc"
        netrc.write_text("default login stranger password from-netrc\n")
        netrc.chmod(0o600)
        monkeypatch.setenv("NETRC", str(netrc))
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("AWS_PROFILE", "not-there")
        monkeypatch.setenv("AWS_USE_FIPS_ENDPOINT", "true")
        yield made


def kubeconfig(directory: Path, port: int) -> Path:
    path = directory / "kubeconfig"
    path.write_text(json.dumps({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "c", "user": {"token": SECRET}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}]}))
    return path


class Asks:
    """Each way in which the programs ask something over HTTP."""

    def __init__(self, port: int, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.port, self.url, self.directory = port, f"http://127.0.0.1:{port}", directory
        self._patch = monkeypatch

    def astro(self) -> None:
        AstroOrchestrator(self.url, "o", "c", SECRET)._http.get("/clusters")

    def astro_metrics(self) -> None:
        AstroOrchestrator(self.url, "o", "c", SECRET).metrics()

    def orchestrator_view(self) -> None:
        watch(None, self.url, "o", "c", SECRET, once=True)  # type: ignore[arg-type]

    def control_plane(self) -> None:
        self._patch.chdir(self.directory)
        around = surroundings({
            "KUBE_CA": "", "AGENT_REGION": "west", "AWS_ENDPOINT": self.url, "AWS_ACCESS_KEY_ID": "AK",
            "AWS_SECRET_ACCESS_KEY": SECRET, "GLOBAL_CLUSTER": "g", "DB_CLUSTER": "d", "CONTROL_URL": self.url,
            "CONTROL_TOKEN": SECRET, "KUBE_SERVER": self.url, "KUBE_TOKEN": SECRET, "GLOBAL_AWS_ENDPOINT": self.url,
            "ORDERS_BUCKET": "b", "CLUSTER_ID": "c"})
        around.control.get("/agent")

    def facts(self) -> None:
        Sources("west", self.url, "AK", SECRET, "g", "d").client("rds").describe_global_clusters()

    def regions(self) -> None:
        class Config:
            aws_access_key, aws_secret_key = "AK", SECRET

        regions._client("s3", self.url, "west", Config()).list_buckets()  # type: ignore[arg-type]

    def kubernetes_by_address(self) -> None:
        KubernetesRegion.at(self.url, SECRET, "").airflow_pods()

    def kubernetes_by_file(self) -> None:
        KubernetesRegion.from_kubeconfig(kubeconfig(self.directory, self.port)).airflow_pods()

    def observers_kubernetes(self) -> None:
        from kubernetes.client import CoreV1Api

        pair = PairAccess("x", PairSettings())
        pair.directory = self.directory
        kubeconfig(self.directory, self.port).rename(self.directory / "kubeconfig-primary")
        CoreV1Api(pair.kubernetes("primary")).list_node(_request_timeout=2)

    def observers_aws(self) -> None:
        pair = PairAccess("x", PairSettings())
        pair._block, pair._tokens = Block(1), {"aws_observer_key": "AK", "aws_secret_key": SECRET}
        client = pair.aws("primary", "s3")
        client.meta.events.register("before-send.s3", self._here)
        client.list_buckets()

    def components(self) -> None:
        PairComponents("x", PairSettings())._http.get(self.url, headers={"x-dr-token": SECRET})

    def replication(self) -> None:
        replicator = Replicator(self.url, SECRET, None)  # type: ignore[arg-type]
        self._patch.setattr("harness.environments.embedded.aws.replication._copy_of", lambda _: {"bucket": "b"})
        replicator._copy(replicator._client(), [Pending("b", "k", "v", "t", 1, 0.0)])

    def database_peer(self) -> None:
        class Member:
            initialised = False

        GlobalCluster(region="west", directory=self.directory, member=Member(), peer=self.url,  # type: ignore[arg-type]
              token=SECRET).ask()

    def images(self) -> None:
        from loadgen.images import ImagePusher

        for name, value in {"IMAGE_BUCKET": "b", "AWS_ENDPOINT": self.url, "AWS_ACCESS_KEY_ID": "AK",
                            "AWS_SECRET_ACCESS_KEY": SECRET}.items():
            self._patch.setenv(name, value)
        ImagePusher("west", None)._s3.list_buckets()  # type: ignore[arg-type]

    def prober(self) -> None:
        async def ask() -> None:
            prober = Prober({"targets": [], "interval": 1, "port": self.port, "dns": ["127.0.0.1", 1]})
            prober._names.address = lambda _: "127.0.0.1"  # type: ignore[assignment, method-assign]
            target = Target("t", "t.test", SECRET)
            client = await prober._client(target)
            try:
                async with asyncio.timeout(5):
                    await prober._ask(client, target)
            finally:
                await client.close()

        asyncio.run(ask())

    def _here(self, request: Any, **_: Any) -> None:
        """Send a request of the observer to the port that records; its own address is of no run."""
        request.url = request.url.replace(request.url.split("/")[2], f"127.0.0.1:{self.port}")


ASKS: list[str] = [name for name in vars(Asks) if not name.startswith("_")]


@pytest.mark.parametrize("way", ASKS)
def test_a_client_asks_whom_it_is_told_to_and_no_proxy(
    way: str, asked: Recorder, proxy: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask: Callable[[], None] = getattr(Asks(asked.port, tmp_path, monkeypatch), way)
    with contextlib.suppress(Exception):  # the port answers nothing
        ask()
    assert proxy.heard == []
    assert asked.heard, "the client asked nobody"
    assert b"from-netrc" not in b"".join(asked.heard)


LOCUST = """
import sys, gevent, locust
from loadgen import locustfile
user = object.__new__(locustfile.DeploymentUser)
user.address, user.deployment = "127.0.0.1", {"name": "t", "hostname": "t.test", "password": "p"}
user.client = None
locustfile._names.address = lambda _: user.address
for login in (lambda: user._login(), lambda: user._live(user._api())):
    try:
        login()
    except Exception as error:
        print(repr(error), file=sys.stderr)
    user._login = lambda: "token"
"""


def test_locusts_users_ask_their_deployment_and_no_proxy(asked: Recorder, proxy: Recorder, tmp_path: Path) -> None:
    load = tmp_path / "load.json"
    load.write_text(json.dumps({"deployments": [], "dns": ["127.0.0.1", 53], "witness": ["127.0.0.1", 9, "t"],
                                "regions": {}, "port": asked.port}))
    there = dict.fromkeys(VARIABLES, f"http://127.0.0.1:{proxy.port}")
    done = subprocess.run([sys.executable, "-c", LOCUST], capture_output=True, text=True, timeout=60,
                          env={**there, "DR_DRILL_LOAD": str(load), "PATH": "", "PYTHONPATH": str(Path.cwd())})
    assert proxy.heard == [], done.stderr
    assert len(asked.heard) == 2, done.stderr


MAKERS = {("httpx", "Client"), ("httpx", "AsyncClient"), ("boto3", "client"), ("boto3", "resource"), ("boto3", "Session"),
          ("config", "new_client_from_config"), ("kubernetes_config", "new_client_from_config"),
          ("config", "load_kube_config"), ("client", "Configuration"), ("kubernetes_client", "Configuration"),
          *(("httpx", verb) for verb in ("get", "post", "put", "patch", "delete", "request", "stream"))}
"""What makes a client that looks at the shell, as modules of ours would call it."""


WIRE = Path("loadgen/wire")
"""Where clients are made."""


@pytest.mark.parametrize("package", ["harness", "loadgen", "orchestrator", "reports"])
def test_no_other_package_makes_a_client_that_looks_at_the_shell(package: str) -> None:
    found = []
    for path in sorted(set(Path(package).rglob("*.py")) - set(WIRE.rglob("*.py"))):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id=module), attr=name)) if (module, name) in MAKERS:
                    found.append(f"{path}:{node.lineno}: {module}.{name}")
                case ast.Import(names=[ast.alias(name="requests" | "urllib.request")]) | ast.ImportFrom(
                        module="requests" | "urllib.request"):
                    found.append(f"{path}:{node.lineno}: requests and urllib take the shell's proxies")
                case ast.keyword(arg="trust_env", value=ast.Constant(value=True)):
                    found.append(f"{path}:{node.lineno}: trust_env")
    assert found == []
