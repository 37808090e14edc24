"""How the processes of an environment are started: with what they need, and nothing else."""

import json
import os
import stat
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from harness.environments.base import EnvironmentFailed
from harness.environments.embedded.ownership import Ownership
from harness.environments.embedded.processes import (
    NICENESS,
    SERVERS_SCORE,
    Component,
    environment_for,
    offer_to_kernel,
    start,
)
from tests.harness.environments.embedded.conftest import STRANGER

TELL = "import json, os; open('written', 'w').close(); print(json.dumps([dict(os.environ), os.getcwd()]))"
NOT_FOR_THEM = {
    "HTTP_PROXY": "http://proxy:3128", "https_proxy": "http://proxy:3128", "AWS_PROFILE": "production",
    "AWS_SECRET_ACCESS_KEY": "s", "AIRFLOW__CORE__FERNET_KEY": "f", "AIRFLOW_HOME": "/srv/airflow",
    "KUBECONFIG": "/root/.kube/config", "PGPASSWORD": "p", "GITHUB_TOKEN": "g", "LD_PRELOAD": "",
    "GOOGLE_APPLICATION_CREDENTIALS": "/g", "SSH_AUTH_SOCK": "/s", "HOME": "/root", "TMPDIR": "/tmp/of-the-shell"}


class Place:
    """A site in which a process is started that says what it was given."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.log = directory / "sites" / "a", directory / "logs" / "a.log"
        self.directory.mkdir(parents=True)
        self.ownership = Ownership.new(directory)

    def run(self, argv: Sequence[str] = (sys.executable, "-c", TELL)) -> Component:
        component = start("a", list(argv), self.directory, self.log, environment_for(self.directory, self.ownership))
        component.process.wait(20)
        return component


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    before = os.umask(0)
    yield Place(tmp_path)
    os.umask(before)


def test_a_process_has_nothing_of_the_callers_shell_that_it_does_not_need(
        place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**NOT_FOR_THEM, "PYTHONPATH": "/checkout", "TZ": "UTC",
                        "COVERAGE_PROCESS_START": "/c"}.items():
        monkeypatch.setenv(name, value)
    place.run()
    given, here = json.loads(place.log.read_text())
    assert {name: given[name] for name in NOT_FOR_THEM if name in given} == {"HOME": here, "TMPDIR": here}
    assert (given["PATH"], given["PYTHONPATH"]) == (os.environ["PATH"], "/checkout")
    assert given.items() >= {"TZ": "UTC", "COVERAGE_PROCESS_START": "/c", **place.ownership.mark}.items()


def test_a_process_has_a_users_name_whether_there_is_an_account_or_not(
        place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("USER", "LOGNAME"):
        monkeypatch.setenv(variable, "whoever-started-it")
    place.run([sys.executable, "-c", "import getpass, os; print(getpass.getuser(), os.path.expanduser('~'))"])
    assert place.log.read_text() == f"dr-drill {place.directory}\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a process of another user")
def test_the_environments_own_user_has_no_capability_and_no_other_group_and_starts_again_as_the_same(
        tmp_path: Path) -> None:
    place = Place(tmp_path)
    argv = ["/bin/grep", "-E", "^(Uid|Gid|Groups|CapEff|CapPrm):", "/proc/self/status"]
    first = start("a", argv, place.directory, place.log, {}, (), STRANGER)
    first.process.wait(20)
    first.again().process.wait(20)
    said = [line.split() for line in place.log.read_text().splitlines()]
    assert said[:5] == said[5:] == [
        ["Uid:", *4 * [str(STRANGER)]], ["Gid:", *4 * [str(STRANGER)]], ["Groups:"], ["CapPrm:", 16 * "0"],
        ["CapEff:", 16 * "0"]]
    assert place.log.stat().st_uid == 0
    waiting = start("a", ["/bin/sleep", "60"], place.directory, place.log, {}, (), STRANGER)
    told = Path(f"/proc/{waiting.process.pid}/oom_score_adj")
    assert (int(told.read_text()), os.getpriority(os.PRIO_PROCESS, waiting.process.pid)) == (SERVERS_SCORE, NICENESS)
    waiting.process.kill()
    waiting.process.wait()


def test_what_a_process_writes_is_private_whatever_the_callers_umask_is(place: Place) -> None:
    place.run()
    for path in (place.directory / "written", place.log):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_log_is_not_written_through_a_link(place: Place, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    place.log.parent.mkdir()
    place.log.symlink_to(tmp_path / "precious")
    with pytest.raises(EnvironmentFailed, match="could not be started"):
        place.run()
    assert (tmp_path / "precious").read_text() == "precious"


def test_when_memory_runs_out_the_kernel_takes_ours_first(place: Place) -> None:
    sleeper = start("a", ["/bin/sleep", "60"], place.directory, place.log, {})
    told = Path(f"/proc/{sleeper.process.pid}/oom_score_adj")
    assert int(told.read_text()) >= SERVERS_SCORE
    offer_to_kernel(sleeper.process.pid, 900)
    assert int(told.read_text()) == 900
    offer_to_kernel(sleeper.process.pid, SERVERS_SCORE)  # not spared again
    assert int(told.read_text()) == 900
    sleeper.process.kill()
    sleeper.process.wait()
    offer_to_kernel(sleeper.process.pid, 900)  # it is gone, and nobody fails for that


def test_a_component_that_is_started_again_is_the_same(place: Place) -> None:
    first = place.run()
    first.again().process.wait(20)
    before, after = (json.loads(line)[0] for line in place.log.read_text().splitlines())
    assert before == after
