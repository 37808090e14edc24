"""A pod as a node runs it, and the agent's end of the channel to the zygote that forks its containers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Object = dict[str, Any]


@dataclass
class RunningPod:
    """A Pod that this node has taken on."""

    uid: str
    obj: Object
    index: int
    """Which of the node's pod addresses it has."""
    ip: str
    directory: Path
    hold: socket.socket | None = None
    """What holds the address at which its readiness is asked for, and requests are sent; see ``holds``."""
    pid: int | None = None
    """Of the container's process, once it has been started; of the last one between two."""
    told_to_stop: int | None = None
    """The process that was told to."""
    kill_at: float = 0.0
    """When that is killed if it has not ended, on the event loop's clock."""
    restarts: int = 0
    ready: bool = False
    started_at: str = ""
    exited: asyncio.Event = field(default_factory=asyncio.Event)
    exit_code: int = 0
    failures: int = 0
    """Readiness probes that failed in a row."""
    keeper: asyncio.Task[None] | None = None
    reaper: asyncio.Task[None] | None = None
    escalation: asyncio.Task[None] | None = None

    @property
    def log(self) -> Path:
        """Where the container's output goes."""
        return self.directory / "container.log"


class WarmProcess:
    """The agent's end of the channel to the zygote."""

    def __init__(self, image_socket: str, home: Path) -> None:
        self._image_socket, self._home = image_socket, home
        self.warm = asyncio.Event()
        self._pods: dict[str, RunningPod] = {}
        self._started: dict[str, asyncio.Future[int]] = {}

    async def listen(self) -> None:
        """Take the zygote's messages.

        Raises:
            RuntimeError: when the zygote ends; without it the node is of no use.
        """
        while True:
            try:
                reader, self._writer = await asyncio.open_unix_connection(self._image_socket)
                break
            except OSError:
                await asyncio.sleep(0.2)  # the image is still warming up
        self._writer.write(json.dumps({"home": str(self._home)}).encode() + b"\n")
        while line := await reader.readline():
            message = json.loads(line)
            if "warm" in message:
                self.warm.set()
            elif "started" in message:
                future = self._started.pop(message["started"], None)
                if future is not None and not future.done():
                    future.set_result(message["pid"])
                else:  # the pod went while it was being started
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(message["pid"], signal.SIGKILL)
            elif "ended" in message:
                pod = self._pods.pop(message["ended"], None)
                if pod is not None:
                    pod.exit_code = message["status"]
                    pod.exited.set()
        raise RuntimeError("the warm process is gone; no Airflow pod can be started any more")

    async def start(self, pod: RunningPod, argv: list[str], env: dict[str, str]) -> int:
        """Fork a pod's container, once there is something warm to fork; its process id."""
        await self.warm.wait()
        name = f"{pod.uid}/{pod.restarts}"
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._started[name], self._pods[name] = future, pod
        order = {"start": name, "argv": argv, "env": env, "cwd": str(pod.directory),
                 "log": str(pod.log)}
        self._writer.write(json.dumps(order).encode() + b"\n")
        return await future
