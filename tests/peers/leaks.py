"""Looks for an environment's secrets in what its run leaves: ``python -m tests.peers.leaks ENVIRONMENT PLACE...``.

Evidence is stored compressed, so its tables are read as text.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import duckdb

from tests.peers.known import secrets_of

LOOKS_SECRET = {
    "a JSON web token": re.compile(rb"eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}"),
    "a private key": re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY"),
    "a URL with a password": re.compile(rb"://[\w.-]+:(?!\*\*\*)[^/\s:@\"'\\%({]{3,}@"),
    "a Fernet ciphertext": re.compile(rb"gAAAA[\w-]{60,}"),
}


def found_in(places: Iterable[Path], secrets: Mapping[str, str]) -> list[str]:
    """``file: what`` for each file that holds a secret, or what looks like one."""
    wanted = {name: value.encode() for name, value in secrets.items()}
    found = []
    for path in files(places):
        data = content(path)
        held = [name for name, value in wanted.items() if value in data]
        held += [name for name, pattern in LOOKS_SECRET.items() if pattern.search(data)]
        found += [f"{path}: {name}" for name in held]
    return found


def files(places: Iterable[Path]) -> Iterator[Path]:
    """All regular files of some places."""
    for place in places:
        yield from (path for path in sorted([place, *place.rglob("*")]) if path.is_file() and not path.is_symlink())


def content(path: Path) -> bytes:
    """What a file says; of a table its rows."""
    if path.suffix != ".parquet":
        return path.read_bytes()
    rows = duckdb.read_parquet(str(path)).fetchall()
    return "\n".join(map(str, rows)).encode(errors="replace")


def main(arguments: list[str]) -> int:
    """The exit code: 1 where something was found."""
    if len(arguments) < 2:
        print((__doc__ or "").splitlines()[0], file=sys.stderr)
        return 2
    secrets = secrets_of(Path(arguments[0]))
    places = [Path(each) for each in arguments[1:]]
    found = found_in(places, secrets)
    print(f"{len(secrets)} secrets looked for in {len(list(files(places)))} files: {len(found)} found")
    for each in found:
        print(f"- {each}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
