"""The ``drill`` command as its user meets it."""

import itertools
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from harness.cli import interrupts
from harness.cli.interrupts import NUMBERS
from harness.cli.main import COMMANDS, main
from harness.record.events import RunStarted
from harness.record.journal import Journal

ROOT = Path(__file__).parents[3]


def drill(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


LOOKING = {"reports.writer.write": ["report", "."], "harness.cli.validate.load": ["validate", "x.yaml"],
           "harness.cli.plan.describe": ["plan", str(ROOT / "drills/healthy.yaml")],
           "harness.cli.list.library_table": ["list"], "harness.cli.doctor.doctor": ["doctor"],
           "harness.cli.status.status": ["status"], "harness.cli.worker.work": ["worker", "x"]}
"""Commands that start no drill, each with a function that it calls."""
every_command = pytest.mark.parametrize(("called", "command"), LOOKING.items(), ids=lambda each: str(each).split(".")[-1])


@every_command
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_command_that_is_stopped_by_a_signal_says_so_and_ends_with_130(
        monkeypatch: pytest.MonkeyPatch, called: str, command: list[str], number: signal.Signals) -> None:
    cleaned_up = []

    def work(*_: object) -> None:
        try:
            os.kill(os.getpid(), number)
        finally:
            cleaned_up.append(called)

    before = signal.signal(number, lambda *_: None)  # as if nobody had asked for it
    monkeypatch.setattr(called, work)
    result = drill(*command)
    signal.signal(number, before)
    assert (result.exit_code, result.output) == (130, f"received {number.name}\n")
    assert cleaned_up == [called]


@every_command
def test_a_bug_is_one_line_and_no_verdict(
        monkeypatch: pytest.MonkeyPatch, called: str, command: list[str]) -> None:
    monkeypatch.setattr(called, lambda *_: 1 / 0)
    result = drill(*command)
    assert result.exit_code == 4
    assert len(result.output.splitlines()) == 1
    assert "ZeroDivisionError" in result.output


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"], ["list"]])
def test_a_full_disk_keeps_no_command_from_its_end(arguments: list[str]) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-m", "harness.cli.main", *arguments], cwd=ROOT, stdout=full,
                              stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("umask", [0o000, 0o777])
def test_what_a_command_makes_is_its_users_alone_and_its_users_to_read(
        monkeypatch: pytest.MonkeyPatch, tmp_path: Path, umask: int) -> None:
    monkeypatch.setattr("harness.cli.doctor.doctor", lambda *_: ((tmp_path / "made").mkdir() is None, "made"))
    before = os.umask(umask)
    try:
        drill("doctor")
        assert os.umask(umask) == umask
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "made").stat().st_mode) == 0o700


def test_an_orchestrator_is_served_from_no_module_of_where_somebody_happens_to_stand(tmp_path: Path) -> None:
    for name in ("orchestrator", "structlog"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit(77)")
    (tmp_path / "config.json").write_text("{")
    program = Path(sys.executable).with_name("drill")
    done = subprocess.run([program, "orchestrator", "serve", "config.json"], cwd=tmp_path, capture_output=True,
                          text=True, check=False)
    assert (done.returncode, done.stderr[:27]) == (2, "config.json is not JSON: Ex")


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
    assert "largest fleet this machine could hold" in result.output


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


def test_an_output_that_others_can_write_to_is_refused_and_nothing_is_started(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    result = drill("run", str(ROOT / "drills/healthy.yaml"), "--output", str(tmp_path))
    assert result.exit_code == 2
    assert "choose another --output" in " ".join(result.output.split())
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_holds_a_run_already_is_not_overwritten(tmp_path: Path) -> None:
    Journal(tmp_path).append(RunStarted(run_id="x"))
    before = (tmp_path / "journal.jsonl").read_text()
    result = drill("run", str(ROOT / "drills/healthy.yaml"), "--output", str(tmp_path))
    assert result.exit_code == 2
    assert "holds a run already" in " ".join(result.output.split())
    assert (tmp_path / "journal.jsonl").read_text() == before


@pytest.mark.parametrize("module", ["airflow", "kubernetes", "boto3", "moto", "matplotlib", "rich", "pydantic"])
def test_help_imports_nothing_heavy(module: str) -> None:
    code = ("import sys\nfrom harness.cli.main import main\n"
            "try: main(['--help'])\nexcept SystemExit as end: assert not end.code\n"
            f"print({module!r} in sys.modules)")
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "Commands:" in done.stdout
    assert done.stdout.endswith("False\n")


@pytest.mark.parametrize("module", ["airflow", "kubernetes", "boto3", "moto", "matplotlib", "rich"])
def test_a_drill_file_is_checked_without_anything_heavy(module: str) -> None:
    code = ("import sys\nfrom harness.cli.main import main\n"
            f"try: main(['validate', {str(ROOT / 'drills/manual-drift.yaml')!r}])\n"
            "except SystemExit as end: assert not end.code\n"
            f"print({module!r} in sys.modules)")
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.endswith("False\n")


def test_the_list_of_commands_says_what_each_says_of_itself() -> None:
    context = click.Context(main)
    for name, said in COMMANDS.items():
        command = main.get_command(context, name)
        assert command is not None
        assert (command.name, command.get_short_help_str(200)) == (name, said)


def test_an_unknown_command_is_bad_usage() -> None:
    assert drill("no-such-command").exit_code == 2


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
    sent = []

    def over() -> None:
        if not sent:
            sent.append(signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)
        interrupts.over()

    monkeypatch.setattr("harness.cli.main.over", over)
    assert CliRunner().invoke(main, ["status"]).exit_code == 130


def test_after_a_signal_that_came_before_its_work_no_other_changes_how_a_command_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first strikes while the handlers are being set; a second one had ended the process by its number."""
    monkeypatch.setenv("DR_DRILL_HOME", str(tmp_path))
    really = interrupts.Interrupts.__enter__

    def enter(self: interrupts.Interrupts) -> interrupts.Interrupts:
        really(self)
        os.kill(os.getpid(), signal.SIGTERM)
        return self

    monkeypatch.setattr(interrupts.Interrupts, "__enter__", enter)
    assert CliRunner().invoke(main, ["status"]).exit_code == 130
    assert {signal.getsignal(number) for number in NUMBERS} == {signal.SIG_IGN}
