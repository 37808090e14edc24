"""Probes, sent by a real prober to a small server that plays a Deployment."""

import json
import os
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from dnslib import QTYPE, RR, A
from dnslib.server import DNSServer

from harness.engine.observers.probes import Probes, Target
from harness.record import journal
from harness.record.journal import Journal

INTERVAL = 0.2


class Deployment:
    """A server that answers what the prober asks, and remembers what was asked."""

    def __init__(self) -> None:
        self.successes, self.hangs = 1, threading.Event()
        self.asked: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                self.answer(201, {"access_token": "t"})

            def do_GET(self) -> None:
                outer.asked.append(self.path.split("?")[0])
                if outer.hangs.is_set():
                    outer.hangs.wait(0.5)
                    time.sleep(0.5)
                if "dagStats" in self.path:
                    self.answer(200, {"dags": [{"stats": [
                        {"state": "success", "count": outer.successes},
                        {"state": "running", "count": 3}]}]})
                else:
                    stamp = f"2026-01-01T00:00:{outer.successes:02d}Z"
                    self.answer(200, {"task_instances": [{
                        "dag_run_id": f"run{outer.successes}", "scheduled_when": stamp,
                        "end_date": stamp}]})

            def answer(self, status: int, body: dict[str, Any]) -> None:
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


class Here:
    """Resolves every name to this machine."""

    def resolve(self, request: Any, handler: Any) -> Any:
        reply = request.reply()
        reply.add_answer(RR(str(request.q.qname), QTYPE.A, rdata=A("127.0.0.1"), ttl=60))
        return reply


@pytest.fixture
def deployment() -> Iterator[Deployment]:
    made = Deployment()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def probes(deployment: Deployment, tmp_path: Path) -> Iterator[Probes]:
    dns = DNSServer(Here(), address="127.0.0.1", port=0)
    dns.start_thread()
    made = Probes(
        Journal(tmp_path), [Target("team-00", "team-00.test", "secret")], interval=INTERVAL,
        port=deployment.server.server_port, dns=("127.0.0.1", dns.server.server_address[1]),
        log=tmp_path / "prober.log", options={"cwd": tmp_path, "env": os.environ})
    made.start()
    yield made
    made.stop()
    dns.stop()
    dns.server.server_close()


def seen(tmp_path: Path, count: int) -> list[journal.Event]:
    """The probes of the journal, once there are so many."""
    deadline = time.monotonic() + 60
    while len(found := journal.read(tmp_path)) < count:
        assert time.monotonic() < deadline, (tmp_path / "prober.log").read_text()
        time.sleep(0.05)
    return found


def test_the_latest_canary_is_asked_for_only_when_another_one_has_succeeded(
    deployment: Deployment, probes: Probes, tmp_path: Path
) -> None:
    before = seen(tmp_path, 6)
    assert {e["outcome"] for e in before} == {"ok"}
    assert {e["canary"]["run"] for e in before} == {"run1"}
    latest = "/api/v2/dags/canary/dagRuns/~/taskInstances"
    assert deployment.asked.count(latest) == 1
    deployment.successes = 2
    after = seen(tmp_path, len(journal.read(tmp_path)) + 3)
    assert after[-1]["canary"]["run"] == "run2"
    assert deployment.asked.count(latest) == 2
    assert probes.targets[0].canary_scheduled == after[-1]["canary"]["scheduled"]


def test_a_server_that_hangs_is_asked_on_schedule_all_the_same(
    deployment: Deployment, probes: Probes, tmp_path: Path
) -> None:
    seen(tmp_path, 2)
    deployment.hangs.set()  # every answer takes half a second, more than two intervals
    sent = [e["sent"] for e in seen(tmp_path, 12)]
    deployment.hangs.clear()
    gaps = sorted(later - earlier for earlier, later in zip(sorted(sent), sorted(sent)[1:], strict=False))
    assert gaps[len(gaps) // 2] < 2 * INTERVAL


def test_the_prober_ends_with_its_parent_and_no_password_is_on_disk(
    probes: Probes, tmp_path: Path
) -> None:
    seen(tmp_path, 1)
    assert probes.ended() is None
    probes.stop()
    assert probes.ended() == 0
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or "secret" not in path.read_text()
