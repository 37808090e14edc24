"""The warm process that pods are forked from: ``python -m harness.environments.embedded.node.zygote``.

Importing Airflow takes seconds and 200 MB; a fork takes a tenth of a second and shares them. So
this process imports everything once, stays single-threaded (only then is a fork safe), and forks
a child per container. The child becomes the real thing: ``airflow scheduler`` and
``airflow api-server`` run in it as they would after ``exec``, with the pod's own environment.

It speaks JSON lines with the node agent over a Unix socket (its standard input): ``{"start": id,
"argv", "env", "cwd", "log"}`` is answered by ``{"started": id, "pid"}`` and, when the child
ends, ``{"ended": id, "status"}``.
"""

from __future__ import annotations

import json
import os
import runpy
import select
import signal
import socket
import sys
import traceback
from collections.abc import Mapping
from typing import Any

from harness.environments.embedded.site import SiteConfig

KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "PYTHONPATH", "VIRTUAL_ENV", "TZ", "TMPDIR",
        "LD_LIBRARY_PATH")


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
            ready, _, _ = select.select([self._channel, reader], [], [], 1.0)
            if reader in ready:
                os.read(reader, 4096)
            self._reap()
            if self._channel in ready:
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
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        for fd in (1, 2):
            os.dup2(log, fd)
        kept = {key: os.environ[key] for key in KEPT if key in os.environ}
        os.environ.clear()
        os.environ.update({**kept, **order["env"], "AIRFLOW_HOME": order["cwd"]})
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


def main() -> None:
    """Warm up for the site whose configuration file is the only argument, then serve standard input."""
    from harness.environments.embedded.node.warm import warm_up

    channel = socket.socket(fileno=os.dup(0))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    warm_up(SiteConfig.load(sys.argv[1]))
    Zygote(channel).serve()


if __name__ == "__main__":
    main()
