"""A Locust worker on another host: ``drill worker --through USER@HOST FILE``.

Everything of a drill listens on the loopback network of the host that it runs on. So a worker elsewhere goes
through SSH: each address that the load's users need is forwarded *under the same address*, because all of
127.0.0.0/8 is every host's own. The users then run unchanged. Names are asked for over TCP there, which is
what SSH forwards. The load's configuration holds passwords: it is read over SSH too, and is kept in a
directory that only this user can enter, until the worker ends.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from loadgen.wire.bounded import Unreadable, read_bytes

CONFIG_MOST = 16 << 20
"""Bytes of a load's configuration; at full size it has some 20 KiB."""
FORWARDED_S = 30.0
"""How long SSH may take until all addresses answer."""
SSH = ("ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10")
Address = tuple[str, int]


class WorkerFailed(Exception):
    """The worker could not be started; the message says what to do."""


def addresses(config: dict[str, Any]) -> list[Address]:
    """What a worker must reach: its master, the names, the witness, both regions' ingress."""
    fixed = [config["master"], config["dns"], config["witness"][:2]]
    return sorted({(str(host), int(port)) for host, port in fixed}
                  | {(str(host), int(config["port"])) for host in config["regions"]})


def work(file: str, through: str | None) -> int:
    """Join the drill as one of its workers, until it ends; Locust's exit code.

    ``file``: the load's configuration, on the host ``through`` where that is given.

    Raises:
        WorkerFailed: when the configuration or the addresses cannot be reached.
    """
    data = _read(file) if through is None else _fetch(through, file)
    try:
        config = json.loads(data)
        needed = addresses(config)
    except (ValueError, LookupError, TypeError, OverflowError, RecursionError) as error:
        raise WorkerFailed(f"{file} is not a load's configuration: {error!r}") from error
    with tempfile.TemporaryDirectory(prefix="drill-worker-") as place:
        path = Path(place) / "load.json"
        path.touch(0o600)
        path.write_bytes(data)
        if through is None:
            return _locust(config, path)
        with _forwarded(through, needed):
            return _locust(config, path, names_over_tcp=True)


def _read(file: str) -> bytes:
    try:
        return read_bytes(Path(file), CONFIG_MOST)
    except Unreadable as error:
        raise WorkerFailed(f"{file} {error}; the drill prints its path") from error


def _fetch(through: str, file: str) -> bytes:
    try:
        found = subprocess.run([*SSH, "--", through, f"cat -- {shlex.quote(file)}"], capture_output=True,
                               timeout=FORWARDED_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise WorkerFailed(f"ssh {through} did not work: {error}") from error
    if found.returncode:
        said = found.stderr.decode(errors="replace").strip()
        raise WorkerFailed(f"{file} could not be read through {through}: {said}")
    return found.stdout


@contextmanager
def _forwarded(through: str, needed: list[Address]) -> Iterator[None]:
    forwards = [part for host, port in needed for part in ("-L", f"{host}:{port}:{host}:{port}")]
    ssh = subprocess.Popen([*SSH, "-N", "-o", "ExitOnForwardFailure=yes", *forwards, "--", through],
                           stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + FORWARDED_S
        while not all(_answers(address) for address in needed):
            if ssh.poll() is not None:
                said = ssh.stderr.read().strip() if ssh.stderr else ""
                raise WorkerFailed(f"ssh {through} ended: {said}")
            if time.monotonic() > deadline:
                silent = [f"{host}:{port}" for host, port in needed if not _answers((host, port))]
                raise WorkerFailed(f"nobody answers through {through} at {', '.join(silent)}; "
                                   "does the drill still run?")
            time.sleep(0.2)
        yield
    finally:
        ssh.terminate()
        ssh.wait()


def _answers(address: Address) -> bool:
    try:
        socket.create_connection(address, timeout=2).close()
    except OSError:
        return False
    return True


def _locust(config: dict[str, Any], path: Path, *, names_over_tcp: bool = False) -> int:
    host, port = config["master"]
    locust = subprocess.Popen(
        # Neither a module nor a configuration file of Locust's is taken from where somebody happens to stand.
        [sys.executable, "-P", "-m", "locust", "-f", str(Path(__file__).with_name("locustfile.py")), "--worker",
         "--master-host", str(host), "--master-port", str(port), "--loglevel", "WARNING"],
        cwd=path.parent, env={**os.environ, "DR_DRILL_LOAD": str(path),
             **({"DR_DRILL_NAMES_OVER_TCP": "1"} if names_over_tcp else {})})
    try:
        return locust.wait()
    finally:
        if locust.poll() is None:
            locust.send_signal(signal.SIGTERM)
            locust.wait()
