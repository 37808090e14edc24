"""Coverage-guided fuzzing of the loader, on demand: ``python -m tests.fuzz.atheris_loader --minutes N [--keep]``.

Needs the dependency group ``fuzz``: ``uv run --group fuzz python -m tests.fuzz.atheris_loader --minutes 60``.
It begins with the kept corpus and the library's drills, and reports crashes, hangs (an input that takes more than a
second of CPU time) and growth of memory; after a finding it goes on until the time is over. Exit code 0: nothing was found.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from tests.fuzz.mutations import mutate
from tests.fuzz.seeds import CORPUS, GUIDES, PLACES

KEPT_BYTES = 4096
"""Of a file that is kept in the corpus, at most."""
HALF = 0.5
"""Share of the inputs that are drill files with something changed; the others are libFuzzer's own."""
GROWTH_MIB = 96
"""How much the process may grow between a tenth of the time and the end; libFuzzer keeps its corpus in memory."""
WORDS = ("load:", "fault:", "failover:", "failback:", "settle:", "heal:", "hold:", "region-outage:", "partition:",
         "link:", "api-outage:", "orchestrator-crash:", "manual-drift:", "region: primary", "region: secondary",
         "planned: true", "expect: refused", "expect: commits-wait", "environment:", "rpo-bound: null", "proves: [XR-",
         "targets:", "rpo:", "30s", "0s", "1:30", "&a", "*a", "<<:", "!!int", "? [", "---", "%YAML 1.1", "|\\x0a",
         "\\x00", "\\x09", "\\xff\\xfe", "\\xe2\\x80\\xa8", "\\xef\\xbb\\xbf", "'", "\\\"\\\\ud800\\\"", "{", "}", "[", "]")


def fuzz(arguments: list[str]) -> None:
    """Run libFuzzer in this process."""
    import atheris

    with atheris.instrument_imports(include=list(GUIDES)):
        from tests.fuzz.loader_target import check

    def one(data: bytes) -> None:
        check(data)

    def another(data: bytes, most: int, seed: int) -> bytes:
        chance = random.Random(seed)
        changed = mutate(data, chance) if chance.random() < HALF else atheris.Mutate(data, most)
        return bytes(changed)[:most]

    atheris.Setup([sys.argv[0], *arguments], one, custom_mutator=another)
    atheris.Fuzz()


class Memory(threading.Thread):
    """The memory of a process over time, in MiB."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._path = Path(f"/proc/{pid}/statm")
        self.seen: list[float] = []

    def run(self) -> None:
        """Look once a second, until the process is gone."""
        while True:
            try:
                self.seen.append(int(self._path.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20)
            except (OSError, IndexError):
                return
            time.sleep(1.0)

    @property
    def growth(self) -> float:
        """From a tenth of the time on."""
        settled = self.seen[len(self.seen) // 10:]
        return max(settled, default=0.0) - (settled[0] if settled else 0.0)


def main() -> int:
    """Fuzz for a while and say what was found; the exit code."""
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--minutes", type=float, default=1.0)
    options.add_argument("--keep", action="store_true", help="add what reached something new to the corpus")
    asked = options.parse_args()
    try:
        import atheris  # noqa: F401  # the child needs it
    except ImportError:
        print("atheris is not installed: uv run --group fuzz python -m tests.fuzz.atheris_loader", file=sys.stderr)
        return 2
    place = Path(tempfile.mkdtemp(prefix="dr-drill-fuzz-"))
    work, found = place / "corpus", place / "found"
    work.mkdir()
    found.mkdir()
    words = place / "words"
    words.write_text("".join(f'"{word}"\n' for word in WORDS))
    until, runs, growth = time.monotonic() + asked.minutes * 60, 0, 0.0
    while (left := until - time.monotonic()) > 1:
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.atheris_loader", "--child", f"-max_total_time={int(left)}",
             "-timeout=20", "-rss_limit_mb=1024", "-max_len=16384", f"-dict={words}", f"-artifact_prefix={found}/",
             "-print_final_stats=1", str(work), *map(str, PLACES)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
        memory = Memory(child.pid)
        memory.start()
        assert child.stdout is not None
        for line in child.stdout:
            print(line, end="", flush=True)
            if told := re.match(r"stat::number_of_executed_units:\s*(\d+)", line):
                runs += int(told[1])
        child.wait()
        memory.join()
        growth = max(growth, memory.growth)
        if memory.seen:
            print(f"memory: {memory.seen[0]:.0f} MiB at first, {max(memory.seen):.0f} at most, {memory.seen[-1]:.0f} at"
                  f" last; grown by {memory.growth:.0f} after a tenth of the time", flush=True)
    findings = sorted(found.iterdir())
    print(f"{runs} inputs in {asked.minutes:g} min, {len(list(work.iterdir()))} that reached something new,"
          f" {len(findings)} findings, memory grown by {growth:.0f} MiB (bar {GROWTH_MIB})")
    for path in findings:
        print(f"finding: {path}")
    if asked.keep:
        for path in work.iterdir():
            if path.stat().st_size <= KEPT_BYTES:
                shutil.copy(path, CORPUS)
    if not findings:
        shutil.rmtree(place)
    return 1 if findings or growth > GROWTH_MIB else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        fuzz(sys.argv[2:])
    else:
        sys.exit(main())
