"""What others see of a drill that runs, and of what it leaves."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.e2e.conftest import Home, until
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
