"""Kills a drill at random moments of all its phases, and looks what is left of it.

    ./dev python -m tests.peers.kill_test --moments 50 [--seed N] [--output docs/kill-test.md]

A small drill with every kind of phase runs once undisturbed, which shows how long each part of it takes; then it runs
again and again, and each time is sent SIGINT, SIGTERM, SIGHUP or SIGKILL at a moment drawn at random within a part that is
drawn in turn, so that parts of a second are met as often as those of a minute. A second signal follows the first
in every third run that is asked to stop. After SIGKILL ``drill down`` is called at once.

Then nothing may be left: no process, no listening port, no directory, no shared memory, no lease of addresses. The exit
code must be the documented one, and the record honest: no verdict PASS for a drill that did not come to its end.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.peers.traces import Places, Traces

ROOT = Path(__file__).resolve().parents[2]
DRILL = Path(__file__).with_name("kill_drill.yaml")
SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGKILL")
ASKED = SIGNALS[:3]
START, UP, LAUNCH, EVIDENCE, DOWN, REPORT = "start", "bring-up", "fleet", "evidence", "clean-up", "report"
PASS, INCONCLUSIVE = 0, 3
PHASES = 7
RACE_S = 0.1
"""So much later a signal may be heard than it was sent."""
RUN_MOST_S, END_MOST_S = 900.0, 180.0
LOOK_AGAIN_S = 5.0
"""Shared memory is looked at machine-wide, and what others make for a moment is no trace of ours: what is left, stays."""


@dataclass
class Outcome:
    """One run that was sent a signal."""

    number: int
    phase: str
    after: float
    signal: str
    twice: bool
    exit_code: int | str = ""
    down_code: int | str = ""
    seconds: float = 0.0
    left: Traces = field(default_factory=Traces)
    verdict: str = ""
    wrong: list[str] = field(default_factory=list)


class Run:
    """A drill in a process of its own."""

    def __init__(self, home: Path, name: str) -> None:
        self.home, self.output, self.places = home, home / name, Places(home)
        self.log = home / f"{name}.log"
        self.began = time.monotonic()
        self.process = self.drill("run", str(DRILL), "--output", str(self.output))
        self.marks: list[tuple[str, float]] = [(START, self.began)]
        self._read, self._phases = 0, 0

    def drill(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start the command; what it prints goes to a file."""
        with self.log.open("ab") as sink:
            return subprocess.Popen(
                [sys.executable, "-m", "harness.cli.main", *arguments], cwd=ROOT, stdout=sink, stderr=sink,
                start_new_session=True, env={**os.environ, "DR_DRILL_HOME": str(self.home)})

    def follow(self) -> str:
        """Read on in the journal; the part in which the drill is."""
        for event in self._events():
            part = self._part_of(event)
            if part is not None:
                self.marks.append((part, time.monotonic()))
        self.places.watch()
        return self.marks[-1][0]

    def _part_of(self, event: dict[str, Any]) -> str | None:
        if event["k"] == "phase.started":
            self._phases += 1
            return f"{self._phases} {event['phase']}"
        if event["k"] == "phase.ended" and self._phases == PHASES:
            return EVIDENCE
        return {"environment.intent": UP, "environment.up": LAUNCH, "cleanup.intent": DOWN,
                "run.ended": REPORT}.get(event["k"])

    def _events(self) -> Iterator[dict[str, Any]]:
        path = self.output / "journal.jsonl"
        if not path.exists():
            return
        with path.open("rb") as source:
            source.seek(self._read)
            data = source.read()
        whole = data.rfind(b"\n") + 1
        self._read += whole
        for line in data[:whole].splitlines():
            yield json.loads(line)

    def left_since(self, before: Traces) -> Traces:
        """What the run has left: of shared memory, what is still there some seconds later."""
        left, until = self.places.look().since(before), time.monotonic() + LOOK_AGAIN_S
        while left.shared_memory and time.monotonic() < until:
            time.sleep(0.5)
            left = replace(left, shared_memory=left.shared_memory & self.places.look().shared_memory)
        return left

    def events(self) -> list[dict[str, Any]]:
        """All events of its record, from the first on."""
        self._read = 0
        return list(self._events())


def measure(home: Path) -> dict[str, float]:
    """How long each part of an undisturbed drill takes, seconds.

    Raises:
        RuntimeError: when it breaks, or leaves something.
    """
    before = Places(home).look()
    run = Run(home, "undisturbed")
    while run.process.poll() is None:
        run.follow()
        if time.monotonic() - run.began > RUN_MOST_S:
            run.process.terminate()
        time.sleep(0.05)
    run.follow()
    left = run.left_since(before)
    if run.process.returncode not in (PASS, INCONCLUSIVE) or left:
        raise RuntimeError(f"undisturbed: exit code {run.process.returncode}, left: {left}; see {run.log}")
    ends = [at for _, at in run.marks[1:]] + [time.monotonic()]
    return {part: end - at for (part, at), end in zip(run.marks, ends, strict=True)}


def disturb(home: Path, outcome: Outcome) -> None:
    """Run the drill, send it the signal at the moment, and look."""
    before = Places(home).look()
    run = Run(home, f"run-{outcome.number}")
    while run.process.poll() is None and run.follow() != outcome.phase:
        time.sleep(0.01)
    while run.process.poll() is None and time.monotonic() < run.marks[-1][1] + outcome.after:
        outcome.phase = run.follow()  # it may have gone on: no two runs are equally fast
        time.sleep(0.005)
    sent, at = time.monotonic(), time.time()
    run.process.send_signal(signal.Signals[outcome.signal])
    if outcome.twice:
        time.sleep(random.uniform(0, 0.5))
        run.process.send_signal(signal.SIGINT)
    try:
        outcome.exit_code = run.process.wait(END_MOST_S) if outcome.signal != "SIGKILL" else ""
        if outcome.signal == "SIGKILL":
            # The killed process is not waited for: a zombie has as little as a dead one.
            outcome.down_code = run.drill("down").wait(END_MOST_S)
            outcome.exit_code = run.process.wait(END_MOST_S)
    except subprocess.TimeoutExpired:
        outcome.wrong.append("did not end")
    outcome.seconds = time.monotonic() - sent
    outcome.left = run.left_since(before)
    judge(run, outcome, at)
    if not outcome.wrong:
        shutil.rmtree(run.output, ignore_errors=True)
    else:
        print(f"  see {run.output} and {run.log}", flush=True)
        run.drill("down", "--all").wait(END_MOST_S)


def judge(run: Run, outcome: Outcome, sent: float) -> None:
    """What is wrong with what a run has left; ``sent``: wall time of the signal."""
    if outcome.left:
        outcome.wrong.append(f"left: {outcome.left}")
    events = run.events()
    kinds = [event["k"] for event in events]
    ended = [event["t"] for event in events if event["k"] == "phase.ended"]
    # A drill all of whose phases were over has its verdict, whatever comes afterwards.
    whole = "run.ended" in kinds and len(ended) == PHASES and max(ended) < sent + RACE_S
    if not whole and "run.ended" in kinds and not {"run.aborted", "run.broken"} & set(kinds):
        outcome.wrong.append("the drill went on")
    allowed = {130} | ({PASS, INCONCLUSIVE} if whole else set())
    if not kinds:
        # Before Python has come to our first line a signal ends it as it ends any program.
        allowed.add(-signal.Signals[outcome.signal].value)
    if outcome.signal == "SIGKILL":
        allowed = {-9} | allowed if run.process.returncode != -9 else {-9}
        if outcome.down_code != 0:
            outcome.wrong.append(f"drill down: exit code {outcome.down_code}")
    if outcome.exit_code not in allowed:
        outcome.wrong.append(f"exit code {outcome.exit_code}")
    text = run.log.read_text(errors="replace")
    if "Traceback" in text and kinds:
        outcome.wrong.append("a traceback on the terminal")
    if kinds:
        code = run.drill("report", str(run.output)).wait(END_MOST_S)
        outcome.verdict = f"report: {code}"
        if code == PASS and not whole:
            outcome.wrong.append("the report of a drill that did not come to its end is PASS")
    else:
        outcome.verdict = "no record"


def moments(parts: dict[str, float], count: int, chance: random.Random) -> list[Outcome]:
    """What to do: parts and signals in turn, moments at random."""
    drawn: list[Outcome] = []
    names = list(parts)
    while len(drawn) < count:
        for name in chance.sample(names, len(names)):
            number = len(drawn) + 1
            sent = SIGNALS[number % len(SIGNALS)]
            drawn.append(Outcome(number, name, chance.uniform(0, parts[name]), sent,
                                 sent in ASKED and number % 3 == 0))
    return drawn[:count]


def table(parts: dict[str, float], outcomes: list[Outcome], seed: int) -> str:
    """The findings as Markdown."""
    wrong = [o for o in outcomes if o.wrong]
    seconds = [o.seconds for o in outcomes]
    lines = [
        "# Kill test", "",
        "Made by `./dev python -m tests.peers.kill_test`"
        f" (seed {seed}); what it does and looks for is in the head of that file.", "",
        f"{len(outcomes)} moments, {len(wrong)} with something wrong. From the signal until all was removed"
        f" (after SIGKILL: until `drill down` had ended): median {statistics.median(seconds):.1f} s,"
        f" at most {max(seconds):.1f} s.", "",
        "Parts of the undisturbed drill: " + ", ".join(f"{n} {s:.1f} s" for n, s in parts.items()) + ".", "",
        "`exit`: of the drill (after SIGKILL also of `drill down`). `report`: what `drill report` says of what is left of"
        " the run: 0 is a drill that had come to its end when the signal came, in its clean-up or its report.", "",
        "| | phase | after | signal | s to clean | exit | report | processes | ports | directories | shared memory"
        " | leases | wrong |", "|---|---|---|---|---|---|---|---|---|---|---|---|---|"]
    for o in outcomes:
        counts = [len(found) for found in (o.left.processes, o.left.ports, o.left.directories, o.left.shared_memory,
                                           o.left.leases)]
        exits = f"{o.exit_code}, {o.down_code}" if o.signal == "SIGKILL" else str(o.exit_code)
        lines.append(
            f"| {o.number} | {o.phase} | {o.after:.2f} s | {o.signal}{', SIGINT' if o.twice else ''}"
            f" | {o.seconds:.1f} | {exits} | {o.verdict.removeprefix('report: ')} | "
            + " | ".join(map(str, counts)) + f" | {'; '.join(o.wrong)} |")
    return "\n".join([*lines, ""])


def main() -> int:
    """Do it; the exit code is 1 when something was wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--moments", type=int, default=50)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(16))
    parser.add_argument("--output", type=Path, help="Write the table here, too.")
    parser.add_argument("--phase", help="Only moments of this part.")
    parser.add_argument("--parts", help="Durations as JSON, instead of measuring them.")
    asked = parser.parse_args()
    for name in ASKED:
        # What nohup, or a shell in the background, had us ignore, the drill would ignore too, and rightly so.
        signal.signal(signal.Signals[name], signal.default_int_handler if name == "SIGINT" else signal.SIG_DFL)
    home = Path(tempfile.mkdtemp(prefix="drill-kill-"))
    home.chmod(0o711)
    parts: dict[str, float] = json.loads(asked.parts) if asked.parts else measure(home)
    print(f"parts: {json.dumps(parts)}", flush=True)
    chosen = {name: s for name, s in parts.items() if asked.phase in (None, name)}
    outcomes = []
    for outcome in moments(chosen, asked.moments, random.Random(asked.seed)):
        disturb(home, outcome)
        outcomes.append(outcome)
        print(f"{outcome.number}: {outcome.phase} +{outcome.after:.2f} s {outcome.signal}"
              f"{' twice' if outcome.twice else ''}: {outcome.seconds:.1f} s, exit {outcome.exit_code}"
              f" {outcome.down_code}, {outcome.verdict}, {'; '.join(outcome.wrong) or 'ok'}", flush=True)
        if asked.output:
            asked.output.write_text(table(parts, outcomes, asked.seed))
    print(table(parts, outcomes, asked.seed))
    wrong = any(outcome.wrong for outcome in outcomes)
    if not wrong:
        shutil.rmtree(home, ignore_errors=True)
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
