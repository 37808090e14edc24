"""The warm process that pods are forked from: ``python -m harness.environments.embedded.node.zygote``.

Importing Airflow takes seconds and 200 MB; a fork takes a tenth of a second and shares them. So one
process imports and warms up everything once, stays single-threaded (only then is a fork safe), and
forks. It plays the part of the machine image: it lies outside both regions, as an image lies on a
disk. A region's node agent connects to its socket and gets a **zygote** of its own, forked into that
region's directory; the zygote forks a child per container. The child becomes the real thing:
``airflow scheduler`` and ``airflow api-server`` run in it as they would after ``exec``, with the
pod's own environment.

The socket is its owner's alone (mode 0600 from its first moment), and whoever connects is asked of the kernel:
the same user, or root.

Agent and zygote speak JSON lines: ``{"start": id, "argv", "env", "cwd", "log"}`` is answered by
``{"started": id, "pid"}`` and, when the child ends, ``{"ended": id, "status"}``.
"""

from __future__ import annotations

import json
import os
import runpy
import select
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.environments.embedded.ownership import MARK
from harness.environments.embedded.processes import DATABASES, INHERITED, PODS_SCORE, USER, offer_to_kernel
from harness.environments.embedded.site import SiteConfig

KEPT = (*INHERITED, *DATABASES, *USER, MARK)
"""What a container has of its node's environment."""


HELLO_S = 10.0
HELLO_MOST = 16 * 1024
"""Bytes of an agent's first line."""


class Zygote:
    """Forks on request and reports the ends of its children."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._children: dict[int, str] = {}
        self._buffer = b""

    def serve(self) -> None:
        """Serve requests until the agent closes the channel."""
        reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(writer)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._say({"warm": os.getpid()})
        while True:
            ready, _, _ = select.select([self._channel.fileno(), reader], [], [], 1.0)
            if reader in ready:
                os.read(reader, 4096)
            self._reap()
            if self._channel.fileno() in ready:
                data = self._channel.recv(1 << 20)
                if not data:
                    return
                self._buffer += data
                *lines, self._buffer = self._buffer.split(b"\n")
                for line in lines:
                    self._start(json.loads(line))

    def _start(self, order: Mapping[str, Any]) -> None:
        pid = os.fork()
        if pid == 0:
            _become(order, self._channel)
        self._children[pid] = order["start"]
        self._say({"started": order["start"], "pid": pid})

    def _reap(self) -> None:
        while self._children:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            name = self._children.pop(pid, None)
            if name is not None:
                self._say({"ended": name, "pid": pid, "status": os.waitstatus_to_exitcode(status)})

    def _say(self, message: Mapping[str, Any]) -> None:
        self._channel.sendall(json.dumps(message).encode() + b"\n")


def _become(order: Mapping[str, Any], channel: socket.socket) -> None:
    """Turn this fresh child into the container's process. Never returns."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        channel.close()
        os.chdir(order["cwd"])
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
        for fd in (1, 2):
            os.dup2(log, fd)
        kept = {key: os.environ[key] for key in KEPT if key in os.environ}
        os.environ.clear()
        home = {"HOME": order["cwd"], "TMPDIR": order["cwd"]}
        os.environ.update({**kept, **home, **order["env"], "AIRFLOW_HOME": order["cwd"]})
        offer_to_kernel(os.getpid(), PODS_SCORE)
        from harness.environments.embedded.node import airflow_pod

        code = airflow_pod.run(list(order["argv"]))
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(bool(end.code))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def run_module(argv: list[str]) -> int:
    """Run ``python -m module ...`` in this process."""
    sys.argv = argv[2:]
    runpy.run_module(argv[2], run_name="__main__", alter_sys=True)
    return 0


def serve_image(path: Path) -> None:
    """Fork a zygote for every agent that connects to the Unix socket ``path``."""
    listener = private_listener(path)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for zygotes; the kernel reaps them
    while True:
        channel, _ = listener.accept()
        if not is_ours(channel):
            channel.close()
            continue
        if os.fork() == 0:
            listener.close()
            _be_zygote(channel)
        channel.close()


def private_listener(path: Path) -> socket.socket:
    """A Unix socket at ``path`` to which nobody else can connect, not even for a moment.

    Raises:
        OSError: when something is there already.
    """
    listener = socket.socket(socket.AF_UNIX)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(before)
    listener.listen()
    return listener


def is_ours(channel: socket.socket) -> bool:
    """Whether the other end belongs to this process's user, or to root, by the kernel's word."""
    credentials = channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, user, _ = struct.unpack("3i", credentials)
    return user in (0, os.geteuid())


def _be_zygote(channel: socket.socket) -> None:
    """Move into the region whose agent asked, and serve it. Never returns."""
    try:
        os.setsid()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        channel.settimeout(HELLO_S)
        hello = b""
        while not hello.endswith(b"\n"):
            data = channel.recv(4096)
            if not data or len(hello) > HELLO_MOST:
                os._exit(0)
            hello += data
        channel.settimeout(None)
        os.chdir(json.loads(hello)["home"])
        Zygote(channel).serve()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)


def main() -> None:
    """Warm up for the image whose site configuration is the only argument, then serve agents."""
    from harness.environments.embedded.node.warm import warm_up

    site = SiteConfig.load(sys.argv[1])
    warm_up(site)
    serve_image(Path(site.image_socket))


if __name__ == "__main__":
    main()
