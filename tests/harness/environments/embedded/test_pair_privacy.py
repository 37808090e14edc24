"""What another user of the machine can see of an environment: that there may be some."""

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.environments.base import EnvironmentFailed
from harness.environments.embedded import credentials
from harness.environments.embedded.addresses import Block
from harness.environments.embedded.environment import EmbeddedPair
from harness.environments.embedded.holds import Holds
from harness.environments.embedded.layout import PairSettings, environments_root
from harness.environments.embedded.ownership import environments, held
from harness.environments.embedded.postgres import PostgresMember
from harness.environments.embedded.user import FIRST, unprivileged_user
from tests.harness.environments.embedded.conftest import STRANGER, as_user


def own(block: Block) -> int:
    """The user (or group) of an environment that has a block of addresses."""
    return FIRST + block.number


@pytest.fixture(params=["as we do", "as its own user"])
def pair(request: pytest.FixtureRequest, block: Block, tmp_path_factory: pytest.TempPathFactory,
         monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddedPair]:
    """A pair with all that is made before its first process, of a caller whose own files everybody may change.

    Its processes are to run as we do, or as a user of its own, which is possible for root alone.
    """
    user = own(block) if request.param == "as its own user" else None
    if user is not None and os.geteuid() != 0:
        pytest.skip("only root can give files away")
    home = tmp_path_factory.mktemp("home")
    for above in (home, *home.parents[:3]):  # pytest's own directories let nobody through
        if above.owner() == home.owner() and "pytest" in str(above):
            above.chmod(0o711)
    monkeypatch.setenv("DR_DRILL_HOME", str(home))
    before = os.umask(0)
    made = EmbeddedPair("outage-1", PairSettings())
    made._ownership, made._block, made._holds = made._lock.make(user), block, Holds(block, user)
    made._make_directories(own(block) if os.geteuid() == 0 else None)
    made._tokens = credentials.make_secrets(made.directory, made.block)
    made._save_state("starting")
    credentials.make_certificates(made.directory, made.block, made._tokens, user)
    for role in ("primary", "secondary", "us-east-1", "image"):
        made._site_config(role).save(made._site_directory(role) / "site.json", user)
    yield made
    os.umask(before)
    made.down()


def everything(directory: Path) -> Iterator[Path]:
    yield directory
    yield from directory.rglob("*")


def test_nothing_of_an_environment_is_anybody_elses(pair: EmbeddedPair) -> None:
    public = {"ca.crt"}
    for path in everything(pair.directory):
        mode = stat.S_IMODE(path.lstat().st_mode)
        assert mode & 0o007 == 0 or path.name in public, f"{path} {mode:o}"
        assert not path.is_file() or mode == 0o600 or path.name in public, f"{path} {mode:o}"


@pytest.mark.parametrize("stranger", [STRANGER, 65534])
def test_another_user_can_neither_list_nor_read_nor_reach_anything(pair: EmbeddedPair, stranger: int) -> None:
    root = environments_root()
    places = [str(path) for path in everything(root)]

    def reached() -> list[str]:
        return [path for path in places if os.access(path, os.R_OK) or os.access(path, os.W_OK)]

    assert as_user(stranger, reached) == []
    assert as_user(stranger, lambda: os.listdir(pair.directory)) == "PermissionError"
    assert as_user(stranger, lambda: (pair.directory / "ca.crt").read_text()) == "PermissionError"


def test_a_user_of_its_own_reads_what_its_processes_need_and_nothing_of_the_harness(pair: EmbeddedPair) -> None:
    if (user := pair.ownership.user) is None:
        pytest.skip("its processes run as we do")
    places = [str(path) for path in everything(pair.directory) if path.is_file()]

    def opened() -> list[str]:
        return [path for path in places if os.access(path, os.R_OK)]

    def written() -> list[str]:
        return [place for place in ("", "sites", "logs", "sites/primary") if os.access(pair.directory / place, os.W_OK)]

    read = {str(Path(path).relative_to(pair.directory)) for path in as_user(user, opened)}
    assert read == {f"sites/{name}" for name in (
        "primary/site.json", "primary/kube.key", "primary/kube.crt", "primary/ca.crt", "image/site.json",
        "secondary/site.json", "secondary/kube.key", "secondary/kube.crt", "secondary/ca.crt", "us-east-1/site.json",
        "orchestrator/kubeconfig-primary", "orchestrator/kubeconfig-secondary")} | {"ca.crt"}
    assert as_user(user, written) == ["sites/primary"]


def test_the_image_knows_no_password_of_a_regions_database(pair: EmbeddedPair) -> None:
    text = (pair.directory / "sites" / "image" / "site.json").read_text()
    assert pair._tokens["postgres_password"] not in text
    assert pair._tokens["warm_password"] in text


def test_postgresql_reaches_its_own_directory_and_no_other(pair: EmbeddedPair) -> None:
    site = pair.directory / "sites" / "primary"
    if (user := unprivileged_user()) is None:
        pytest.skip("only root runs PostgreSQL as another user")
    if pair.ownership.user is not None:
        pytest.skip("nothing of it runs as root")
    member = PostgresMember(site / "postgres", host="127.9.1.5", port=5432, password="p",
                            replication_password="r", source_host="127.0.0.1")
    member._prepare_directory()
    group = own(pair.block)
    assert member._as_user() == {"user": user, "group": group, "extra_groups": []}

    def write() -> str:
        (site / "postgres" / "there").write_text("t")
        return "written"

    assert as_user(user, write, group) == "written"
    assert as_user(user, write) == "PermissionError"  # somebody else's program that has the same user
    for private in (site / "site.json", pair.directory / "secrets.json"):
        assert as_user(user, private.read_text, group) == "PermissionError"  # type: ignore[arg-type]


def test_a_file_of_postgresqls_is_not_written_through_what_it_could_have_put_there(
        pair: EmbeddedPair, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "precious").chmod(0o600)
    member = PostgresMember(pair.directory / "sites" / "primary" / "postgres", host="127.9.1.5", port=5432,
                            password="p", replication_password="r", source_host="127.0.0.1")
    member._prepare_directory()
    member.data.mkdir()
    (member.data / "guard.conf").symlink_to(tmp_path / "precious")
    (member.data / "mode.conf").hardlink_to(tmp_path / "precious")
    member._configure()
    assert (tmp_path / "precious").read_text() == "precious"
    assert (tmp_path / "precious").stat().st_uid == os.geteuid()
    assert not (member.data / "guard.conf").is_symlink()


def test_an_environment_is_held_from_before_it_is_there_until_it_is_gone(pair: EmbeddedPair) -> None:
    assert held(pair.directory)
    assert environments() == [pair.directory]
    pair.down()
    assert not held(pair.directory)
    assert environments() == []
    pair.down()  # and again


def test_an_environment_that_never_was_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DR_DRILL_HOME", str(tmp_path))
    EmbeddedPair("outage-2", PairSettings()).down()
    assert list(tmp_path.iterdir()) == []


def test_bringing_up_where_somebody_else_was_first_is_one_line(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DR_DRILL_HOME", str(tmp_path))
    (tmp_path / "theirs").mkdir()
    (tmp_path / "dr-drill").symlink_to("theirs")
    with pytest.raises(EnvironmentFailed, match="is a symbolic link") as failed:
        EmbeddedPair("outage-2", PairSettings()).up()
    assert "\n" not in str(failed.value)
    assert list((tmp_path / "theirs").iterdir()) == []


def test_a_place_whose_path_is_too_long_for_a_socket_is_said(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DR_DRILL_HOME", str(tmp_path / ("long" * 20)))
    pair = EmbeddedPair("outage-2", PairSettings())
    with pytest.raises(EnvironmentFailed, match="set DR_DRILL_HOME to a shorter one") as failed:
        pair.up()
    assert "\n" not in str(failed.value)
    pair.down()
    assert environments() == []


def test_a_place_is_the_same_from_wherever_it_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DR_DRILL_HOME", "here")
    pair = EmbeddedPair("outage-2", PairSettings())
    assert pair.directory == tmp_path / "here" / "dr-drill" / "envs" / "outage-2"


def test_what_is_written_of_an_environment_is_no_secret(pair: EmbeddedPair) -> None:
    said = json.dumps(json.loads((pair.directory / "environment.json").read_text()))
    assert [name for name, value in pair._tokens.items() if value in said] == []
