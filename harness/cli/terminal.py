"""A console for text that may be anybody's: neither markup nor control characters in it do anything."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from harness.common.quoting import visible


class Terminal(Console):
    """A console on which brackets are brackets and control characters are visible, in strings, tables and panels.

    What is to be coloured is given as a ``Text`` with a style.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """A string as it is measured and shown."""
        return super().render_str(visible(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """What is written, part by part; rich's own control sequences are parts of their own."""
        for part in super().render(renderable, options):
            yield part if part.control else Segment(visible(part.text), part.style)


def say(console: Terminal, text: str, style: str | None = None) -> None:
    """Print a line as it is."""
    console.print(text, style=style, soft_wrap=True)
