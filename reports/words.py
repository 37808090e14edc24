"""How figures are said: a number never stands without what it may be off by."""

from __future__ import annotations

from datetime import UTC, datetime

from harness.common.durations import show_duration
from harness.measures.interval import Interval
from harness.measures.result import Count, Loss
from harness.measures.verdict import show

NOT_KNOWN = "not known"


def span(seconds: float | None) -> str:
    """A time without an error of its own."""
    return NOT_KNOWN if seconds is None else show_duration(seconds)


def after(seconds: float) -> str:
    """How long after something, or before it."""
    return span(seconds) if seconds >= 0 else f"{span(-seconds)} before"


def figure(found: Interval | None) -> str:
    """A time with its bounds in full: ``7.2 s (at least 5.1 s)``, ``at least 40 s``."""
    return NOT_KNOWN if found is None else show(found)


def brief(found: Interval | None) -> str:
    """The same for a narrow cell: ``5.1 s to 7.2 s``, ``at most 1.3 s``, ``at least 40 s``."""
    if found is None:
        return NOT_KNOWN
    if found.high is None:
        return f"at least {show_duration(found.low)}"
    if found.low == 0.0 and found.high:
        return f"at most {show_duration(found.high)}"
    low, high = show_duration(found.low), show_duration(found.high)
    return high if low == high else f"{low} to {high}"


def rpo(found: Loss) -> str:
    """An RPO with its bounds: where nothing was lost, to what that is known."""
    if not found.lost and found.rpo is not None and found.rpo.high is not None:
        return f"nothing lost, known to {show_duration(found.rpo.high)}"
    return figure(found.rpo)


def count(found: Count | Interval | None) -> str:
    """How many: ``3``, ``2 to 5``, ``2 or more``, or that nobody knows."""
    if found is None or (found.high is None and not found.low):
        return NOT_KNOWN
    low = number(found.low)
    if found.high is None:
        return f"{low} or more"
    return low if found.high == found.low else f"{low} to {number(found.high)}"


def loss(found: Loss) -> str:
    """What a Deployment lost of a stream, for a narrow cell: ``at most 1.3 s``, ``12 lost, 5.1 s to 7.2 s``."""
    return (f"{number(found.lost)} lost, " if found.lost else "") + brief(found.rpo)


def number(found: float | None) -> str:
    """A whole number with its thousands apart."""
    return NOT_KNOWN if found is None else f"{found:,.0f}"


def rate(found: float | None) -> str:
    """So many a second."""
    return NOT_KNOWN if found is None else f"{found:.2f} a second"


def share(found: float | None) -> str:
    """A share of one, in per cent."""
    return NOT_KNOWN if found is None else f"{100 * found:.1f} %"


def mebibytes(found: float | None) -> str:
    """A size that is given in MiB."""
    if found is None:
        return NOT_KNOWN
    return f"{found / 1024:.1f} GiB" if found >= 1024 else f"{found:.0f} MiB"


def moment(seconds: float | None) -> str:
    """A moment in UTC, to the millisecond (RFC 3339)."""
    if seconds is None:
        return NOT_KNOWN
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def offset(seconds: float | None) -> str:
    """How far a clock is from another one."""
    if seconds is None:
        return NOT_KNOWN
    if abs(seconds) < 0.001:
        return "less than 1 ms"
    return f"{show_duration(abs(seconds))} {'ahead' if seconds > 0 else 'behind'}"


def names(found: list[str], of: int, few: int = 8) -> str:
    """Who: some by name, or all of them."""
    if len(found) == of and of > 1:
        return f"all {of}"
    return ", ".join(found[:few]) + (f" and {len(found) - few} more" if len(found) > few else "")


def state(up: bool | None) -> str:
    """Whether a Deployment was up."""
    return {True: "up", False: "down", None: NOT_KNOWN}[up]
