"""The node agent: what it tells the processes of its pods, and when."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config
from kubernetes.client import ApiException

from harness.environments.embedded.addresses import Site
from harness.environments.embedded.node.running import RunningPod, WarmProcess
from tests.harness.environments.embedded.conftest import Sites, until
from tests.harness.environments.embedded.test_holds import listening, taken_by_stranger

pytestmark = pytest.mark.real
DEAF = """
import pathlib, signal, sys, time
told = pathlib.Path(sys.argv[1])
signal.signal(signal.SIGTERM, lambda *_: told.open("a").write("SIGTERM\\n"))
told.write_text("running\\n")
while True:
    time.sleep(1)
"""


class Deaf:
    """A pod that writes down what it is told, and goes on."""

    def __init__(self, sites: Sites, kubeconfig: Path, grace: int) -> None:
        site, self._told = sites.config("primary"), sites.root / "told"
        (site.path / "ca.crt").write_bytes((sites.root / "ca.crt").read_bytes())
        sites.start("node", "node.agent", "primary")
        self.core = client.CoreV1Api(config.new_client_from_config(str(kubeconfig)))
        until(lambda: self.core.list_node().items)
        self.core.create_namespace({"metadata": {"name": "a"}})
        self.core.create_namespaced_pod("a", {
            "metadata": {"name": "deaf"},
            "spec": {"terminationGracePeriodSeconds": grace, "containers": [
                {"name": "deaf", "image": "python", "command": ["python", "-c", DEAF, str(self._told)]}]}})
        until(lambda: self._told.exists() and self.told == "running\n")

    @property
    def told(self) -> str:
        return self._told.read_text()

    def stop(self, **options: Any) -> None:
        self.core.delete_namespaced_pod("deaf", "a", **options)
        until(lambda: "SIGTERM" in self.told)

    def change(self, number: int) -> None:
        self.core.patch_namespaced_pod("deaf", "a", {"metadata": {"annotations": {"changed": str(number)}}})

    def gone(self) -> bool:
        try:
            self.core.read_namespaced_pod("deaf", "a")
        except ApiException as error:
            return bool(error.status == 404)
        return False


def test_a_pod_that_is_being_stopped_is_told_once_however_often_it_changes(
    sites: Sites, kubeconfig: Path
) -> None:
    pod = Deaf(sites, kubeconfig, grace=3)
    pod.stop()
    for number in range(5):
        pod.change(number)
    until(pod.gone)
    assert pod.told == "running\nSIGTERM\n"


def test_a_pod_that_is_given_less_time_while_it_is_being_stopped_is_killed_by_then(
    sites: Sites, kubeconfig: Path
) -> None:
    pod = Deaf(sites, kubeconfig, grace=600)
    pod.stop()
    pod.stop(grace_period_seconds=2)
    for number in range(5):
        pod.change(number)
    until(pod.gone, 20.0)
    assert pod.told == "running\nSIGTERM\n"


def test_more_time_than_it_was_given_first_changes_nothing(sites: Sites, kubeconfig: Path) -> None:
    pod = Deaf(sites, kubeconfig, grace=2)
    pod.stop()
    pod.stop(grace_period_seconds=600)
    until(pod.gone, 20.0)


def test_nobody_else_answers_at_a_pods_address_not_even_before_the_pod_does(sites: Sites, kubeconfig: Path) -> None:
    site = sites.config("primary")
    (site.path / "ca.crt").write_bytes((sites.root / "ca.crt").read_bytes())
    first, second = (sites.block.pod(Site.PRIMARY, index) for index in range(2))
    core = client.CoreV1Api(config.new_client_from_config(str(kubeconfig)))
    with listening((first, 8080), []):  # somebody was there already
        sites.start("node", "node.agent", "primary")
        until(lambda: core.list_node().items)
        core.create_namespace({"metadata": {"name": "a"}})
        core.create_namespaced_pod("a", {"metadata": {"name": "slow"}, "spec": {"containers": [{
            "name": "slow", "image": "python", "command": ["python", "-c", "import time; time.sleep(600)"],
            "readinessProbe": {"httpGet": {"path": "/", "port": 8080}}}]}})
        assert until(lambda: core.read_namespaced_pod("slow", "a").status.pod_ip) == second
        assert taken_by_stranger((second, 8080)) == []


def test_a_container_whose_pod_went_while_it_was_being_started_is_killed(tmp_path: Path) -> None:
    left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])

    async def run() -> None:
        asked = asyncio.Event()

        async def zygote(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readline()
            writer.write(b'{"warm": true}\n')
            order = json.loads(await reader.readline())
            asked.set()
            await gone.wait()
            writer.write(json.dumps({"started": order["start"], "pid": left.pid}).encode() + b"\n")

        gone = asyncio.Event()
        server = await asyncio.start_unix_server(zygote, str(tmp_path / "image"))
        warm = WarmProcess(str(tmp_path / "image"), tmp_path)
        listening = asyncio.create_task(warm.listen())
        start = asyncio.create_task(warm.start(RunningPod("u", {}, 0, "127.0.0.1", tmp_path), ["x"], {}))
        await asked.wait()
        start.cancel()
        gone.set()
        async with asyncio.timeout(30):
            while left.poll() is None:
                await asyncio.sleep(0.05)
        listening.cancel()
        server.close()

    try:
        asyncio.run(run())
        assert left.returncode == -9
    finally:
        left.kill()
        left.wait()
