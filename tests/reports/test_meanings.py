"""The measures' own words on the page."""

from __future__ import annotations

from types import ModuleType

import pytest

from harness import measures
from reports import meanings


def said(docstring: str) -> meanings.Meaning:
    return meanings._of(ModuleType("harness.measures.example", docstring))


def test_a_docstring_becomes_a_title_paragraphs_and_lists() -> None:
    found = said("A figure: of something.\n\nIt is\nthis:\n\n* **one**, and\n  more;\n* ``two``.\n\nIt does *not* say a < b.")
    assert (found.name, found.title) == ("example", "A figure: of something")
    assert found.blocks == [["It is this:"], ["<strong>one</strong>, and more;", "<code>two</code>."],
                            ["It does <em>not</em> say a &lt; b."]]


def test_a_list_may_follow_its_paragraph_at_once() -> None:
    assert said("T.\n\nBoth:\n* one;\n* two.").blocks == [["Both:"], ["one;", "two."]]


def test_a_measure_that_is_named_is_linked_and_any_other_name_is_code() -> None:
    found = said("T.\n\nSee :mod:`rpo` and :func:`~harness.measures.hearing` and :class:`Unknown`.")
    assert found.blocks == [['See <a href="#meaning-rpo">rpo</a> and <a href="#meaning-hearing">hearing</a> and '
                             "<code>Unknown</code>."]]


@pytest.mark.parametrize("module", meanings.MEASURES, ids=lambda module: module.__name__)
def test_every_measure_says_what_it_means(module: ModuleType) -> None:
    assert module.__name__.startswith(measures.__name__)
    found = meanings._of(module)
    assert found.title
    assert found.blocks
