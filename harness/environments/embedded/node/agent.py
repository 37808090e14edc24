"""The node agent: runs each Pod of its region as a process.

``python -m harness.environments.embedded.node.agent SITE``. It registers a Node, follows the
Pods bound to it, starts each as a process forked from the warm one (``zygote``), restarts it as
its restart policy says, probes its readiness, reports its status and serves its log. One
container a Pod: a Pod with more is refused with a status that says so.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from harness.environments.embedded.addresses import KUBELET, PODS_MOST, Block
from harness.environments.embedded.kube.client import KubeClient, KubeError
from harness.environments.embedded.kube.store import now
from harness.environments.embedded.node.pod_logs import serve_logs
from harness.environments.embedded.node.running import RunningPod, WarmProcess
from harness.environments.embedded.node.zygote import KEPT
from harness.environments.embedded.processes import PODS_SCORE, offer_to_kernel
from harness.environments.embedded.site import SiteConfig
from loadgen.wire.listening import hold

Object = dict[str, Any]
BACKOFF_FIRST, BACKOFF_MOST = 0.5, 10.0
WARM_IMAGE = "airflow"
"""Pods whose image has this name become Airflow without importing it anew."""
WARM_CONDITION = "WarmProcessReady"
"""The Node's condition that says that Airflow pods can start."""
STARTS_AT_ONCE = 4
"""How many containers may be between fork and ready at a time (kubelet's serial image pulls have
the same effect): without a bound, a whole fleet starting together starts slower than one by one."""


class NodeAgent:
    """All pods of one node."""

    def __init__(self, site: SiteConfig) -> None:
        self._site = site
        self._kube = KubeClient(site)
        self._home = site.path / "pods"
        self._home.mkdir(parents=True, exist_ok=True)
        self._pods: dict[str, RunningPod] = {}
        self._free = list(range(PODS_MOST - 1, -1, -1))
        self._starting = asyncio.Semaphore(STARTS_AT_ONCE)
        (site.path / "node").mkdir(exist_ok=True)
        self._warm = WarmProcess(site.image_socket, site.path / "node")
        self.name = f"node-{site.region}"

    async def run(self) -> None:
        """Serve until killed, or until a part that nothing works without fails."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._warm.listen())
            group.create_task(serve_logs(self._home, self._site.own(KUBELET), self._site.kube_token))
            group.create_task(self._follow_pods())
            group.create_task(self._register())

    # -- the node -----------------------------------------------------------------------

    async def _register(self) -> None:
        """Register at once (most pods need no warm process), then again once it is warm."""
        await self._put_node(warm=False)
        await self._warm.warm.wait()
        await self._put_node(warm=True)

    async def _put_node(self, *, warm: bool) -> None:
        node = {"metadata": {"name": self.name, "labels": {"topology.kubernetes.io/region":
                                                           self._site.region}}}
        flags = {"Ready": True, WARM_CONDITION: warm}
        status = {"conditions": [{"type": kind, "status": str(flag), "reason": "Embedded",
                                  "lastHeartbeatTime": now(), "lastTransitionTime": now()}
                                 for kind, flag in flags.items()],
                  "nodeInfo": {"kubeletVersion": "v1.32.0-embedded", "architecture": os.uname().machine,
                               "bootID": "", "containerRuntimeVersion": "process://1",
                               "kernelVersion": os.uname().release, "kubeProxyVersion": "",
                               "machineID": "", "operatingSystem": "linux",
                               "osImage": "warm process", "systemUUID": ""}}
        while True:
            with contextlib.suppress(KubeError):
                try:
                    await self._kube.request("POST", "/api/v1/nodes", node)
                except KubeError as error:
                    if error.status != 409:
                        raise
                await self._kube.request("PATCH", f"/api/v1/nodes/{self.name}/status",
                                         {"status": status}, "application/merge-patch+json")
                return
            await asyncio.sleep(0.2)

    async def _follow_pods(self) -> None:
        async for kind, obj in self._kube.follow("/api/v1/pods"):
            if kind == "SYNC":
                alive = {pod["metadata"]["uid"] for pod in obj["items"]}
                for uid in set(self._pods) - alive:
                    self._drop(uid)
                for pod in sorted(obj["items"], key=lambda pod: not _critical(pod)):
                    self._see(pod)
            elif kind == "DELETED":
                self._drop(obj["metadata"]["uid"])
            else:
                self._see(obj)

    def _see(self, obj: Object) -> None:
        meta, uid = obj["metadata"], obj["metadata"]["uid"]
        if (obj.get("spec") or {}).get("nodeName") != self.name:
            return
        held = self._pods.get(uid)
        if held is not None:
            held.obj = obj
            if meta.get("deletionTimestamp") and held.keeper and not held.exited.is_set():
                self._stop(held, meta.get("deletionGracePeriodSeconds", 30))
            return
        if (obj.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
            return
        directory = self._home / f"{meta['namespace']}_{meta['name']}"
        directory.mkdir(parents=True, exist_ok=True)
        pod = self._placed(uid, obj, directory)
        # A pod that ran before this node lost its power is started again, and that counts.
        for status in (obj.get("status") or {}).get("containerStatuses", []):
            pod.restarts = status.get("restartCount", 0) + 1
        self._pods[uid] = pod
        pod.keeper = asyncio.create_task(self._keep(pod))

    def _placed(self, uid: str, obj: Object, directory: Path) -> RunningPod:
        """A pod at the first free address that nobody else has taken."""
        port = _probed(obj)
        passed_over: list[int] = []
        try:
            while True:
                index = self._free.pop()
                pod = RunningPod(uid, obj, index, Block(self._site.block).pod(self._site.role, index), directory)
                try:
                    pod.hold = None if port is None else hold(pod.ip, port)
                except OSError as error:
                    print(f"{pod.ip} is not used: {error}", flush=True)
                    passed_over.append(index)
                else:
                    return pod
        finally:
            self._free[:0] = passed_over

    def _drop(self, uid: str) -> None:
        pod = self._pods.pop(uid, None)
        if pod is None:
            return
        if pod.keeper:
            pod.keeper.cancel()
        _kill(pod, signal.SIGKILL)
        if pod.hold is not None:
            pod.hold.close()
        self._free.insert(0, pod.index)
        shutil.rmtree(pod.directory, ignore_errors=True)

    # -- a pod's life -------------------------------------------------------------------

    async def _keep(self, pod: RunningPod) -> None:
        """Run the container, again and again where the restart policy says so."""
        spec = pod.obj["spec"]
        backoff = BACKOFF_FIRST
        if len(spec["containers"]) != 1:
            await self._report(pod, "Failed", reason="UnsupportedPodSpec",
                               message="the embedded node runs one container a pod")
            return
        while not pod.obj["metadata"].get("deletionTimestamp"):
            try:
                argv, env = await self._container(pod)
            except (KubeError, KeyError) as error:
                await self._report(pod, "Pending", waiting="CreateContainerConfigError",
                                   message=f"environment not available: {error}")
                await asyncio.sleep(1)
                continue
            began = asyncio.get_running_loop().time()
            await self._let_critical_first(pod)
            async with contextlib.nullcontext() if _critical(pod.obj) else self._starting:
                if pod.obj["metadata"].get("deletionTimestamp"):
                    break  # told to stop while it waited for its turn
                pod.exited.clear()
                pod.pid, pod.ready, pod.failures = None, False, 0
                warm = spec["containers"][0]["image"].split(":")[0].split("/")[-1] == WARM_IMAGE
                start = self._warm.start if warm else self._start_cold
                pod.pid = await start(pod, argv, env)
                if pod.obj["metadata"].get("deletionTimestamp"):
                    self._stop(pod, 0)  # told to stop while there was nothing to stop yet
                pod.started_at = now()
                await self._report(pod, "Running")
                await self._await_ready(pod)
            await self._watch_ready(pod)
            pod.ready = False
            policy = spec.get("restartPolicy", "Always")
            if policy == "Never" or (policy == "OnFailure" and pod.exit_code == 0):
                await self._report(pod, "Succeeded" if pod.exit_code == 0 else "Failed")
                return
            if asyncio.get_running_loop().time() - began > 60:
                backoff = BACKOFF_FIRST
            pod.restarts += 1
            if not pod.obj["metadata"].get("deletionTimestamp"):
                await self._report(pod, "Running", waiting="CrashLoopBackOff",
                                   message=f"ended with status {pod.exit_code}")
                await asyncio.sleep(backoff)
            backoff = min(backoff * 2, BACKOFF_MOST)
        await self._remove(pod)

    async def _let_critical_first(self, pod: RunningPod) -> None:
        """Hold an ordinary pod back until every critical one is ready (elsewhere: a startup taint).

        A node that comes back after an outage finds the pods of its old reign. What tells the region
        that it is the standby now is critical, and ready once it knows: then they are gone.
        """
        while not _critical(pod.obj) and not pod.obj["metadata"].get("deletionTimestamp") and any(
                _critical(other.obj) and not other.ready for other in self._pods.values()):
            await asyncio.sleep(0.05)

    async def _start_cold(self, pod: RunningPod, argv: list[str], env: dict[str, str]) -> int:
        """Start a container that is not Airflow as an ordinary process."""
        if argv[0] == "python":
            argv = [sys.executable, *argv[1:]]
        kept = {key: os.environ[key] for key in KEPT if key in os.environ}
        kept |= {"HOME": str(pod.directory), "TMPDIR": str(pod.directory)}
        with pod.log.open("ab") as sink:
            process = await asyncio.create_subprocess_exec(
                *argv, cwd=pod.directory, env={**kept, **env}, stdin=subprocess.DEVNULL,
                stdout=sink, stderr=subprocess.STDOUT)
        offer_to_kernel(process.pid, PODS_SCORE)

        async def reap() -> None:
            pod.exit_code = await process.wait()
            pod.exited.set()

        pod.reaper = asyncio.create_task(reap())
        return process.pid

    async def _await_ready(self, pod: RunningPod) -> None:
        """Wait until the readiness probe passes once, or for the first seconds of a life."""
        for _ in range(100):
            if pod.exited.is_set() or await self._probe(pod):
                break
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(pod.exited.wait(), 0.1)
        if not pod.exited.is_set():
            await self._report(pod, "Running")

    async def _watch_ready(self, pod: RunningPod) -> None:
        """Probe readiness until the container ends."""
        while not pod.exited.is_set():
            was = pod.ready
            await self._probe(pod)
            if pod.ready != was and not pod.exited.is_set():
                await self._report(pod, "Running")
            period = (pod.obj["spec"]["containers"][0].get("readinessProbe") or {}).get(
                "periodSeconds", 10)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(pod.exited.wait(), period)

    async def _probe(self, pod: RunningPod) -> bool:
        probe = pod.obj["spec"]["containers"][0].get("readinessProbe") or {}
        if "httpGet" not in probe:
            pod.ready = True
            return True
        get = probe["httpGet"]
        passed = await _answers(pod.ip, get["port"], get.get("path", "/"),
                                probe.get("timeoutSeconds", 1))
        pod.failures = 0 if passed else pod.failures + 1
        if passed or pod.failures >= probe.get("failureThreshold", 3):
            pod.ready = passed
        return pod.ready

    async def _container(self, pod: RunningPod) -> tuple[list[str], dict[str, str]]:
        """The container's argument list and environment, references resolved."""
        container = pod.obj["spec"]["containers"][0]
        space = pod.obj["metadata"]["namespace"]
        env = {"POD_IP": pod.ip, "HOSTNAME": pod.obj["metadata"]["name"],
               "POD_NAMESPACE": space, "PYTHONUNBUFFERED": "1"}
        for source in container.get("envFrom", []):
            if ref := source.get("configMapRef"):
                env |= await self._data("configmaps", space, ref["name"])
            if ref := source.get("secretRef"):
                env |= await self._data("secrets", space, ref["name"])
        for entry in container.get("env", []):
            ref = entry.get("valueFrom") or {}
            if key := ref.get("secretKeyRef"):
                env[entry["name"]] = (await self._data("secrets", space, key["name"]))[key["key"]]
            elif key := ref.get("configMapKeyRef"):
                env[entry["name"]] = (await self._data("configmaps", space, key["name"]))[key["key"]]
            elif field_ref := ref.get("fieldRef"):
                env[entry["name"]] = {"status.podIP": pod.ip, "metadata.namespace": space,
                                      "metadata.name": pod.obj["metadata"]["name"]}[
                                          field_ref["fieldPath"]]
            else:
                env[entry["name"]] = str(entry.get("value", ""))
        return [*container.get("command", []), *container.get("args", [])], env

    async def _data(self, plural: str, namespace: str, name: str) -> dict[str, str]:
        found = await self._kube.request("GET", f"/api/v1/namespaces/{namespace}/{plural}/{name}")
        data = found.get("data") or {}
        if plural == "secrets":
            return {k: base64.b64decode(v).decode() for k, v in data.items()}
        return dict(data)

    def _stop(self, pod: RunningPod, grace: float) -> None:
        """Tell a container to stop, and kill it when its grace is over.

        It is told once. Another event of its pod may give it less time from then on, and never more.
        """
        if pod.pid is None:
            return
        kill_at = asyncio.get_running_loop().time() + grace
        if pod.told_to_stop == pod.pid:
            if kill_at >= pod.kill_at:
                return
            if pod.escalation:
                pod.escalation.cancel()
        else:
            pod.told_to_stop = pod.pid
            _kill(pod, signal.SIGTERM)
        pod.kill_at = kill_at

        async def escalate() -> None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(pod.exited.wait(), grace)
            _kill(pod, signal.SIGKILL)

        pod.escalation = asyncio.create_task(escalate())

    async def _remove(self, pod: RunningPod) -> None:
        """Tell the API that the pod's process is gone, so that the object may go."""
        meta = pod.obj["metadata"]
        while pod.uid in self._pods:
            try:
                await self._kube.request(
                    "DELETE", f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}",
                    {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0},
                )
                return
            except KubeError as error:
                if error.status is not None:
                    return
                await asyncio.sleep(0.2)

    async def _report(self, pod: RunningPod, phase: str, *, waiting: str = "", reason: str = "",
                      message: str = "") -> None:
        meta, container = pod.obj["metadata"], pod.obj["spec"]["containers"][0]
        running = phase == "Running" and not waiting
        state: Object
        if waiting:
            state = {"waiting": {"reason": waiting, "message": message}}
        elif running:
            state = {"running": {"startedAt": pod.started_at}}
        else:
            state = {"terminated": {"exitCode": pod.exit_code, "finishedAt": now(),
                                    "reason": "Completed" if pod.exit_code == 0 else "Error"}}
        ready = running and pod.ready
        flag = "True" if ready else "False"
        status: Object = {
            "phase": phase, "podIP": pod.ip, "hostIP": self._site.own(KUBELET),
            "podIPs": [{"ip": pod.ip}], "startTime": pod.started_at or now(),
            "conditions": [{"type": kind, "status": flag, "lastTransitionTime": now()}
                           for kind in ("Ready", "ContainersReady")],
            "containerStatuses": [{
                "name": container["name"], "image": container["image"],
                "imageID": f"process://{container['image']}", "ready": ready, "started": running,
                "restartCount": pod.restarts, "state": state, "containerID": f"process://{pod.pid}",
            }],
        }
        if reason:
            status |= {"reason": reason, "message": message}
        with contextlib.suppress(KubeError):
            await self._kube.request(
                "PATCH", f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}/status",
                {"status": status}, "application/merge-patch+json",
            )


def _probed(obj: Object) -> int | None:
    """The port at which a pod is asked whether it is ready, where requests go to as well."""
    for container in obj["spec"].get("containers") or []:
        port = ((container.get("readinessProbe") or {}).get("httpGet") or {}).get("port")
        return port if isinstance(port, int) else None
    return None


def _critical(obj: Object) -> bool:
    return str((obj.get("spec") or {}).get("priorityClassName", "")).startswith("system-")


async def _answers(host: str, port: int, path: str, timeout: float) -> bool:
    """Whether ``GET path`` is answered with a status below 400 in time.

    By hand, because a fleet is probed all the time: an HTTP client per probe (a TLS context and all)
    was a third of a core for 80 Deployments.
    """
    try:
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(f"GET {path} HTTP/1.1\r\nhost: {host}\r\nuser-agent: kube-probe/1.32"
                             "\r\nconnection: close\r\n\r\n".encode())
                status = (await reader.readline()).split(b" ")
                return len(status) > 1 and status[1].isdigit() and int(status[1]) < 400
            finally:
                writer.close()
    except (OSError, ValueError):  # nobody, too late, or a line without an end
        return False


def _kill(pod: RunningPod, number: signal.Signals) -> None:
    """Signal a pod's process, while it has one: the id of one that has ended may be anybody's by now."""
    if pod.pid is not None and not pod.exited.is_set():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pod.pid, number)


def main() -> None:
    """Run the node of the site whose configuration file is the only argument."""
    asyncio.run(NodeAgent(SiteConfig.load(sys.argv[1])).run())


if __name__ == "__main__":
    main()
