"""What another user could read or do, and how much of it was tried in vain."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

SHOWN = 3


@dataclass(frozen=True)
class Finding:
    """One thing that should not have been possible."""

    kind: str
    what: str
    how: str


@dataclass
class Findings:
    """All that was tried."""

    tried: Counter[str] = field(default_factory=Counter)
    """Attempts by what they were made on."""
    found: list[Finding] = field(default_factory=list)

    def attempt(self, kind: str, what: str, outcome: str | None) -> None:
        """Note an attempt; ``outcome``: what was possible, None where it was refused."""
        self.tried[kind] += 1
        if outcome is not None:
            self.found.append(Finding(kind, what, outcome))

    def dump(self) -> bytes:
        """For another process."""
        return json.dumps({"tried": self.tried, "found": [asdict(each) for each in self.found]}).encode()

    @classmethod
    def load(cls, data: bytes) -> Findings:
        """What another process dumped."""
        raw = json.loads(data)
        return cls(Counter(raw["tried"]), [Finding(**each) for each in raw["found"]])

    def table(self) -> str:
        """What was tried, and below it what was possible; alike findings together, some by name."""
        lines = [f"{'tried on':18} {'attempts':>9} {'possible':>9}"]
        by_kind = Counter(each.kind for each in self.found)
        lines += [f"{kind:18} {count:9} {by_kind[kind]:9}" for kind, count in sorted(self.tried.items())]
        return "\n".join([*lines, *(f"- {line}" for line in self._grouped())])

    def _grouped(self) -> Iterable[str]:
        alike: dict[tuple[str, str], list[str]] = defaultdict(list)
        for each in self.found:
            alike[each.kind, each.how].append(each.what)
        for (kind, how), whats in sorted(alike.items()):
            some = ", ".join(sorted(whats)[:SHOWN])
            yield f"{kind}: {how}: {some}" + (f" and {len(whats) - SHOWN} more" if len(whats) > SHOWN else "")
