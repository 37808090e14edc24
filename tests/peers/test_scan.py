"""The scan finds what is open, and nothing of what is closed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.peers.findings import Findings
from tests.peers.scan import scan

PART = """\
import http.server, os, socket, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        known = self.path == "/healthz" or OPEN or self.headers.get("Authorization") == "Bearer right"
        body = b"ok" if self.path == "/healthz" else b"all the data there is" if known else b"no"
        self.send_response(200 if known else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        self.send_error(401)

    def log_message(self, *_):
        pass

OPEN = sys.argv[1] == "open"
datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
datagrams.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, OPEN)
datagrams.bind(("127.0.0.1", 0))
listening = socket.socket(socket.AF_UNIX)
listening.bind("part.sock")
os.chmod("part.sock", 0o777 if OPEN else 0o600)
listening.listen()
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print("serves", flush=True)
server.serve_forever()
"""
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@dataclass
class Place:
    """A made-up environment with one process."""

    directory: Path
    process: subprocess.Popen[str]


@pytest.fixture
def root() -> Iterator[Path]:
    """A directory that everybody can pass through to (pytest's own ones are closed)."""
    with tempfile.TemporaryDirectory(prefix="drill-scan-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.fixture
def place(root: Path, request: pytest.FixtureRequest) -> Iterator[Place]:
    is_open = request.param == "open"
    directory = root / "dr-drill" / "envs" / "one"
    directory.mkdir(parents=True)
    others = root / "dr-drill" / "envs" / "another"
    others.mkdir()
    (others / "journal").write_text("not of this environment")
    (directory / "secrets.json").write_text(json.dumps({"api_token": "0123456789abcdef"}))
    (directory / "environment.json").write_text("{}")
    arguments = [sys.executable, "-c", PART, request.param, *(["0123456789abcdef"] if is_open else [])]
    process = subprocess.Popen(arguments, cwd=directory, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "serves\n"
    for path in (root / "dr-drill", root / "dr-drill" / "envs", others, directory):
        path.chmod(0o777 if is_open else 0o711)
    for path in (directory / "secrets.json", directory / "environment.json"):
        path.chmod(0o644 if is_open else 0o600)
    yield Place(directory, process)
    process.kill()
    process.wait()
    process.stdout.close()


def how(found: Findings, kind: str) -> set[str]:
    return {each.how for each in found.found if each.kind == kind}


@needs_root
@pytest.mark.parametrize("place", ["open"], indirect=True)
def test_what_is_open_to_another_user_is_found(place: Place) -> None:
    found = scan(place.directory)
    assert how(found, "file") == {"can be read"}
    assert {Path(each.what).name for each in found.found if each.kind == "file"} == {"secrets.json", "environment.json"}
    assert how(found, "directory") == {"can be written into"}
    assert how(found, "arguments") == {"tell api_token"}
    assert how(found, "socket") == {"accepts a connection"}
    assert "GET / is answered with 200" in how(found, "listener")
    assert "GET /api/v1/secrets with a wrong token is answered with 200" in how(found, "listener")
    assert how(found, "stand-in") == {"another can answer in its place"}
    assert how(found, "process") == set(), "what the kernel protects"


@needs_root
@pytest.mark.parametrize("place", ["closed"], indirect=True)
def test_of_what_is_closed_nothing_is_found_and_all_of_it_was_tried(place: Place) -> None:
    found = scan(place.directory)
    assert found.found == []
    assert {kind for kind, count in found.tried.items() if count} == {
        "file", "directory", "arguments", "process", "socket", "listener", "datagrams", "stand-in"}
    assert found.tried["listener"] > 100


@pytest.mark.parametrize("place", ["closed"], indirect=True)
def test_its_own_user_can_read_its_processes(place: Place) -> None:
    found = scan(place.directory, uid=None)
    assert {"its environ can be read", "its open files can be listed", "it can be sent signals"} <= how(found, "process")
    assert how(found, "file") == {"can be read and written"}
    assert not any("another" in each.what for each in found.found if each.kind == "file")


def test_findings_are_shown_together_and_go_from_process_to_process() -> None:
    made = Findings()
    for number in range(5):
        made.attempt("file", f"/f{number}", "can be read")
    made.attempt("listener", "127.0.0.1:1", None)
    assert Findings.load(made.dump()) == made
    assert made.table().splitlines()[1:] == [
        "file                       5         5", "listener                   1         0",
        "- file: can be read: /f0, /f1, /f2 and 2 more"]


def test_a_scan_that_does_not_end_is_no_scan_that_finds_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    began = time.monotonic()
    monkeypatch.setattr("tests.peers.attempts.everything", lambda *_: 1 / 0)
    (root / "envs" / "x").mkdir(parents=True)
    with pytest.raises(RuntimeError, match="did not come to its end"):
        scan(root / "envs" / "x")
    assert time.monotonic() - began < 10
