"""What the figures mean, in the words of the measures themselves: their modules' docstrings, made into HTML."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType

from markupsafe import Markup, escape

from harness.measures import (
    audit,
    clocks,
    conservation,
    epochs,
    exposure,
    fingerprint,
    gaps,
    hearing,
    interval,
    resources,
    rpo,
    rto,
    split_brain,
    tasks,
    throughput,
    timeline,
    verdict,
)

MEASURES = (interval, timeline, epochs, rto, rpo, conservation, split_brain, tasks, audit, fingerprint, exposure,
            throughput, hearing, clocks, resources, gaps, verdict)
MARKS = (
    (re.compile(r"``(.+?)``"), r"<code>\1</code>"),
    (re.compile(r"\*\*(.+?)\*\*"), r"<strong>\1</strong>"),
    (re.compile(r"\*(\S(?:.*?\S)?)\*"), r"<em>\1</em>"),
)
"""How docstrings mark words, and what HTML says instead."""
REFERENCE = re.compile(r":\w+:`~?([\w.]+)`")


@dataclass(frozen=True)
class Meaning:
    """One measure's own account of its figure."""

    name: str
    title: str
    blocks: list[list[Markup]]
    """Paragraphs; one of several parts is a list."""


def meanings() -> list[Meaning]:
    """Those of all measures, in the order in which they build on each other."""
    return [_of(module) for module in MEASURES]


def _of(module: ModuleType) -> Meaning:
    title, *rest = (module.__doc__ or "").strip().split("\n\n")
    return Meaning(module.__name__.rpartition(".")[2], " ".join(title.split()).removesuffix("."),
                   [block for text in rest for block in _blocks(text)])


def _blocks(text: str) -> Iterator[list[Markup]]:
    """A paragraph, and a list wherever lines begin with a star."""
    paragraph, *items = re.split(r"(?:^|\n)\* ", text)
    if paragraph.strip():
        yield [_marked(paragraph)]
    if items:
        yield [_marked(item) for item in items]


def _marked(text: str) -> Markup:
    """Words with their marks as HTML; whatever else is in them stays text."""
    found = str(escape(" ".join(text.split())))
    known = {module.__name__.rpartition(".")[2] for module in MEASURES}
    for pattern, shown in MARKS:
        found = pattern.sub(shown, found)

    def linked(reference: re.Match[str]) -> str:
        name = reference[1].rpartition(".")[2]
        return f'<a href="#meaning-{name}">{name}</a>' if name in known else f"<code>{name}</code>"

    return Markup(REFERENCE.sub(linked, found))
