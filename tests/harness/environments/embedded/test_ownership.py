"""What is ours is proven by a mark and a lock, and nothing else is touched."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from harness.environments.embedded.layout import make_root
from harness.environments.embedded.ownership import (
    MARK,
    Lock,
    Ownership,
    environments,
    held,
    mark_of,
    process_start,
)
from harness.environments.embedded.private import UntrustedPlace
from harness.environments.embedded.shared_memory import made_by, segments
from harness.environments.embedded.state import EnvironmentState
from harness.environments.embedded.user import FIRST
from tests.harness.common.test_teardown import without_descriptors
from tests.harness.environments.embedded.conftest import STRANGER, until

Start = Callable[..., subprocess.Popen[bytes]]
SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
SLEEPING_CHILD = [sys.executable, "-c", f"import os, subprocess; subprocess.Popen({SLEEP!r}, start_new_session=True);"
                                        " os._exit(0)"]


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where an environment is, or would be."""
    monkeypatch.setenv("DR_DRILL_HOME", str(tmp_path))
    place = make_root() / "envs" / "outage-1"
    place.mkdir(0o700)
    return place


@pytest.fixture
def owned(directory: Path) -> Iterator[Ownership]:
    """Its proof, with the lock of whoever made it."""
    lock = Lock(directory)
    yield lock.make()
    lock.release()


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts processes, and kills those that are left."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(place: Path, mark: Mapping[str, str], argv: list[str] = SLEEP, **options: object) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(argv, cwd=place, env={**os.environ, **mark}, **options)  # type: ignore[call-overload]
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.wait()


def test_processes_are_found_by_their_mark_wherever_they_are_and_though_their_parent_is_dead(
        owned: Ownership, tmp_path: Path, start: Start) -> None:
    here = start(owned.directory, owned.mark)
    elsewhere = start(tmp_path, owned.mark)
    start(owned.directory, owned.mark, SLEEPING_CHILD).wait()
    assert len(until(lambda: len(owned.processes()) == 3 and owned.processes())) == 3
    assert {here.pid, elsewhere.pid} < owned.processes()
    assert owned.kill() == 3
    assert owned.processes() == set()


def test_the_processes_of_a_region_are_those_of_ours_that_work_there(owned: Ownership, start: Start) -> None:
    for name in ("primary", "primary-2"):
        (owned.directory / "sites" / name / "deep").mkdir(parents=True)
    site = owned.directory / "sites" / "primary"
    inside, beside = start(site / "deep", owned.mark), start(owned.directory / "sites" / "primary-2", owned.mark)
    assert owned.processes(site) == {inside.pid}
    assert owned.kill(site) == 1
    assert owned.processes() == {beside.pid}


def test_a_shell_that_stands_in_the_directory_is_not_ours(owned: Ownership, start: Start) -> None:
    shell = start(owned.directory, {})
    assert owned.processes() == set()
    assert owned.kill() == 0
    assert shell.poll() is None


def test_a_process_of_another_environment_is_not_ours(owned: Ownership, start: Start) -> None:
    directory = owned.directory
    start(directory, {MARK: f"{directory}-2:{owned.number}"})
    start(directory, {MARK: f"{directory}:another-number"})
    assert owned.processes() == set()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a process of another user")
def test_a_process_of_another_user_is_not_ours_even_if_it_has_our_mark(owned: Ownership, start: Start) -> None:
    theirs = start(Path("/"), owned.mark, ["/bin/sleep", "600"], user=STRANGER)
    assert mark_of(theirs.pid) == owned.mark[MARK]
    assert owned.processes() == set()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a process of another user")
def test_a_process_of_the_environments_own_user_is_ours_and_one_of_another_environments_is_not(
        directory: Path, start: Start) -> None:
    lock = Lock(directory)
    owned = lock.make(FIRST + 7)
    sleep = ["/bin/sleep", "600"]
    ours = start(Path("/"), owned.mark, sleep, user=FIRST + 7)
    start(Path("/"), owned.mark, sleep, user=FIRST + 8)
    assert owned.processes() == {ours.pid}
    found = Ownership.of(directory)
    assert found == owned
    assert found.kill() == 1
    lock.remove()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a process of another user")
def test_its_own_users_processes_are_found_though_all_is_lost_that_says_who_that_was(
        directory: Path, start: Start) -> None:
    owned = Ownership.new(directory, FIRST + 7)
    ours = start(Path("/"), owned.mark, ["/bin/sleep", "600"], user=FIRST + 7)
    shutil.rmtree(directory)
    assert environments() == [directory]
    assert Ownership.of(directory).processes() == {ours.pid}


@pytest.mark.parametrize("said", ["abc 0", "abc -1", "abc 999999", "abc x", "abc \u0661\u0661", "abc 61190 61191 x", "abc"])
def test_a_lock_that_names_another_user_than_one_of_nobodys_names_none(directory: Path, said: str) -> None:
    (directory.parent.parent / "locks" / directory.name).write_text(said + "\n")
    found = Ownership.of(directory)
    assert found.number == "abc"
    assert found.user in (None, 61190)
    assert (found.user is None) == ("61190" not in said)


def test_processes_are_found_when_the_directory_is_deleted_under_them(owned: Ownership, start: Start) -> None:
    site = owned.directory / "sites" / "primary"
    site.mkdir(parents=True)
    process = start(site, owned.mark)
    shutil.rmtree(owned.directory)
    assert owned.processes(site) == {process.pid}
    assert Ownership.of(owned.directory).kill() == 1


def test_processes_are_found_by_whoever_comes_later_even_if_the_lock_is_deleted_too(
        owned: Ownership, start: Start) -> None:
    process = start(owned.directory, owned.mark)
    shutil.rmtree(owned.directory)
    (owned.directory.parent.parent / "locks" / owned.directory.name).unlink()
    found = Ownership.of(owned.directory)
    assert found.number is None
    assert found.processes() == {process.pid}


def test_postgresql_is_known_by_its_program_and_place_because_it_overwrites_its_environment(
        owned: Ownership, tmp_path: Path, start: Start) -> None:
    program = tmp_path / "bin" / "postgres"
    program.parent.mkdir()
    shutil.copy("/bin/sleep", program)
    server = start(owned.directory, {}, [str(program), "600"])
    start(tmp_path, {}, [str(program), "600"])  # somebody's own
    assert owned.processes() == {server.pid}


def test_what_a_process_has_made_in_the_kernel_goes_with_it_though_no_file_tells_of_it(
        owned: Ownership, start: Start) -> None:
    make = "import ctypes, time; ctypes.CDLL(None).shmget(0, 64, 0o1600); time.sleep(600)"
    server = start(owned.directory, owned.mark, [sys.executable, "-c", make])
    (segment,) = until(lambda: made_by({server.pid}, {os.geteuid()}))
    shutil.rmtree(owned.directory)
    owned.kill()
    assert segment.identifier not in segments()


def test_a_process_that_has_taken_over_an_id_is_not_signalled(start: Start, tmp_path: Path) -> None:
    from harness.environments.embedded.ownership import _signal

    stranger = start(tmp_path, {})
    begun = process_start(stranger.pid)
    assert begun is not None
    _signal({stranger.pid: begun - 1}, signal.SIGKILL)
    assert process_start(stranger.pid) == begun
    _signal({stranger.pid: begun}, signal.SIGKILL)
    assert stranger.wait(5) == -signal.SIGKILL


def test_nobody_takes_what_cannot_be_looked_at_for_gone(owned: Ownership, start: Start, tmp_path: Path) -> None:
    process = start(tmp_path, owned.mark)
    until(lambda: owned.processes())
    with without_descriptors():
        for look in (lambda: process_start(process.pid), lambda: mark_of(process.pid), owned.processes, owned.kill):
            with pytest.raises(OSError, match="Too many open files"):
                look()
    with without_descriptors(spare=1), pytest.raises(OSError, match="Too many open files"):
        owned.kill()
    assert process.poll() is None
    with without_descriptors(spare=2):
        assert owned.kill() == 1


HOLDER = """
import sys
from pathlib import Path
from harness.environments.embedded.ownership import Lock
Lock(Path(sys.argv[1])).make()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that has made the environment."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(directory)], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.communicate()


def zombie(process: subprocess.Popen[bytes]) -> None:
    """Kill a process that nobody waits for."""
    process.send_signal(signal.SIGKILL)
    until(lambda: Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z")


def test_an_environment_is_held_as_long_as_its_harness_lives(
        directory: Path, holder: subprocess.Popen[bytes]) -> None:
    assert held(directory)
    assert not Lock(directory).take()
    zombie(holder)
    assert not held(directory)
    lock = Lock(directory)
    assert lock.take()
    assert held(directory)
    lock.remove()
    assert environments() == [directory]
    assert not held(directory)


def test_the_lock_holds_though_the_directory_is_deleted(directory: Path, holder: subprocess.Popen[bytes]) -> None:
    shutil.rmtree(directory)
    assert held(directory)
    assert environments() == [directory]


def test_an_owner_whose_lock_was_deleted_is_told_by_its_id_and_its_start(
        directory: Path, start: Start, tmp_path: Path) -> None:
    owner = start(tmp_path, {})
    begun = process_start(owner.pid)
    assert begun is not None
    EnvironmentState("outage-1", owner=owner.pid, owner_started=begun).save(directory)
    assert held(directory)
    EnvironmentState("outage-1", owner=owner.pid, owner_started=begun - 1).save(directory)
    assert not held(directory)
    EnvironmentState("outage-1", owner=owner.pid, owner_started=begun).save(directory)
    zombie(owner)
    assert not held(directory)


def test_a_lock_that_went_with_its_environment_while_somebody_waited_is_not_taken_for_it(directory: Path) -> None:
    first, path = Lock(directory), directory.parent.parent / "locks" / "outage-1"
    first.make()
    waiting = os.open(path, os.O_RDWR)
    first.remove()
    fcntl.flock(waiting, fcntl.LOCK_EX)  # what the waiting one gets is of no use to anybody
    second = Lock(directory)
    assert second.take()
    assert path.exists()
    os.close(waiting)
    second.remove()


def test_nobody_makes_an_environment_that_is_there(owned: Ownership) -> None:
    with pytest.raises(FileExistsError):
        Lock(owned.directory).make()


def test_environments_are_listed_by_all_that_there_is_of_them(
        directory: Path, tmp_path: Path, start: Start) -> None:
    root = directory.parent.parent
    (root / "locks" / "lock-only").touch()
    start(tmp_path, {MARK: f"{root.resolve()}/envs/processes-only:1"})
    start(tmp_path, {MARK: "/elsewhere/envs/of-another-home:1"})
    assert [found.name for found in environments()] == ["lock-only", "outage-1", "processes-only"]


@pytest.mark.parametrize("name", ["..", ".", "../../victim", "outage-1/sites"])
def test_a_process_cannot_have_anything_but_an_environment_removed_by_its_mark(
        directory: Path, tmp_path: Path, start: Start, name: str) -> None:
    process = start(tmp_path, {MARK: f"{directory.parent.resolve()}/{name}:1"})
    until(lambda: mark_of(process.pid))
    assert environments() == [directory]


def test_no_environment_is_looked_for_where_somebody_else_could_have_put_it(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "dr-drill").symlink_to("theirs")
    monkeypatch.setenv("DR_DRILL_HOME", str(tmp_path))
    for act in (environments, make_root, Lock(tmp_path / "dr-drill" / "envs" / "x").make):
        with pytest.raises(UntrustedPlace, match="is a symbolic link"):
            act()
    assert list((tmp_path / "theirs").iterdir()) == []


def test_killing_takes_no_longer_than_dying_does(owned: Ownership, start: Start) -> None:
    for _ in range(3):
        start(owned.directory, owned.mark)
    began = time.monotonic()
    assert owned.kill() == 3
    assert time.monotonic() - began < 2
