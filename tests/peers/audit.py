"""Holds the locked dependencies against a copy of the known vulnerabilities of PyPI's packages, offline.

    python -m tests.peers.audit ADVISORIES [--lock uv.lock]

ADVISORIES is the archive that OSV publishes of the ecosystem PyPI (``all.zip``: one JSON record an advisory; PyPA's
advisory database and GitHub's are in it). Nothing is fetched. The exit code is 1 where a locked version is affected, 2
where there is nothing to compare with.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tomllib
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version

LOCK = Path(__file__).parents[2] / "uv.lock"


@dataclass(frozen=True)
class Affected:
    """A locked package that an advisory is of."""

    package: str
    version: str
    advisory: str
    summary: str
    fixed: str

    def __str__(self) -> str:
        mended = f"mended in {self.fixed}" if self.fixed else "not mended yet"
        return f"{self.package} {self.version}: {self.advisory}, {mended}: {self.summary}"


def locked(lock: Path) -> dict[str, str]:
    """The packages of a lock file that come from an index, by normalized name, and their versions."""
    packages = tomllib.loads(lock.read_text())["package"]
    return {normalized(each["name"]): each["version"] for each in packages if "registry" in each.get("source", {})}


def affected(packages: Mapping[str, str], advisories: Iterable[Mapping[str, Any]]) -> list[Affected]:
    """The packages that an advisory names in that version."""
    found = {}
    for advisory in advisories:
        if advisory.get("withdrawn"):
            continue
        for part in advisory.get("affected", []):
            package = part.get("package", {})
            name = normalized(package.get("name", ""))
            if package.get("ecosystem") == "PyPI" and name in packages and _concerns(part, packages[name]):
                known = {advisory["id"], *advisory.get("aliases", [])}
                identifier = next((each for each in sorted(known) if each.startswith("CVE-")), advisory["id"])
                found[name, identifier] = Affected(
                    name, packages[name], identifier, advisory.get("summary", "")[:100], ", ".join(_fixed(part)))
    return [found[key] for key in sorted(found)]


def read(archive: Path) -> Iterator[dict[str, Any]]:
    """The advisories of an archive."""
    with zipfile.ZipFile(archive) as held:
        for name in held.namelist():
            if name.endswith(".json"):
                yield json.loads(held.read(name))


def normalized(name: str) -> str:
    """A package's name as PyPI compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _concerns(part: Mapping[str, Any], version: str) -> bool:
    """Whether a version is listed, or within a range."""
    return version in part.get("versions", []) or any(
        _within(each.get("events", []), version) for each in part.get("ranges", []) if each.get("type") == "ECOSYSTEM")


def _within(events: Iterable[Mapping[str, str]], version: str) -> bool:
    """Whether a version is between what introduced a fault and what mended it."""
    inside, mine = False, Version(version)
    try:
        ordered = sorted(events, key=lambda event: Version(_at(event)))
    except InvalidVersion:
        return True  # one that cannot be compared is for people to look at
    for event in ordered:
        at = Version(_at(event))
        if "introduced" in event and at <= mine:
            inside = True
        if ("fixed" in event and at <= mine) or ("last_affected" in event and at < mine):
            inside = False
    return inside


def _at(event: Mapping[str, str]) -> str:
    return next(iter(event.values()))


def _fixed(part: Mapping[str, Any]) -> list[str]:
    return [event["fixed"] for each in part.get("ranges", []) for event in each.get("events", [])
            if each.get("type") == "ECOSYSTEM" and "fixed" in event]


def main(arguments: list[str] | None = None) -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("advisories", type=Path)
    parser.add_argument("--lock", type=Path, default=LOCK)
    asked = parser.parse_args(arguments)
    packages = locked(asked.lock)
    try:
        advisories = list(read(asked.advisories))
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        print(f"{asked.advisories} cannot be read: {error}", file=sys.stderr)
        return 2
    if not advisories or not packages:
        print(f"nothing to compare: {len(packages)} packages, {len(advisories)} advisories", file=sys.stderr)
        return 2
    newest = max(str(each.get("modified", "")) for each in advisories)
    found = affected(packages, advisories)
    print(f"{len(packages)} packages held against {len(advisories)} advisories, the newest of {newest}: "
          f"{len(found)} affected")
    for each in found:
        print(f"- {each}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
