"""Drills from nothing to a report, on real parts."""

import json
import os
import shutil
import signal
import subprocess
from typing import Any

import duckdb
import pytest

from harness.engine.checks import Pair, replication
from harness.engine.fleet import Fleet
from harness.environments.embedded.environment import EmbeddedPair
from harness.environments.embedded.layout import PairSettings
from harness.environments.embedded.ownership import Ownership
from harness.systems.base import OrchestratorFailed
from tests.e2e.conftest import Home, psql, until

pytestmark = pytest.mark.e2e
HEAD = """\
apiVersion: dr-drill/v1
kind: Drill
metadata: {name: e2e, proves: [%s]}
fleet:
  deployments: 2
  concurrent_tasks: 8
  task: {duration: 10s, retries: 2}
  ledger: {rows-per-second: %s, row-bytes: %s}
phases:
"""
ROUND_TRIP = HEAD % (
    "XR-02, XR-04, XR-05, XR-06, XR-08, XR-09, XR-10, XR-12, XR-13, XR-14, XR-20", 5, 200) + """\
  - load: {until: saturated}
  - fault: {region-outage: {region: primary}}
  - failover: {}
  - settle: {}
  - heal: {region: primary}
  - failback: {}
  - settle: {}
targets:
  rto: 3m
  rpo: {metadata: 20s, task-logs: 1m}
  split-brain-writes: 0
  tasks-lost: 0
  tasks-duplicated: 20
  tasks-against-retries: 40
"""
LOSSY = HEAD % ("XR-05", 60, 4000) + """\
  - load: {until: saturated}
  - fault: {link: {from: primary, to: secondary, throttle: 128KiB/s}}
  - hold: {for: 15s}
  - fault: {region-outage: {region: primary}}
  - failover: {}
  - settle: {}
targets: {rpo: {metadata: 0s}, split-brain-writes: 0, tasks-duplicated: 60, tasks-against-retries: 60}
"""
HEALTHY = HEAD % ("XR-04, XR-07", 5, 200) + """\
  - load: {until: saturated, hold: 10s}
  - settle: {}
targets: {split-brain-writes: 0, tasks-lost: 0, writes-lost: 0}
"""


def report(home: Home, run: str) -> dict[str, Any]:
    return dict(json.loads((home.path / run / "report.json").read_text()))


def test_a_region_outage_is_survived_there_and_back_and_nothing_is_left_behind(home: Home) -> None:
    code = home.finish("run", home.file(ROUND_TRIP), "--output", "out")
    assert code == 0, home.output
    made = report(home, "out")
    assert made["verdict"] == "PASS"
    assert [t["kind"] for t in made["transitions"]] == ["failover", "failback"]
    assert made["run"]["concurrent_tasks_at_fault"] >= 8
    out, back = made["transitions"]
    assert out["tasks"]["in_flight"] > 0
    assert out["rpo"]["metadata"]["acknowledged"] > 0
    assert out["audit"]["calls"] > 0
    assert back["rpo"]["metadata"]["lost"] == 0
    assert back["tasks"]["duplicated"] == 0
    assert {c["verdict"] for c in made["claims"]} == {"PASS"}
    assert {d["verdict"] for d in made["deployments"]} == {"PASS"}
    assert [[(e["site"], e["inferred"]) for e in d["epochs"]] for d in made["deployments"]] == 2 * [
        [("us-west-2", False), ("us-east-2", False), ("us-west-2", False)]]
    assert all(e["error_s"] <= 0.1 for d in made["deployments"] for e in d["epochs"])
    assert made["fingerprint"]["looks"] == 2
    assert made["fates"]["metadata"]["held"] > 0
    assert {p["found"] for p in made["proof"]["planted"]} == {True}
    page = (home.path / "out" / "report.html").read_text()
    assert "team-00" in page
    assert "<svg" in page
    assert home.environments == []
    assert home.processes() == set()
    journal = (home.path / "out" / "journal.jsonl").read_text()
    assert "password" not in journal.lower()
    # The report is a function of the journal and the evidence: made again, it is the same.
    before = (home.path / "out" / "report.json").read_text()
    assert home.finish("report", "out") == 0
    assert (home.path / "out" / "report.json").read_text() == before


def test_a_lagging_standby_loses_writes_and_the_count_is_the_one_that_psql_finds(
    home: Home,
) -> None:
    code = home.finish("run", home.file(LOSSY), "--output", "out", "--keep")
    made = report(home, "out")
    loss = made["transitions"][0]["rpo"]["metadata"]
    assert loss["lost"] > 0, home.output
    assert loss["rpo"]["low"] > 1
    assert (made["verdict"], code) == ("FAIL", 1)  # the target says that nothing may be lost
    assert made["cleanup"] == "kept"
    environment = home.environments[0]

    # By hand: what the witness heard acknowledged before the fault, less what psql reads back.
    t_fault = next(json.loads(line)["in_force"] for line in
                   (home.path / "out" / "journal.jsonl").read_text().splitlines()
                   if '"k":"fault.outcome"' in line and '"disrupts":true' in line)
    acked = set()
    # What the dead region's clients had not sent yet was read from their spools.
    witness = duckdb.read_parquet(str(home.path / "out" / "evidence" / "witness*.parquet"), union_by_name=True)
    for event, stream, region, at, *row in witness.select("e, s, r, t, d, wr, n").fetchall():
        if (event, stream, region) == ("ack", "ledger", "us-west-2") and at <= t_fault:
            acked.add((row[0], row[1], str(row[2])))
    there = set()
    for deployment in ("team-00", "team-01"):
        rows = psql(environment, "secondary", "airflow_" + deployment.replace("-", "_"),
                    "select writer, n from dr_drill_ledger")
        there |= {(deployment, *row.split("|")) for row in rows.splitlines()}
    assert len(acked - there) == loss["parts"]["ledger"]
    assert acked & there, "rows written before the fault are read back from the promoted server"

    # The secondary runs the Deployments; of the primary nothing is left.
    if shutil.which("kubectl"):
        shown = subprocess.run(
            ["kubectl", "--kubeconfig", str(environment / "kubeconfig-secondary"), "get", "pods",
             "-A"], capture_output=True, text=True, check=True).stdout
        assert shown.count("scheduler-") == 2
        assert shown.count("api-server-") == 2
    assert Ownership.of(environment).processes(environment / "sites" / "primary") == set()
    assert home.finish("down") == 0
    assert home.environments == []
    assert home.processes() == set()


def test_when_nothing_breaks_every_loss_figure_is_zero(home: Home) -> None:
    code = home.finish("run", home.file(HEALTHY), "--output", "out")
    assert code == 0, home.output
    made = report(home, "out")
    for fates in made["fates"].values():
        assert fates["acknowledged"] > 0
        assert fates["held"] == fates["acknowledged"] - fates["unjudged"]
    assert made["fates"]["metadata"]["phantom"] == 0
    assert made["tasks"]["lost"] + made["tasks"]["stuck"] + made["tasks"]["duplicated"] == 0
    assert {count["high"] for count in made["split_brain"].values()} == {0}
    assert made["gaps"] == []


def test_an_interrupted_drill_keeps_what_it_measured_and_removes_the_rest(home: Home) -> None:
    running = home.drill("run", home.file(HEALTHY), "--output", "out")
    until(lambda: "probe" in home.kinds("out"))
    running.send_signal(signal.SIGINT)
    assert running.wait(60) == 130
    made = report(home, "out")
    assert made["aborted"]
    assert made["verdict"] == "INCONCLUSIVE"
    assert (home.path / "out" / "evidence" / "witness.parquet").exists()
    assert home.environments == []
    assert home.processes() == set()


def test_after_a_kill_drill_down_leaves_nothing_and_another_run_is_untouched(home: Home) -> None:
    file = home.file(HEALTHY)
    killed = home.drill("run", file, "--output", "killed")
    other = home.drill("run", file, "--output", "other")  # two at once do not collide
    until(lambda: "environment.up" in home.kinds("killed"))
    killed.kill()  # and nobody waits for it: a zombie has as little as a dead one
    assert home.finish("down") == 0
    killed.wait()
    assert [e for e in home.environments if e.name.startswith("e2e-")] != []  # the other one's
    assert "its drill is running; left alone" in home.output
    salvaged = report(home, "killed")
    assert salvaged["broken"]
    assert salvaged["cleanup"] == "done"
    assert other.wait(600) == 0, home.output
    assert home.environments == []
    assert home.processes() == set()


def test_an_up_that_is_terminated_while_it_starts_leaves_nothing_even_when_asked_twice(home: Home) -> None:
    starting = home.drill("up", home.file(HEALTHY))
    until(lambda: len(home.processes()) > 10)
    starting.send_signal(signal.SIGTERM)
    starting.send_signal(signal.SIGINT)
    assert starting.wait(60) == 130
    assert "everything was removed" in home.output
    assert "Traceback" not in home.output
    assert home.environments == []
    assert home.processes() == set()


def test_a_component_that_dies_is_named_with_its_log_and_exit_4(home: Home) -> None:
    running = home.drill("run", home.file(HEALTHY), "--output", "out")
    until(lambda: "environment.up" in home.kinds("out"))
    environment = home.environments[0]
    witness = Ownership.of(environment).processes(environment / "sites" / "witness")
    assert len(witness) == 1
    os.kill(witness.pop(), signal.SIGKILL)
    assert running.wait(120) == 4
    assert "witness ended with status -9" in home.output
    assert "witness.log" in home.output
    assert home.environments == []
    assert home.processes() == set()


def test_an_orchestrator_killed_in_mid_sequence_finishes_it_when_it_is_back(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DR_DRILL_HOME", str(home.path))
    pair = EmbeddedPair("e2e-restart", PairSettings(head_delay=4.0, task_seconds=5.0))
    try:
        pair.up()
        fleet = Fleet(pair, 1)
        fleet.create()
        until(fleet.healthy)
        pair.kill_region("primary")
        fleet.orchestrator.trigger("failover")
        until(lambda: fleet.orchestrator.history()[0]["steps"])
        pair.restart("orchestrator")  # the head is being provisioned: the sequence is in its first step

        def done() -> bool:
            try:
                state = fleet.orchestrator.cluster()
            except OSError:
                return False
            return state.settled and state.is_failed_over

        until(done)
        steps = {s["name"]: s for s in fleet.orchestrator.history()[0]["steps"]}
        assert steps["provision-database-compute"]["attempts"] == 2
        assert list(steps)[:5] == ["provision-database-compute", "fence-old-writer",
                                   "promote-database", "inflate", "move-dns"]
        until(fleet.healthy)
        secondary = pair.public_address("secondary")
        until(lambda: pair.resolve(f"team-00.{pair.domain}")[0] == secondary)
    finally:
        pair.down()
    assert home.processes() == set()


def test_a_failback_that_cannot_quiesce_fails_with_its_step_and_can_be_asked_for_again(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DR_DRILL_HOME", str(home.path))
    pair = EmbeddedPair("e2e-quiesce", PairSettings(task_seconds=5.0))
    try:
        pair.up()
        fleet = Fleet(pair, 1)
        fleet.create()
        until(fleet.healthy)
        fleet.orchestrator.trigger("failover")  # controlled: both regions are there
        until(lambda: fleet.orchestrator.cluster().is_failed_over)
        until(lambda: replication.follows(Pair(pair, fleet, "secondary")))
        # No word reaches the secondary: neither the orchestrator's own nor the order by way of the bucket.
        for site in ("outside", "primary"):
            pair.set_link(site, "secondary", cut=True)
        fleet.orchestrator.trigger("failback")
        until(lambda: fleet.orchestrator.cluster().status == "FAILOVER_FAILED")
        error = fleet.orchestrator.history()[-1]["error"]
        assert error.startswith("step quiesce: us-east-2 did not say that its Airflow has stopped")
        # The bucket's word is enough, once the primary is seen to follow again.
        pair.set_link("primary", "secondary")

        def asked_again() -> bool:
            try:
                fleet.orchestrator.trigger("failback")
            except OrchestratorFailed:
                return False
            return True

        until(asked_again)
        until(lambda: not fleet.orchestrator.cluster().is_failed_over)
        assert fleet.orchestrator.cluster().status == "CREATED"
    finally:
        pair.down()
    assert home.processes() == set()
