"""``drill doctor`` says what keeps drills from running here, and what to do about it."""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.cli.main import main


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DR_DRILL_HOME", str(tmp_path))
    return tmp_path


def doctor() -> tuple[int, list[str]]:
    done = CliRunner().invoke(main, ["doctor"])
    return done.exit_code, done.output.splitlines()


def test_a_place_that_is_ours_alone_is_fine(home: Path) -> None:
    _, lines = doctor()
    assert f"ok    {home}/dr-drill is ours alone and can be written" in lines


def test_a_place_where_somebody_else_was_first_is_said_with_what_to_do(home: Path) -> None:
    (home / "theirs").mkdir()
    (home / "dr-drill").symlink_to("theirs")
    code, lines = doctor()
    at = lines.index(f"FAIL  {home}/dr-drill is a symbolic link, which dr-drill never makes there")
    assert lines[at + 1].strip() == "remove it, or set DR_DRILL_HOME"
    assert code == 4


def test_it_says_who_the_processes_run_as_when_root_starts_them(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() != 0:
        pytest.skip("an ordinary user is not told")
    monkeypatch.setattr("harness.environments.embedded.user.unreachable", lambda *_: "/root is closed: use another Python")
    assert ("ok    started by root: all but PostgreSQL runs as root too, because /root is closed: use another Python"
            in doctor()[1])
    monkeypatch.setattr("harness.environments.embedded.user.unreachable", lambda *_: "")
    assert "ok    started by root: all but the harness itself runs as a user that is nobody else's" in doctor()[1]
    monkeypatch.setattr("harness.environments.embedded.user.has_account", lambda _: True)
    code, lines = doctor()
    at = lines.index("FAIL  no user id from 61184 to 65519 is free on this machine")
    assert (code, lines[at + 1].strip()) == (4, "run drill as an ordinary user")


def test_a_place_that_others_can_write_to_is_said(home: Path) -> None:
    (home / "dr-drill").mkdir()
    (home / "dr-drill").chmod(0o777)
    code, lines = doctor()
    assert any(line.startswith(f"FAIL  {home}/dr-drill can be written by other users") for line in lines)
    assert code == 4


@pytest.mark.usefixtures("home")
def test_a_user_without_a_name_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pwd.getpwuid", lambda _: {}["no such user"])
    code, lines = doctor()
    at = lines.index(f"FAIL  user id {os.geteuid()} has no name, and PostgreSQL runs as none without")
    assert "/etc/passwd" in lines[at + 1]
    assert code == 4
