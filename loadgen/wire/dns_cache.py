"""A cache of names, as any resolver keeps one: each record for as long as its own TTL says.

All hostnames of a cluster are CNAMEs of one ingress record (XR-12), which lives for seconds while they live
for minutes. So a client of a whole fleet asks for that one record now and then, not for each name again.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Record:
    """What a name stands for, and until when (monotonic seconds)."""

    value: str
    expires: float


class NameCache:
    """Remembers; asking is the caller's, so that it serves clients of any kind."""

    def __init__(self) -> None:
        self._aliases: dict[str, Record] = {}
        self._addresses: dict[str, Record] = {}

    def address(self, hostname: str) -> str | None:
        """The hostname's address, None when it must be asked for."""
        found = self._addresses.get(self.to_ask(hostname))
        return None if found is None or found.expires <= time.monotonic() else found.value

    def to_ask(self, hostname: str) -> str:
        """The name to ask for: what the hostname is an alias of, as long as that is known."""
        alias = self._aliases.get(hostname)
        return hostname if alias is None or alias.expires <= time.monotonic() else alias.value

    def learn(self, hostname: str, answer: Any) -> str:
        """Take in dnspython's answer to a question for :meth:`to_ask`; the address."""
        now, name = time.monotonic(), str(answer.canonical_name).rstrip(".")
        if aliases := answer.chaining_result.cnames:
            self._aliases[hostname] = Record(name, now + min(alias.ttl for alias in aliases))
        address = str(answer[0])
        self._addresses[name] = Record(address, now + (answer.rrset.ttl if answer.rrset else 0))
        return address
