"""What an environment's processes use, by part."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.environments.embedded.ownership import Ownership
from harness.environments.embedded.usage import (
    MEMORY_EVERY_S,
    NEW_PEAK_BYTES,
    PEAK_EVERY_S,
    MemoryClock,
    Meter,
)
from tests.harness.environments.embedded.conftest import STRANGER, as_user, until

BUSY = "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass\n"


def start(root: Path, place: str, code: str) -> subprocess.Popen[bytes]:
    """A process of the environment ``root`` that works in one of its sites."""
    directory = root / "sites" / place
    directory.mkdir(parents=True, exist_ok=True)
    return subprocess.Popen([sys.executable, "-c", code], cwd=directory,
                            env={**os.environ, **Ownership.of(root).mark})


def test_processes_are_told_apart_by_where_they_run(tmp_path: Path) -> None:
    pods = "primary/pods"
    wait = BUSY + "time.sleep(60)"
    started = [start(tmp_path, place, wait) for place in (
        f"{pods}/airflow-a_scheduler-1-x", f"{pods}/airflow-b_scheduler-2-y", "primary/postgres/data", "links")]
    try:
        meter = Meter(tmp_path)

        def busy() -> dict[str, float]:
            read = {use.part: use for use in meter.read(memory=True) if use.group != "harness"
                    or use.part == "links"}
            parts = {name: use for name, use in read.items() if use.cpu_s > 0.25}
            return {n: u.cpu_s for n, u in parts.items()} if len(parts) == 3 else {}

        cpu = until(busy)
        assert set(cpu) == {"scheduler", "primary", "links"}
        uses = {use.part: use for use in meter.read(memory=True)}
        assert (uses["scheduler"].group, uses["scheduler"].processes) == ("airflow", 2)
        assert uses["primary"].group == "postgresql"
        assert uses["links"].group == "harness"
        assert (uses["scheduler"].pss_mib or 0) > 1
    finally:
        for process in started:
            process.kill()
            process.wait()


def test_what_has_ended_stays_in_the_sum(tmp_path: Path) -> None:
    busy = start(tmp_path, "primary/pods/airflow-a_scheduler-1-x", BUSY + "time.sleep(60)")
    meter = Meter(tmp_path)

    def scheduler() -> float:
        return sum(use.cpu_s for use in meter.read(memory=False) if use.part == "scheduler")

    try:
        before = until(lambda: (seen := scheduler()) > 0.25 and seen)
    finally:
        busy.kill()
        busy.wait()
    assert scheduler() == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_the_drills_own_memory_is_known_to_a_meter_that_may_not_look(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    memory = os.open("/proc/self/smaps_rollup", os.O_RDONLY)

    def seen(given: int | None) -> list[float]:
        meter = Meter(tmp_path, os.getppid(), given)
        return [use.pss_mib or 0 for _ in range(2) for use in meter.read(memory=True) if use.part == "drill"]

    def kept() -> list[float]:
        return seen(memory)

    def refused() -> list[float]:
        return seen(None)

    assert min(as_user(STRANGER, kept)) > 10
    assert as_user(STRANGER, refused) == [0, 0]
    os.close(memory)


def test_memory_is_read_now_and_then_and_at_each_new_peak() -> None:
    clock, left = MemoryClock(), 10e9
    assert clock.due(0.0, left)
    assert not clock.due(PEAK_EVERY_S, left - NEW_PEAK_BYTES / 2)  # no new peak worth the reading
    assert not clock.due(PEAK_EVERY_S - 1, left - 2 * NEW_PEAK_BYTES)  # too soon
    assert clock.due(PEAK_EVERY_S, left - 2 * NEW_PEAK_BYTES)
    assert not clock.due(2 * PEAK_EVERY_S, left - 2 * NEW_PEAK_BYTES)
    assert clock.due(PEAK_EVERY_S + MEMORY_EVERY_S, left)
    assert not clock.due(2 * PEAK_EVERY_S + MEMORY_EVERY_S, left - NEW_PEAK_BYTES)  # there was a higher one
