"""What is printed of other people's text."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rich.table import Table
from rich.text import Text

from harness.cli.main import main
from harness.cli.progress import LiveProgress, PlainProgress
from harness.cli.run import _summary
from harness.cli.terminal import Terminal
from harness.common.quoting import visible
from harness.measures.interval import FAIL
from tests.harness.measures.runs import outage

EVIL = "[red]x[/red] :smile: \x1b]0;title\x07\x1b[2J\r\x9b31m\u202eabc\x00"
SHOWN = "[red]x[/red] :smile: ␛]0;title␇␛[2J␍�31m�abc␀"


@pytest.mark.parametrize(("text", "shown"), [
    ("plain, Grüße, 世界 \U0001f600\n\tend", "plain, Grüße, 世界 \U0001f600\n\tend"), ("a\u00a0b", "a\u00a0b"), (EVIL, SHOWN),
    ("\u2066a\u2069\u200b\ufeff\u2028", "�a����"), ("\ud800", "�"), ("\x7f", "␡"), ("", "")])
def test_a_text_is_shown_as_text_and_keeps_its_length(text: str, shown: str) -> None:
    assert visible(text) == shown
    assert len(visible(text)) == len(text)
    assert visible(shown) == shown


def terminal(**options: Any) -> Terminal:
    return Terminal(file=io.StringIO(), width=200, **options)


def printed(console: Terminal) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_strings_tables_and_styled_text_reach_the_terminal_as_text() -> None:
    console = terminal()
    table = Table(EVIL)
    table.add_row(EVIL)
    for what in (EVIL, table, Text(EVIL, style="red")):
        console.print(what)
    # Of a text with a style rich leaves out the bell and the carriage return by itself.
    assert (printed(console).count(SHOWN), printed(console).count(SHOWN.replace("␇", "").replace("␍", ""))) == (3, 1)
    assert not set(printed(console)) & set("\x1b\x07\r\x9b\u202e\x00")


def test_what_we_colour_is_still_coloured() -> None:
    console = terminal(force_terminal=True, color_system="standard")
    console.print(Text("red", style="red"), Text("\x1b[32mnot green"))
    assert printed(console) == "\x1b[31mred\x1b[0m ␛[32mnot green\n"


@pytest.mark.parametrize("live", [False, True])
def test_a_progress_shows_text_as_text_and_no_secret(live: bool) -> None:
    console = terminal(force_terminal=live)
    made = LiveProgress(console, EVIL, hide) if live else PlainProgress(console, hide)
    made.show({"phase": EVIL, "states": {EVIL: 1}})
    made.say(f"{EVIL} hunter22")
    made.close()
    assert f"{SHOWN} ***" in printed(console)
    assert not set(printed(console)) & set("\x07\x9b\u202e\x00")
    assert "\x1b]0" not in printed(console)
    assert "hunter22" not in printed(console)


def hide(text: str) -> str:
    return text.replace("hunter22", "***")


def test_no_message_can_look_like_the_verdict() -> None:
    console = terminal()
    result = outage().result().model_copy(update={"verdict": FAIL, "reasons": [f"{EVIL}\nPASS   clean-up done"]})
    _summary(console, result, Path("out"))
    assert f"- {SHOWN}\n  PASS   clean-up done" in printed(console)
    assert [line for line in printed(console).splitlines() if line.startswith(("PASS", "FAIL "))] == ["FAIL   clean-up done"]


HEAD = "apiVersion: dr-drill/v1\nkind: Drill\nphases: [{load: {}}]\n"


def said_of(file: Path, command: str, text: str) -> str:
    file.write_text(text)
    return CliRunner().invoke(main, [command, str(file)], color=True).output


def test_brackets_in_a_title_are_brackets(tmp_path: Path) -> None:
    said = said_of(tmp_path / "drill.yaml", "plan", HEAD + "metadata: {name: x, title: '[red]x[/red] :smile: x'}\n")
    assert said.startswith("x: [red]x[/red] :smile: x\n")


@pytest.mark.parametrize("command", ["plan", "validate", "run", "up"])
@pytest.mark.parametrize("text", [
    r'metadata: {name: x, title: "\e]0;title\a\u202E"}', r'metadata: {name: "\e[2J"}', r'"\e]0;title\a": 1',
    r'metadata: {name: x, proves: ["\x9b2J"]}', "# \x9b\u202e"])
def test_no_drill_file_can_steer_the_terminal(tmp_path: Path, command: str, text: str) -> None:
    said = said_of(tmp_path / "drill.yaml", command, HEAD + text + "\n")
    assert "drill.yaml:" in said
    assert not set(said) & set("\x1b\x07\u202e\x9b")


def test_what_a_report_says_reaches_the_terminal_as_text(tmp_path: Path) -> None:
    story = outage()
    story.event(150, "failure", reason=f"the orchestrator said: {EVIL}\nPASS  of its own")
    run = story.save(tmp_path / "run")
    said = CliRunner().invoke(main, ["report", str(run)], color=True).output
    assert f"- phase: the orchestrator said: {SHOWN}\n  PASS  of its own" in said
    assert not set(said) & set("\x1b\x07\u202e\x00")
