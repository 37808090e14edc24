"""What others see of a drill that runs, and of what it leaves."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from harness.environments.embedded.ownership import Ownership
from harness.environments.embedded.processes import inherited
from harness.environments.embedded.user import decide
from tests.e2e.conftest import Home, until
from tests.peers import inventory
from tests.peers.known import secrets_of
from tests.peers.leaks import found_in
from tests.peers.scan import scan

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")]
DRILL = """\
apiVersion: dr-drill/v1
kind: Drill
metadata: {name: security, title: a drill with secrets of its own}
fleet:
  deployments: 2
  concurrent_tasks: 8
  task: {duration: 10s, retries: 2}
  environment: {LICENCE_KEY: hunter22hunter22, AIRFLOW__SCHEDULER__JOB_HEARTBEAT_SEC: "6", AIRFLOW__CORE__TEST_NOTE: quiet-note}
  public-environment: [AIRFLOW__SCHEDULER__*]
phases:
  - load: {until: saturated, hold: 60s}
  - settle: {}
targets: {split-brain-writes: 0, tasks-lost: 0, writes-lost: 0}
"""
NOBODY = 65534
OWN = {"LICENCE_KEY": "hunter22hunter22", "AIRFLOW__CORE__TEST_NOTE": "quiet-note"}


def test_another_user_may_read_and_do_nothing_and_a_reader_finds_no_secret(home: Home) -> None:
    file = Path(home.file(DRILL))
    file.chmod(0o600)
    running = home.drill("run", str(file), "--output", "out")
    until(lambda: "load.reached" in home.kinds("out") or running.poll() is not None)
    environment, = home.environments
    secrets = {**secrets_of(environment), **OWN}
    assert len(secrets) > 40, "the Deployments' own are among them"

    found = scan(environment)
    assert found.found == [], found.table()
    assert found.tried["listener"] > 5000
    assert found.tried["process"] > 100
    assert found.tried["file"] > 500

    assert running.wait(600) == 0, home.output
    kept = home.path / "out"
    assert found_in([kept, home.path / "output.txt"], secrets) == []
    assert (kept / "evidence" / "witness.parquet").exists()
    started = next(line for line in map(json.loads, (kept / "journal.jsonl").read_text().splitlines())
                   if line["k"] == "run.started")
    assert 'LICENCE_KEY: "***"' in started["text"]
    assert 'JOB_HEARTBEAT_SEC: "6"' in started["text"]
    settings = json.loads((kept / "report.json").read_text())["run"]["settings"]
    assert settings["AIRFLOW__SCHEDULER__JOB_HEARTBEAT_SEC"] == "6"
    assert settings["AIRFLOW__CORE__TEST_NOTE"] == "***"


def standing(pid: int) -> dict[str, list[str]]:
    """What the kernel says of whose a process is and what it may; nothing of one that has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return {}
    return {line.partition(":")[0]: line.split()[1:] for line in lines}


def test_nothing_but_the_harness_is_roots_and_killing_that_leaves_nothing_of_the_others_user(home: Home) -> None:
    if why_not := decide(1, home.path / "dr-drill", inherited()).why_not:
        pytest.skip(f"here all of it runs as root: {why_not}")
    file = Path(home.file(DRILL))
    file.chmod(0o600)
    running = home.drill("run", str(file), "--output", "out")
    until(lambda: "load.reached" in home.kinds("out") or running.poll() is not None)
    environment, = home.environments
    user = Ownership.of(environment).user
    assert user is not None
    told = {pid: standing(pid) for pid in inventory.take(environment).processes if pid != running.pid}
    told = {pid: said for pid, said in told.items() if said}
    assert len(told) > 40
    for pid, said in told.items():
        assert said["Uid"] == said["Gid"] == 4 * [str(user)], f"{pid} {said['Name']}"
        assert said["Groups"] == [], f"{pid} {said['Name']}"
        assert {said[kind][0] for kind in ("CapEff", "CapPrm", "CapInh", "CapAmb")} == {16 * "0"}, f"{pid} {said['Name']}"
    up = next(line for line in map(json.loads, (home.path / "out" / "journal.jsonl").read_text().splitlines())
              if line["k"] == "environment.up")
    assert up["runs_as"] == f"user {user}, who has no account and no capability"

    found = scan(environment, NOBODY)
    assert found.found == [], found.table()
    # The other way round: what its processes are compromised by does not reach what is the harness's.
    mine = scan(environment, user)
    reached = {each.what for each in mine.found if each.kind in ("file", "directory")}
    assert reached
    assert not [path for path in reached if str(home.path / "out") in path or path.endswith("secrets.json")]

    running.kill()
    running.wait()
    assert home.finish("down") == 0, home.output
    assert home.environments == []
    left = subprocess.run(["find", "/tmp", "/var/tmp", "/dev/shm", str(home.path), "-maxdepth", "4", "-uid", str(user)],
                          capture_output=True, text=True, check=False).stdout
    assert left == ""
    assert [row for row in Path("/proc/sysvipc/shm").read_text().splitlines()[1:] if str(user) in row.split()[7:11]] == []
    assert not [entry for entry in os.listdir("/proc") if entry.isdigit()
                and str(user) in standing(int(entry)).get("Uid", [])]
