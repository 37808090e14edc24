"""Transitions in which the orchestrator dies, and what they end in.

    ./dev python -m tests.bench.crash_points --transitions 40

Brings up the embedded pair with a small fleet and ledger writers, and moves it there and back, by turns
an unplanned failover of a region that lives (the database must fence it) and a failback. In each
transition the orchestrator is killed once: at a random crash point of its sequence, or at a random
moment. ``--undisturbed`` kills nothing. After each one, what there is, is compared with what there should
be: who is the writer, by which epoch (a promotion done twice would show), where Airflow is inflated,
where DNS leads, which acknowledged writes are missing, and which the old writer still acknowledged.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import psycopg
from rich.console import Console
from rich.table import Table

from harness.drill.schema import LedgerSpec
from harness.engine.checks import Pair, manifests, replication
from harness.engine.fleet import Fleet
from harness.engine.observers.databases import TABLE, database_name
from harness.environments.embedded.environment import EmbeddedPair
from harness.environments.embedded.layout import PairSettings
from harness.systems.base import Kind
from tests.bench.machine import describe

STEPS = {
    "failover": ("provision-database-compute", "fence-old-writer", "promote-database", "inflate",
                 "move-dns"),
    "failback": ("quiesce", "provision-database-compute", "promote-database", "inflate", "move-dns")}
MOMENT_MOST_S = 3.0
WAIT_S = 300.0
DNS_S = 60.0
"""DNS answers from a copy of the zone; on a busy machine that is a while old."""
TARGET: dict[str, str] = {"failover": "secondary", "failback": "primary"}


class Bench:
    """One pair, moved many times."""

    def __init__(self, pair: EmbeddedPair, fleet: Fleet, chance: random.Random) -> None:
        self.pair, self.fleet, self.chance = pair, fleet, chance
        self.outcomes: Counter[str] = Counter()
        self.own_seconds: dict[str, list[float]] = {"failover": [], "failback": []}
        self._epoch = 1
        self._since = time.time()

    def move(self, kind: Kind, *, disturbed: bool) -> str:
        """One transition; where the orchestrator was killed."""
        target = TARGET[kind]
        self._until(lambda: self._follows("primary" if target == "secondary" else "secondary"), "in step")
        killed = self._kill_soon(kind) if disturbed else "not killed"
        known = {h["id"] for h in self.fleet.orchestrator.history()}
        self._trigger(kind, known)
        self._until(lambda: self._settled(kind), f"{kind} to end ({killed})")
        self.outcomes[f"{kind}s"] += 1
        wrong = self._wrong(kind, target)
        self.outcomes["wrong end states"] += bool(wrong)
        for text in wrong:
            print(f"  {kind}, {killed}: {text}", flush=True)
        self._count_writes(kind, target)
        record = next(h for h in self.fleet.orchestrator.history() if h["id"] not in known)
        self.own_seconds[kind].append(sum(
            s["ended"] - s["started"] for s in record["steps"]
            if s["ended"] and s["name"] not in ("cleanup", "fence-old-writer")))
        return killed

    def _kill_soon(self, kind: Kind) -> str:
        if self.chance.random() < 0.25:
            after = self.chance.uniform(0, MOMENT_MOST_S)
            threading.Timer(after, lambda: self.pair.restart("orchestrator")).start()
            return f"after {after:.1f} s"
        point = f"{self.chance.choice(STEPS[kind])}:{self.chance.choice(('before', 'in', 'after'))}"
        self.pair.arm_orchestrator([point])
        return point

    def _trigger(self, kind: Kind, known: set[str]) -> None:
        """Send the request; where its answer is lost with the orchestrator, look whether it was taken."""
        def taken() -> bool:
            if {h["id"] for h in self._quietly(self.fleet.orchestrator.history) or []} - known:
                return True
            try:
                self.fleet.orchestrator.trigger(kind)
            except Exception as error:
                self.outcomes["requests refused or unanswered"] += 1
                print(f"  {kind}: {error}", flush=True)
            return False

        self._until(taken, f"the {kind} to be accepted")

    def _settled(self, kind: Kind) -> bool:
        state = self._quietly(self.fleet.orchestrator.cluster)
        return state is not None and state.settled and state.is_failed_over == (kind == "failover")

    def _follows(self, active: str) -> bool:
        return bool(self._quietly(lambda: replication.follows(Pair(self.pair, self.fleet, active))))

    def _wrong(self, kind: Kind, target: str) -> list[str]:
        source = "primary" if target == "secondary" else "secondary"
        state, wrong = self.fleet.orchestrator.cluster(), []
        if state.status != "CREATED":
            wrong.append(f"the cluster is {state.status}")
        self._epoch += 1
        found = httpx.get(
            f"{self.pair.regions[target].aws_endpoint}/_dr/rds/state",
            headers={"x-dr-token": self.pair.secret("observer_control_token")}).json()["global"]
        if (found["writer"], found["epoch"]) != (self.pair.region_name(target), self._epoch):
            wrong.append(f"writer {found['writer']} in epoch {found['epoch']}, not {self._epoch}")
            self._epoch = found["epoch"]
        self._until(lambda: bool(self._quietly(lambda: manifests.variants(
            Pair(self.pair, self.fleet, target))[0])), f"{source} to be deflated")
        name, wanted = self.fleet.members[0].hostname, self.pair.public_address(target)
        deadline = time.monotonic() + DNS_S
        while (address := self.pair.resolve(name)[0]) != wanted and time.monotonic() < deadline:
            time.sleep(0.2)
        if address != wanted:
            wrong.append(f"DNS leads to {address}")
        return wrong

    def _count_writes(self, kind: Kind, target: str) -> None:
        """Acknowledged writes that the new writer lacks, and late ones of the old writer."""
        source = self.pair.region_name("primary" if target == "secondary" else "secondary")
        acks = [r for r in self._acks() if r["t"] > self._since]
        new = [r["t"] for r in acks if r["r"] == self.pair.region_name(target)]
        promoted = min(new, default=time.time())
        held: set[tuple[str, str, int]] = set()
        for member in self.fleet.members:
            access = self.pair.database(target, database_name(member.name))
            with psycopg.connect(access.conninfo) as connection:
                rows = connection.execute(f"select writer, n from {TABLE}").fetchall()
                held |= {(member.name, str(w), int(n)) for w, n in rows}
        old = [r for r in acks if r["r"] == source]
        self.outcomes[f"acknowledged before {kind}s"] += len(old)
        self.outcomes[f"lost in {kind}s"] += sum((r["d"], r["wr"], r["n"]) not in held for r in old)
        self.outcomes["split-brain writes"] += sum(r["t"] > promoted for r in old)
        self._since = promoted

    def table(self) -> Table:
        """What it came to so far."""
        table = Table("what", "count", box=None)
        for name, count in self.outcomes.items():
            table.add_row(name, str(count))
        for kind, seconds in self.own_seconds.items():
            if seconds:
                middle = sorted(seconds)[len(seconds) // 2]
                table.add_row(f"own steps of a {kind}, median and most", f"{middle:.1f} s, {max(seconds):.1f} s")
        table.add_row("orchestrator killed at a crash point", str(len(self.pair.orchestrator_crashes())))
        return table

    def _acks(self) -> list[dict[str, Any]]:
        found = (json.loads(line) for line in self.pair.witness_log.read_text().splitlines()
                 if line.endswith("}"))
        return [r for r in found if r["e"] == "ack" and r.get("s") == "ledger"]

    def _until(self, condition: Any, what: str) -> None:
        deadline = time.monotonic() + WAIT_S
        while not condition():
            self.pair.check()
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited {WAIT_S:.0f} s for {what}")
            time.sleep(0.3)

    @staticmethod
    def _quietly(ask: Any) -> Any:
        try:
            return ask()
        except Exception:
            return None


def main() -> None:
    """Move it there and back, and print what it came to."""
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--transitions", type=int, default=20)
    options.add_argument("--deployments", type=int, default=2)
    options.add_argument("--undisturbed", action="store_true")
    options.add_argument("--logs", type=Path, help="a directory to keep the components' logs in")
    options.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**31))
    asked = options.parse_args()
    console = Console()
    console.print(describe(), f"seed {asked.seed}")
    pair = EmbeddedPair(f"bench-{os.getpid()}", PairSettings(task_seconds=5))
    bench = None
    try:
        pair.up()
        fleet = Fleet(pair, asked.deployments)
        fleet.create()
        bench = Bench(pair, fleet, random.Random(asked.seed))
        bench._until(fleet.healthy, "the fleet")
        fleet.describe()
        fleet.start_ledger(LedgerSpec())
        for number in range(asked.transitions):
            kind: Kind = "failback" if number % 2 else "failover"
            began = time.monotonic()
            killed = bench.move(kind, disturbed=not asked.undisturbed)
            console.print(f"{number + 1:4} {kind}: {killed}, {time.monotonic() - began:.1f} s")
    except KeyboardInterrupt:
        console.print("interrupted; so far:")
    except TimeoutError as error:
        console.print(f"given up: {error}; what the orchestrator says of its last move:")
        console.print_json(data=(bench._quietly(bench.fleet.orchestrator.history) or [None])[-1] if bench else None)
        sys.exit(1)
    finally:
        if bench is not None:
            console.print(bench.table())
        if asked.logs is not None:
            shutil.copytree(pair.logs, asked.logs, dirs_exist_ok=True)
        pair.down()


if __name__ == "__main__":
    main()
