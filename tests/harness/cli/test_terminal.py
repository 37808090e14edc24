"""What is printed decides nothing."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from typing import Any

import pytest

from harness.cli.printing import Tolerant
from harness.cli.terminal import Terminal, say

PRINTING = """\
import sys, os
from harness.cli.printing import tolerate
from harness.cli.terminal import Terminal, say
import click
tolerate()
for _ in range(3):
    say(Terminal(), "[/red] a line")
    click.echo("another")
    print("a third")
open(sys.argv[1], "w").write("went on")
"""


def run(tmp_path: Any, **options: Any) -> tuple[int, str]:
    done = subprocess.run([sys.executable, "-c", PRINTING, str(tmp_path / "done")], check=False, text=True,
                          stderr=subprocess.PIPE, **options)
    assert (tmp_path / "done").read_text() == "went on"
    return done.returncode, done.stderr


def test_a_reader_that_has_gone_stops_nothing(tmp_path: Any) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    assert run(tmp_path, stdout=writing) == (0, "")
    os.close(writing)


def test_a_terminal_that_was_closed_stops_nothing(tmp_path: Any) -> None:
    main, terminal = os.openpty()
    os.close(main)
    assert run(tmp_path, stdout=terminal) == (0, "")
    os.close(terminal)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_a_full_disk_behind_the_output_stops_nothing(tmp_path: Any) -> None:
    with open("/dev/full", "w") as full:
        assert run(tmp_path, stdout=full) == (0, "")


def test_an_output_that_was_never_there_does_not_write_into_our_files(tmp_path: Any) -> None:
    assert run(tmp_path, preexec_fn=lambda: os.close(1)) == (0, "")
    assert (tmp_path / "done").read_text() == "went on"


def test_what_looks_like_markup_is_printed_as_it_is() -> None:
    sink = io.StringIO()
    say(Terminal(file=sink), "[/red] [bold]x[/] http://y 17")
    assert sink.getvalue() == "[/red] [bold]x[/] http://y 17\n"


def test_names_that_are_no_text_can_be_printed(tmp_path: Any) -> None:
    code = "from harness.cli.printing import tolerate; from harness.cli.terminal import *; tolerate(); say(Terminal(), 'a\\udcff')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "a�\n")


def test_what_can_be_written_is() -> None:
    sink = io.StringIO()
    stream = Tolerant(sink)
    assert stream.write("x") == 1
    stream.flush()
    assert sink.getvalue() == "x"
    assert not stream.isatty()
