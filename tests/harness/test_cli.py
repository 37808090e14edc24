"""The ``drill`` command as its user meets it."""

import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from harness import interrupts
from harness.cli import main
from harness.interrupts import NUMBERS
from harness.record.events import RunStarted
from harness.record.journal import Journal

ROOT = Path(__file__).parents[2]


def drill(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def test_an_invalid_drill_is_refused_with_exit_2_and_nothing_is_started(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("apiVersion: dr-drill/v1\nkind: Drill\nmetadata: {name: x}\nphases: []\n")
    result = drill("run", str(bad), "--output", str(tmp_path / "out"))
    assert result.exit_code == 2
    assert f"{bad}:4:" in result.output
    assert "nothing was started" in result.output
    assert not (tmp_path / "out").exists()


def test_validate_lists_each_file() -> None:
    result = drill("validate", str(ROOT / "drills/healthy.yaml"), str(ROOT / "drills/nope.yaml"))
    assert result.exit_code == 2
    assert "healthy.yaml: valid" in result.output
    assert "nope.yaml:1:1: cannot be read" in result.output


def test_plan_says_what_would_happen_and_starts_nothing() -> None:
    result = drill("plan", str(ROOT / "drills/region-outage.yaml"))
    assert result.exit_code == 0
    assert "2. fault {'region-outage': {'region': 'primary'}}" in result.output
    assert "memory" in result.output


def test_list_names_every_drill_and_every_claim() -> None:
    assert "region-outage.yaml" in drill("list").output
    claims = drill("list", "--claims").output
    lines = claims.splitlines()
    assert "partition-one-way" in lines[[x[:5] for x in lines].index("XR-05") + 1]
    unproven = {x[:5] for x, by in itertools.pairwise(lines) if "no drill proves" in by}
    assert unproven == {"XR-18"} | {x[:5] for x in lines if x.startswith(("DP-", "RP-"))}


def test_a_directory_without_a_run_is_bad_usage(tmp_path: Path) -> None:
    result = drill("report", str(tmp_path))
    assert result.exit_code == 2
    assert "holds no run" in result.output


def test_a_report_of_a_tampered_journal_is_refused(tmp_path: Path) -> None:
    book = Journal(tmp_path)
    book.append(RunStarted(run_id="x"))
    book.close()
    book.path.write_text(book.path.read_text().replace('"x"', '"y"'))
    result = drill("report", str(tmp_path))
    assert result.exit_code == 4
    assert "cannot be trusted" in result.output


def test_a_run_whose_journal_is_gone_is_damaged_and_not_bad_usage(tmp_path: Path) -> None:
    (tmp_path / "evidence").mkdir()
    result = drill("report", str(tmp_path))
    assert result.exit_code == 4
    assert "has lost its journal" in result.output


def test_an_output_that_holds_a_run_already_is_not_overwritten(tmp_path: Path) -> None:
    Journal(tmp_path).append(RunStarted(run_id="x"))
    before = (tmp_path / "journal.jsonl").read_text()
    result = drill("run", str(ROOT / "drills/healthy.yaml"), "--output", str(tmp_path))
    assert result.exit_code == 2
    assert "holds a run already" in " ".join(result.output.split())
    assert (tmp_path / "journal.jsonl").read_text() == before


@pytest.mark.parametrize("module", ["airflow", "kubernetes", "boto3", "moto", "matplotlib", "rich"])
def test_help_imports_nothing_heavy(module: str) -> None:
    code = f"import sys, harness.cli; sys.exit({module!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_unknown_environment_cannot_be_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DR_DRILL_HOME", str(tmp_path))
    result = drill("down", "no-such-environment")
    assert result.exit_code == 2
    assert "there is no environment" in result.output


def test_no_signal_changes_the_exit_code_of_a_command_that_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python takes a while to end; what came in that while had ``-15`` put in the place of 130."""
    monkeypatch.setenv("DR_DRILL_HOME", str(tmp_path))
    assert CliRunner().invoke(main, ["status"]).exit_code == 0
    assert {signal.getsignal(number) for number in NUMBERS} == {signal.SIG_IGN}


def test_a_signal_while_a_command_is_being_done_with_is_130(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DR_DRILL_HOME", str(tmp_path))
    really, sent = interrupts.over, []

    def over() -> None:
        if not sent:
            sent.append(signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)
        really()

    monkeypatch.setattr(interrupts, "over", over)
    assert CliRunner().invoke(main, ["status"]).exit_code == 130
