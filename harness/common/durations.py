"""Durations and rates as drill files write them: ``30s``, ``5m``, ``1h``, ``500ms``; ``64KiB/s``."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

from harness.common.quoting import shown

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_SIZES = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
_NUMBER = r"([0-9]{1,12}(?:\.[0-9]{1,9})?)"
_DURATION = re.compile(rf"^{_NUMBER}(ms|s|m|h)$")
_RATE = re.compile(rf"^{_NUMBER}(B|KiB|MiB|GiB)/s$")
LONGEST_S = 7 * 24 * 3600.0
"""No drill and no bound of one is longer."""


def parse_duration(value: Any) -> float:
    """Seconds of a duration.

    Raises:
        ValueError: when it is not a number with a unit, or is longer than a week.
    """
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError(f"{shown(value)} is not a duration; write for example 30s, 5m or 1h")
    seconds = float(found[1]) * _UNITS[found[2]]
    if seconds > LONGEST_S:
        raise ValueError(f"{shown(value)} is longer than a week; at most {write_duration(LONGEST_S)}")
    return seconds


def parse_rate(value: Any) -> float:
    """Bytes a second of a rate.

    Raises:
        ValueError: when it is not a number with a unit, or is none.
    """
    found = _RATE.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError(f"{shown(value)} is not a rate; write for example 64KiB/s or 1MiB/s")
    rate = float(found[1]) * _SIZES[found[2]]
    if rate < 1:
        raise ValueError(f"{shown(value)} lets nothing through; write cut: true for that")
    return rate


def write_duration(seconds: float) -> str:
    """A duration as a drill file writes it: ``500ms``, ``20s``, ``168h``."""
    for unit in ("h", "m", "s"):
        count = seconds / _UNITS[unit]
        if count >= 1 and count == int(count):
            return f"{count:.0f}{unit}"
    return f"{seconds * 1000:g}ms" if seconds else "0s"


def show_duration(seconds: float) -> str:
    """A duration as people read it: ``850 ms``, ``12.3 s``, ``4 min 05 s``, ``1 h 00 min``."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms" if seconds else "0 s"
    if seconds < 120:
        return f"{seconds:.1f} s".replace(".0 s", " s")
    if seconds < 2 * 3600:
        return f"{int(seconds // 60)} min {int(seconds % 60):02d} s".replace(" 00 s", "")
    return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60):02d} min"


Duration = Annotated[
    float, BeforeValidator(parse_duration),
    WithJsonSchema({"type": "string", "pattern": _DURATION.pattern, "examples": ["30s", "5m"]}),
]
Rate = Annotated[
    float, BeforeValidator(parse_rate),
    WithJsonSchema({"type": "string", "pattern": _RATE.pattern, "examples": ["64KiB/s"]}),
]
