"""The audit of the dependencies against a copy of the advisories."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.peers import audit

LOCK = """\
version = 1
[[package]]
name = "dr-drill"
version = "0.2.0"
source = { editable = "." }
[[package]]
name = "jinja2"
version = "3.1.5"
source = { registry = "https://pypi.org/simple" }
"""


def advisory(**more: Any) -> dict[str, Any]:
    part = {"package": {"ecosystem": "PyPI", "name": "Jinja2"}}
    part |= {key: more.pop(key) for key in ("versions", "ranges", "package") if key in more}
    return {"id": "GHSA-x", "aliases": ["CVE-2025-1"], "summary": "a sandbox breakout", "affected": [part],
            "modified": "2026-01-01T00:00:00Z", **more}


def events(*events: dict[str, str]) -> list[dict[str, Any]]:
    return [{"type": "ECOSYSTEM", "events": list(events)}]


@pytest.mark.parametrize(("given", "is_affected"), [
    (advisory(versions=["3.1.5"]), True), (advisory(versions=["3.1.4"]), False), (advisory(), False),
    (advisory(ranges=events({"introduced": "0"}, {"fixed": "3.1.6"})), True),
    (advisory(ranges=events({"introduced": "0"}, {"fixed": "3.1.5"})), False),
    (advisory(ranges=events({"introduced": "0"}, {"fixed": "3.0"}, {"introduced": "3.1"}, {"fixed": "3.1.10"})), True),
    (advisory(ranges=events({"introduced": "0"}, {"last_affected": "3.1.5"})), True),
    (advisory(ranges=events({"introduced": "0"}, {"last_affected": "3.1.4"})), False),
    (advisory(ranges=events({"introduced": "3.1.6"})), False),
    (advisory(ranges=events({"introduced": "0"}, {"fixed": "of their own"})), True),
    (advisory(ranges=[{"type": "GIT", "events": [{"introduced": "0"}]}]), False),
    (advisory(versions=["3.1.5"], withdrawn="2026-01-01T00:00:00Z"), False),
    (advisory(versions=["3.1.5"], package={"ecosystem": "npm", "name": "jinja2"}), False),
    (advisory(versions=["0.2.0"], package={"ecosystem": "PyPI", "name": "dr-drill"}), False)])
def test_a_locked_version_is_held_against_the_versions_and_ranges_of_an_advisory(
        tmp_path: Path, capsys: pytest.CaptureFixture[str], given: dict[str, Any], is_affected: bool) -> None:
    (tmp_path / "uv.lock").write_text(LOCK)
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as held:
        held.writestr("GHSA-x.json", json.dumps(given))
    assert audit.main([str(tmp_path / "all.zip"), "--lock", str(tmp_path / "uv.lock")]) == int(is_affected)
    said = capsys.readouterr().out
    assert "1 packages held against 1 advisories, the newest of 2026-01-01" in said
    assert ("jinja2 3.1.5: CVE-2025-1" in said) == is_affected


@pytest.mark.parametrize("content", [b"", b"no archive"])
def test_a_copy_that_holds_nothing_is_no_clean_bill(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "all.zip").write_bytes(content)
    assert audit.main([str(tmp_path / "all.zip")]) == 2
    with zipfile.ZipFile(tmp_path / "all.zip", "w"):
        pass
    assert audit.main([str(tmp_path / "all.zip")]) == 2


def test_every_locked_package_of_ours_has_a_version_that_can_be_compared() -> None:
    packages = audit.locked(audit.LOCK)
    assert len(packages) > 100
    assert all(audit.Version(version) for version in packages.values())
