"""Tries, as another user, whatever a running environment might allow: ``python -m tests.peers.scan ENVIRONMENT``.

Needs root, to become that user; ``--as-me`` tries as whoever runs it. Prints how much was tried and what was possible;
the exit code is 1 where anything was.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from tests.peers import attempts, inventory
from tests.peers.findings import Findings
from tests.peers.known import secrets_of

STRANGER = 12345
"""A user that nobody has an account for."""


def scan(directory: Path, uid: int | None = STRANGER) -> Findings:
    """What a user could read and do; ``uid`` None: the one that asks.

    Raises:
        PermissionError: when it is another one, and we are not root.
    """
    if uid is not None and os.geteuid() != 0:
        raise PermissionError("only root can become another user")
    there = inventory.take(directory)
    try:
        secrets = secrets_of(directory)
    except OSError:
        secrets = {}  # as it should be for a stranger
    hostnames = [f"team-00.{directory.name}.dr-drill.test"]
    if uid is None:
        return attempts.everything(there, secrets, hostnames)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(reader)
            os.chdir("/")
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
            with os.fdopen(writer, "wb") as sink:
                sink.write(attempts.everything(there, secrets, hostnames).dump())
            code = 0
        finally:
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader, "rb") as source:
        data = source.read()
    _, status = os.waitpid(child, 0)
    if status:
        raise RuntimeError("the scan did not come to its end")
    return Findings.load(data)


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("environment", type=Path, help="the directory of a running environment (drill status)")
    parser.add_argument("--as-me", action="store_true", help="try as this user")
    parser.add_argument("--uid", type=int, default=STRANGER, help="the user to become")
    parser.add_argument("--json", action="store_true", help="all findings, for programs")
    asked = parser.parse_args()
    if not (asked.environment / "environment.json").exists() and not asked.as_me:
        parser.error(f"{asked.environment} is no environment")
    try:
        found = scan(asked.environment.resolve(), None if asked.as_me else asked.uid)
    except PermissionError as error:
        parser.error(f"{error}; --as-me tries as this user")
    print(json.dumps([vars(each) for each in found.found], indent=1) if asked.json else found.table())
    return 1 if found.found else 0


if __name__ == "__main__":
    sys.exit(main())
