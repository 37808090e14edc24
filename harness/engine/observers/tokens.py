"""Whether each Deployment's Airflow takes the tokens that it has issued, and nobody else's.

A Deployment that moves takes its keys along: a token that it issued before the move is good after it. And its key is
its own: a token of another Deployment, or one that is signed with a key of nobody, is refused everywhere.
"""

from __future__ import annotations

import base64
import os
import time

import httpx

ASKED = "/api/v2/variables?limit=1"
"""What needs a token, and is cheap."""
GOOD_FOR_S = 12 * 3600.0
"""Half of Airflow's default: after so long a token may be refused because it is old."""


class Tokens:
    """The tokens that were issued to the observer."""

    def __init__(self) -> None:
        self._issued: dict[str, tuple[str, float]] = {}

    def keep(self, deployment: str, token: str) -> None:
        """Keep a token that a Deployment has just issued."""
        self._issued[deployment] = token, time.monotonic()

    def wrong(self, api: httpx.Client, deployment: str) -> str:
        """What is wrong with the tokens that a Deployment takes, empty when nothing is; ``api``: its client.

        Raises:
            httpx.HTTPError: when it gives no usable answer.
        """
        if deployment not in self._issued:
            return ""
        own, issued = self._issued[deployment]
        if time.monotonic() - issued < GOOD_FOR_S and not _takes(api, own):
            return "a token that it issued earlier is refused: it signs with another key now"
        others = [token for name, (token, _) in self._issued.items() if name != deployment]
        if others and _takes(api, others[0]):
            return "it takes a token that another Deployment issued: they share a key"
        if _takes(api, _with_another_signature(own)):
            return "it takes a token whose signature is none"
        return ""


def _takes(api: httpx.Client, token: str) -> bool:
    answer = api.get(ASKED, headers={"authorization": f"Bearer {token}"})
    if answer.status_code in (401, 403):
        return False
    answer.raise_for_status()
    return True


def _with_another_signature(token: str) -> str:
    signature = base64.urlsafe_b64encode(os.urandom(64)).decode().rstrip("=")
    return f"{token.rpartition('.')[0]}.{signature}"
