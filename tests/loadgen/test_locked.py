"""Locust's master speaks to the drill's own workers, and to nobody else."""

import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from loadgen.load import LocustUsers, Workers
from loadgen.locked import SECRET, make_keys

WITH_A_STRANGER = """
import contextlib, sys
import gevent, locust, zmq
from pathlib import Path
from locust.rpc import zmqrpc
from locust.rpc.protocol import Message
from loadgen.locked import lock
place, public = Path(sys.argv[1]), sys.argv[2]
before = zmqrpc.BaseSocket.__init__
lock(zmqrpc, public, place)
master = zmqrpc.Server("127.0.0.1", 0)
worker = zmqrpc.Client("127.0.0.1", master.port, "worker")
zmqrpc.BaseSocket.__init__ = before
strangers = [zmqrpc.Client("127.0.0.1", master.port, "unlocked")]
lock(zmqrpc, "0" * 40, place)
strangers.append(zmqrpc.Client("127.0.0.1", master.port, "wrong-key"))
heard = []
def listen():
    while True:
        heard.append(master.recv_from_client()[0])
gevent.spawn(listen)
for number, stranger in enumerate(strangers):
    with contextlib.suppress(zmq.ZMQError):  # nobody is there to take it
        stranger.socket.send(Message("client_ready", None, f"stranger-{number}").serialize(), zmq.NOBLOCK)
gevent.sleep(0.3)
worker.send(Message("client_ready", None, "worker"))
with gevent.Timeout(10):
    while "worker" not in heard:
        gevent.sleep(0.02)
print(heard)
"""


def test_a_worker_is_heard_and_a_stranger_is_not(tmp_path: Path) -> None:
    public, secret = make_keys()
    (tmp_path / SECRET).write_text(secret)
    done = subprocess.run([sys.executable, "-c", WITH_A_STRANGER, str(tmp_path), public], capture_output=True,
                          text=True, timeout=60, check=False)
    assert done.stdout == "['worker']\n", done.stderr


@pytest.mark.real
def test_locust_itself_is_locked_when_it_has_workers(tmp_path: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as free:
        master = list(free.getsockname())
    users = LocustUsers(tmp_path / "users", tmp_path / "log", Workers(here=1))
    users.start({"deployments": [{"name": "t", "hostname": "t.test", "password": "p"}], "dns": ["127.0.0.1", 9],
                 "witness": ["127.0.0.1", 9, "t"], "regions": {}, "port": 9, "master": master, "seed": 1,
                 "concurrent_tasks": 1})
    try:
        config = json.loads(users.config.read_text())
        assert (users.directory / SECRET).read_text() not in users.config.read_text()
        assert stat.S_IMODE((users.directory / SECRET).stat().st_mode) == 0o600
        greeting = b""
        while not greeting and users.ended() is None:
            try:
                with socket.create_connection(tuple(master), 1) as caller:
                    caller.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x00")  # ZeroMQ's greeting begins so
                    caller.settimeout(5)
                    while len(greeting) < 64 and (data := caller.recv(64)):
                        greeting += data
            except OSError:
                continue
        assert greeting[12:17] == b"CURVE", users.log.read_text()
        assert len(config["master_key"]) == 40
    finally:
        users.stop()


def test_without_workers_nobody_listens_and_there_are_no_keys(tmp_path: Path) -> None:
    users = LocustUsers(tmp_path / "users", tmp_path / "log")
    users._start = lambda *_: None  # type: ignore[method-assign]
    users.start({"deployments": [], "master": ["127.0.0.1", 1]})
    assert json.loads(users.config.read_text())["master_key"] is None
    assert not (users.directory / SECRET).exists()
