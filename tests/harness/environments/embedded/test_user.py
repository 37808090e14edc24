"""Who the processes of an environment run as is decided by what is so, and said when it is root."""

import os
import pwd
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.environments.embedded.processes import inherited
from harness.environments.embedded.user import (
    BLOCKS,
    FIRST,
    LAST,
    NoFreeUser,
    RunsAs,
    choose,
    closed,
    decide,
    has_account,
    ids_in_use,
    mapped,
    options,
    refused,
    users_of,
    users_of_any,
)


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that everybody may pass through to (pytest's own ones are closed)."""
    with tempfile.TemporaryDirectory(prefix="drill-user-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_each_block_has_ids_that_no_other_block_takes() -> None:
    every = [choose(block, lambda _: False) for block in range(1, 255)]
    assert len(set(every)) == 254
    second = choose(7, lambda number: number == FIRST + 7)
    assert second == FIRST + 7 + BLOCKS
    assert (second - FIRST) % BLOCKS == 7


def test_an_id_that_is_somebodys_is_not_taken_and_when_all_are_it_is_said() -> None:
    free = FIRST + 3 + 5 * BLOCKS
    assert choose(3, lambda number: number != free) == free
    with pytest.raises(NoFreeUser, match=f"no user id from {FIRST} to {LAST} is free .*: run drill as an ordinary user"):
        choose(3, lambda _: True)


def test_an_id_is_in_use_when_a_process_has_it_as_a_user_or_a_group_in_any_way(tmp_path: Path) -> None:
    for pid, text in {"12": "Name:\tx\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nGroups:\t9 10 \n", "13": "Groups:\t\n"}.items():
        (tmp_path / pid).mkdir()
        (tmp_path / pid / "status").write_text(text)
    (tmp_path / "14").mkdir()  # it has just ended
    assert ids_in_use(tmp_path) == set(range(1, 11))
    assert {os.geteuid(), os.getegid()} <= ids_in_use()


def test_an_account_is_a_user_or_a_group() -> None:
    assert has_account(pwd.getpwnam("nobody").pw_uid)
    assert not has_account(LAST)


@pytest.mark.parametrize(("maps", "there"), [
    ("         0          0 4294967295\n", True), ("0 100000 65536", True), ("0 1000 1\n1 100000 60000\n", False),
    ("0 1000 1\n60000 200000 10000\n", True), ("", False)])
def test_an_id_exists_where_the_user_namespace_has_it(maps: str, there: bool) -> None:
    assert mapped(FIRST, maps) is there


def test_what_everybody_may_read_is_not_closed(place: Path) -> None:
    (place / "lib").mkdir()
    (place / "lib" / "module.py").touch()
    (place / "lib" / "module.py").chmod(0o644)
    (place / "lib").chmod(0o755)
    assert closed([place / "lib", place / "lib" / "module.py", place / "not-there.zip"]) is None


def test_the_first_thing_that_is_in_the_way_is_named(place: Path) -> None:
    (place / "home" / "venv" / "bin").mkdir(parents=True)
    (place / "home").chmod(0o711)
    (place / "home" / "venv").chmod(0o750)
    assert closed([place / "home" / "venv" / "bin"]) == place / "home" / "venv"
    (place / "home" / "venv").chmod(0o755)
    (place / "home" / "venv" / "bin").chmod(0o711)
    assert closed([place / "home" / "venv" / "bin"]) == place / "home" / "venv" / "bin"
    assert closed([place / "home" / "venv" / "bin"], read=False) is None
    secret = place / "file"
    secret.touch()
    secret.chmod(0o640)
    assert closed([secret]) == secret


def test_a_link_leads_to_what_is_in_the_way(place: Path) -> None:
    (place / "root" / "python").mkdir(parents=True)
    (place / "root").chmod(0o700)
    (place / "link").symlink_to(place / "root" / "python")
    assert closed([place / "link"]) == place / "root"


def test_an_ordinary_users_processes_run_as_that_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert decide(1, tmp_path, {}) == RunsAs(None, None)
    assert users_of(None) == users_of_any() == {1000}
    assert options(None) == {}
    assert str(RunsAs(None, None)) == "the user who ran it"


def test_roots_processes_have_a_user_of_the_environments_own_or_it_says_why_not(
        monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr("harness.environments.embedded.user.refused", lambda *_: "")
    monkeypatch.setattr("harness.environments.embedded.user.needed", lambda: [place])
    decided = decide(1, place / "dr-drill", {})
    assert decided.user == decided.own is not None
    assert str(decided) == f"user {decided.user}, who has no account and no capability"
    place.chmod(0o700)
    assert decide(1, place / "dr-drill", {}).why_not == (
        f"{place} is closed to other users: set DR_DRILL_HOME to a directory outside it")
    place.chmod(0o711)
    decided = decide(1, place / "dr-drill", {})
    assert (decided.user, str(decided)) == (None, "root, PostgreSQL as nobody")
    assert decided.own is not None, "PostgreSQL's way is open to a group of the environment's own"
    assert decided.why_not.startswith(f"{place} is closed to other users: use a Python and a copy of dr-drill outside it")
    assert "\n" not in decided.why_not


def test_an_id_of_an_environment_that_was_left_behind_is_not_taken_again(
        monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a directory away")
    left = tmp_path / "envs" / "left"
    left.mkdir(parents=True)
    before = decide(9, tmp_path, {}).own
    assert before is not None
    os.chown(left, -1, before)
    assert decide(9, tmp_path, {}).own not in (before, None)


def test_a_user_is_seen_to_be_able_to_run_what_it_needs(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can run something as another user")
    closed_interpreter = place / "python"
    closed_interpreter.write_text("#!/bin/sh\n")
    closed_interpreter.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(closed_interpreter))
    assert refused(LAST, inherited()) == f"{closed_interpreter} cannot be run by another user (Permission denied)"
    closed_interpreter.write_text("#!/bin/sh\necho no module >&2\nexit 1\n")
    closed_interpreter.chmod(0o755)
    assert refused(LAST, inherited()) == "what it needs cannot be read (no module)"
    closed_interpreter.write_text(f'#!/bin/sh\ntest "$(id -u) $(id -g) $(id -G)" = "{LAST} {LAST} {LAST}"\n')
    assert refused(LAST, inherited()) == ""


def test_root_looks_among_its_own_the_unprivileged_and_the_environments_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    nobody = pwd.getpwnam("nobody").pw_uid
    assert users_of(FIRST + 4) == {0, nobody, FIRST + 4}
    assert users_of(None) == {0, nobody}
    assert users_of_any() == {0, nobody, *range(FIRST, LAST + 1)}
