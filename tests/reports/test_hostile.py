"""A page of a result in which every text is somebody's attempt to get out of it."""

from __future__ import annotations

import itertools
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from pydantic import BaseModel

from harness.measures import Result
from harness.measures.interval import Verdict
from reports import html
from tests.reports.page import Page

EVIL = ("\"><script>alert(1)</script><img src=x onerror=alert(1)>'--></style></svg>]]>{{7*7}}{% include 'x' %}[red]&lt;"
        "\x1b]0;title\x07\x1b[31m\r\x00\x7f\x9b2J\u202edetrevni\u2066\u200b\ud800 href=\"#a url(#b) $\\frac{1}$")
UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def hostile(found: Any) -> Any:
    """The same with every text hostile, but for the verdicts."""
    if isinstance(found, BaseModel):
        return found.model_copy(update={name: hostile(value) for name, value in found})
    if isinstance(found, dict):
        return {hostile(key): hostile(value) for key, value in found.items()}
    if isinstance(found, list):
        return [hostile(each) for each in found]
    return found + EVIL if isinstance(found, str) and not isinstance(found, Verdict) else found


class Tags(HTMLParser):
    """Every tag that a browser could see, comments and declarations included, with the names of its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, ...]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, *(name for name, _ in attrs)))

    def handle_comment(self, data: str) -> None:
        self.found.append(("comment",))

    def handle_decl(self, decl: str) -> None:
        self.found.append(("declaration", decl))

    def unknown_decl(self, data: str) -> None:
        self.found.append(("unknown declaration", data))

    def handle_pi(self, data: str) -> None:
        self.found.append(("processing instruction", data))


PICTURE = {"svg", "defs", "style", "g", "path", "rect", "use", "text", "clippath", "metadata", "rdf:rdf", "cc:work",
           "dc:type", "dc:format", "dc:creator", "cc:agent", "dc:title", "comment", "tspan"}


pytestmark = [pytest.mark.filterwarnings(f"ignore:{what}") for what in ("Glyph", "Tight layout")]


@pytest.fixture(scope="module")
def text(failed: Result) -> str:
    return html.render(hostile(failed))


def test_no_element_and_no_attribute_of_the_page_comes_from_the_record(text: str, failed: Result) -> None:
    plain, evil = Tags(html.render(failed)), Tags(text)
    assert [t for t in evil.found if t[0] not in PICTURE] == [t for t in plain.found if t[0] not in PICTURE]
    # What a picture is drawn of depends on the room that its names leave; what there is to draw with does not.
    assert {tag for tag, *_ in evil.found} == {tag for tag, *_ in plain.found}
    assert {name for _, *names in evil.found for name in names} == {n for _, *names in plain.found for n in names}


def test_every_text_is_there_as_text(text: str, failed: Result) -> None:
    page = Page(text)
    assert "[red]" in page.section("verdict")
    for section in ("verdict", "cleanup", "targets", "expectations", "timeline", "transition-1", "conservation", "tasks",
                    "epochs", "deployments", "fingerprint", "claims", "clocks", "proof", "cost", "simulated", "method"):
        assert "\"><script>alert(1)</script>" in page.section(section), section
    assert "{{7*7}}{% include 'x' %}" in page.text
    assert 'href="#a url(#b) $\\frac{1}$' in page.section("timeline")


def test_nothing_on_the_page_is_unseen_or_turns_what_is_read(text: str) -> None:
    assert UNSEEN.findall(text) == []
    assert "␛]0;title␇␛[31m␍␀␡�2J�detrevni" in text


def test_a_browser_is_told_to_run_and_fetch_nothing(failed: Result) -> None:
    page = Page(html.render(failed))
    policy, = (each["content"] or "" for each in page.all("meta") if each.get("http-equiv") == "Content-Security-Policy")
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules == {"default-src": "'none'", "style-src": "'unsafe-inline'", "img-src": "data:", "base-uri": "'none'",
                     "form-action": "'none'"}
    tags = [tag for tag, _ in page.tags]
    assert tags.index("meta") < min(tags.index(each) for each in ("style", "title"))
    assert not set(itertools.chain.from_iterable(attributes for _, attributes in page.tags)) & {
        "onclick", "onload", "onerror", "src", "action"}
