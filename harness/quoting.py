"""How what somebody else wrote is shown in a message: on one line, short, and without effect on a terminal."""

from __future__ import annotations

import re
from typing import Any

SHOWN_MOST = 60
"""Characters of a value that a message repeats."""
INVISIBLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069"
    "\ud800-\udfff\ufdd0-\ufdef\ufeff\ufffe\uffff]")
"""Characters that no text of ours holds: controls (other than tab and line ends), what turns the direction of
writing, line separators that editors do not count, halves of surrogate pairs, byte order marks, noncharacters."""


def shown(value: Any) -> str:
    """A value as its author wrote it, or what kind of thing it is."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a map"
    if isinstance(value, (list, tuple)):
        return "a list"
    if isinstance(value, str):
        return repr(value) if len(value) <= SHOWN_MOST else f"{value[:SHOWN_MOST]!r}... ({len(value)} characters)"
    return str(value)


def printable(text: str) -> str:
    """Text for a line of output: what a terminal would act upon, or could not show, is escaped."""
    return re.sub(f"{INVISIBLE.pattern}|[\t\r\n]",
                  lambda found: found[0].encode("unicode_escape").decode(), text)


def name_of(character: str) -> str:
    """A character that cannot be shown, by its number: ``U+0000``."""
    return f"U+{ord(character):04X}"
