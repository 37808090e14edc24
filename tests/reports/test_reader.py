"""A report that is read again: one of this version, whole, or a line that says why not."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from harness.measures.result import SCHEMA
from reports import reader


def refused(run: Path) -> str:
    with pytest.raises(ValueError) as caught:
        reader.read(run)
    message = str(caught.value)
    assert "\n" not in message
    assert str(run / reader.FILE) in message
    return message


@pytest.mark.parametrize("content", [
    b"", b"\x00" * 100, b"\xff\xfe{", b"{", b"[" * 100_000, b'{"a": ' * 50_000, b"9" * 5000, b'{"schema": NaN'],
    ids=lambda content: repr(content[:8]))
def test_what_is_no_report_is_said_in_a_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / reader.FILE).write_bytes(content)
    assert "is not a report" in refused(tmp_path) or "of schema" in refused(tmp_path)


@pytest.mark.parametrize("content", [[], 5, None, {}, {"schema": "dr-drill/result/v999"}, {"schema": []}])
def test_one_of_another_version_is(tmp_path: Path, content: object) -> None:
    (tmp_path / reader.FILE).write_text(json.dumps(content))
    assert "'drill report' makes it again" in refused(tmp_path)


def test_one_that_lacks_something_names_it(tmp_path: Path) -> None:
    (tmp_path / reader.FILE).write_text(json.dumps({"schema": SCHEMA, "verdict": "PASS"}))
    assert "is not a whole report (" in refused(tmp_path)


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / reader.FILE)
    assert "is a pipe" in refused(tmp_path)
