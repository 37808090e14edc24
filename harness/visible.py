"""Text from elsewhere, made safe to print: nothing in it can move a cursor, set a title or turn the reading order.

Titles, Deployments' names, an orchestrator's messages and the lines of a log are other people's text. A terminal obeys
the control characters in it, and a page shows text in another order than it stands in after some invisible ones.
"""

from __future__ import annotations

import unicodedata

KEPT = "\n\t"
PICTURES, DELETE, LAST_CONTROL = 0x2400, 0x7F, 0x1F
UNSEEN = "\N{REPLACEMENT CHARACTER}"


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
