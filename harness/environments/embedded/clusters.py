"""Empty PostgreSQL clusters for servers that run as a user without an account.

``initdb`` looks its user up, and refuses one that it does not find, as it refuses root. All else that a server needs does
neither. So where the processes of an environment run as a user of its own, root has ``initdb`` run by an account that has
nothing to do with it, and hands the result over.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from harness.environments.base import EnvironmentFailed
from harness.environments.embedded.ownership import Ownership
from harness.environments.embedded.postgres import EMPTY, START_TIMEOUT, initdb
from harness.environments.embedded.postgres_programs import binaries
from harness.environments.embedded.private import make_directory, write_private
from harness.environments.embedded.processes import process_options
from harness.environments.embedded.user import unprivileged_user

HINT_LINES = 6


@dataclass
class _Begun:
    site: Path
    place: Path
    process: subprocess.Popen[str]


class EmptyClusters:
    """The clusters of one environment; none where its processes can make them themselves."""

    def __init__(self, ownership: Ownership) -> None:
        """``ownership``: the environment's."""
        self._ownership = ownership
        self._begun: list[_Begun] = []

    def begin(self, site: Path, password: str) -> None:
        """Begin to make one for the server of ``site``, while other things are done; ``password``: its superuser's."""
        account = unprivileged_user()
        if self._ownership.user is None or account is None:
            return
        # In the environment's directory only its own group can pass, and the account has that for as long as it takes.
        place = make_directory(self._ownership.directory / f"initdb-{site.name}", owner=account)
        secret = place / "password"
        write_private(secret, password + "\n", account)
        started = {**process_options(place, self._ownership), "user": account}
        self._begun.append(_Begun(site, place, subprocess.Popen(
            initdb(binaries(), place / EMPTY, secret), text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, start_new_session=True, **started)))

    def finish(self) -> None:
        """Hand all of them over.

        Raises:
            EnvironmentFailed: when one could not be made.
        """
        for begun in self._begun:
            try:
                said, _ = begun.process.communicate(timeout=START_TIMEOUT)
            except subprocess.TimeoutExpired:
                said = "it does not come to its end"
            if begun.process.returncode != 0:
                raise EnvironmentFailed("initdb failed", hint="\n".join(said.strip().splitlines()[-HINT_LINES:]))
            _hand_over(begun.place / EMPTY, self._ownership.user)
            (begun.place / EMPTY).rename(begun.site / EMPTY)
            (begun.place / "password").unlink()
            begun.place.rmdir()
        self._begun.clear()


def _hand_over(directory: Path, user: int | None) -> None:
    assert user is not None
    for place, _, files in os.walk(directory):
        for name in (".", *files):
            os.chown(f"{place}/{name}", user, user, follow_symlinks=False)
