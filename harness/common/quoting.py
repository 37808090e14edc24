"""How what somebody else wrote is shown: without effect on a terminal or on the order in which a page is read.

In a message of ours it is short and on one line, elsewhere it is as it was written.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any

SHOWN_MOST = 60
"""Characters of a value that a message repeats."""
INVISIBLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069"
    "\ud800-\udfff\ufdd0-\ufdef\ufeff\ufffe\uffff]")
"""Characters that no text of ours holds: controls (other than tab and line ends), what turns the direction of
writing, line separators that editors do not count, halves of surrogate pairs, byte order marks, noncharacters."""

KEPT = "\n\t"
PICTURES, DELETE, LAST_CONTROL = 0x2400, 0x7F, 0x1F
UNSEEN = "\N{REPLACEMENT CHARACTER}"


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


def visible(text: str) -> str:
    """The text, of the same length, with a picture of each control character and a mark for all else that is unseen.

    Line ends, tabs and spaces stay.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in KEPT or unicodedata.category(char) == "Zs" else _shown(char)
                   for char in text)


def _shown(char: str) -> str:
    code = ord(char)
    if code <= LAST_CONTROL:
        return chr(PICTURES + code)
    return "\N{SYMBOL FOR DELETE}" if code == DELETE else UNSEEN
