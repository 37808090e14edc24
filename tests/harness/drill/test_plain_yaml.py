"""Texts that are YAML and no drill file, and texts that are neither: a place, what is wrong, what to do."""

from __future__ import annotations

import time
import tracemalloc

import pytest

from harness.drill import plain_yaml
from harness.drill.plain_yaml import FAULTS_MOST


def faults(text: str) -> list[str]:
    return [f"{place.line}:{place.column}: {message}" for place, message in plain_yaml.read(text).faults]


@pytest.mark.parametrize(("text", "expected"), [
    ("a: 1\n<<: *b\n", "2:1: '<<' merges a map from elsewhere; write its keys out here"),
    ("a: *b\n", "1:4: *b repeats a value from elsewhere; write the value out here"),
    ("a: &b 1\n", "1:4: &b names a value in order to repeat it"),
    ("a: &a [*a]\n", "1:8: *a repeats a value from elsewhere"),
    ("*a : 1\n", "1:1: *a repeats a value from elsewhere; write the key out here"),
    ("a: !!int abc\n", "1:4: the tag '!!int' has no meaning in a drill file; leave it out"),
    ("a: !mine {b: 1}\n", "1:4: the tag '!mine' has no meaning"),
    ("a: !!python/object/apply:os.system [id]\n", "1:4: the tag '!!python/object/apply:os.system' has no meaning"),
    ("? [a, b]\n: 1\n", "1:3: a list cannot be a key"),
    ("? {a: b}\n: 1\n", "1:3: a map cannot be a key"),
    ("a: 1\nb: 2\na: 3\n", "3:1: the key 'a' is given twice; keep one"),
    ("a: x\x00y\n", "1:5: a NUL (U+0000) here; this is not a text file, or one in UTF-16"),
    ("a: \"x\\0y\"\n", "1:4: a NUL (U+0000) in this text"),
    ("a: \"\\ud800\"\n", "1:7: in double quotes a '\\' begins an escape, and this is none"),
    ("a: \"\\u202e\"\n", "1:4: the character U+202E in this text"),
    ("a: \u202eb\n", "1:4: the character U+202E here, which no editor shows; take it out"),
    ("\ta: 1\n", "1:1: a tab stands here; YAML is indented with spaces"),
    ("a: [1,\nb: 2\n", "3:1: a list in brackets is not closed (it begins at 1:4)"),
    ("a: \"open\n", "the file ends within quotes (it begins at 1:4); close them"),
    ("a: b: c\n", "1:5: a ':' too many"),
    ("a: @b\n", "1:4: '@' cannot begin a value; put the text in quotes"),
    ("a: 1\n---\nb: 2\n", "2:1: a second document begins here; a drill file holds one"),
    ("", "1:1: the file is empty"),
    ("# only a comment\n", "1:1: the file is empty"),
], ids=lambda value: repr(value)[:30])
def test_what_is_no_plain_yaml_is_refused_with_its_place(text: str, expected: str) -> None:
    found = plain_yaml.read(text)
    assert any(expected in fault for fault in faults(text)), faults(text)
    assert found.faults


@pytest.mark.parametrize("text", ["a: *b\n", "<<: {}\n", "a: !!str b\n", "? []\n: 1\n", "a: &b 1\n"])
def test_a_text_that_was_not_read_as_it_was_written_is_not_looked_at_further(text: str) -> None:
    assert not plain_yaml.read(text).whole


def test_values_are_what_they_look_like_and_nothing_else() -> None:
    found = plain_yaml.read("""\
whole: -12
decimal: 1.5e3
truth: Yes
nothing: ~
quoted: "12"
date: 2024-99-99
sexagesimal: 1:30
octal: 0o17
leading: 007
long: 123456789012345678901234567890
list: [a, 1]
""")
    assert found.faults == []
    assert found.data == {
        "whole": -12, "decimal": 1500.0, "truth": True, "nothing": None, "quoted": "12", "date": "2024-99-99",
        "sexagesimal": "1:30", "octal": "0o17", "leading": "007", "long": "1" + "23456789012345678901234567890",
        "list": ["a", 1]}


def test_an_integer_of_five_thousand_digits_is_text_and_costs_nothing() -> None:
    began = time.perf_counter()
    assert plain_yaml.read("a: " + "9" * 5000).data == {"a": "9" * 5000}
    assert plain_yaml.read("a: 1e" + "9" * 5000).data == {"a": "1e" + "9" * 5000}
    assert time.perf_counter() - began < 1.0


BILLION_LAUGHS = "a: &a [x, x]\n" + "".join(f"b{n}: &b{n} [*a, *a, *a, *a, *a, *a, *a, *a]\n" for n in range(20))


@pytest.mark.parametrize("text", [
    "[" * 500, "[" * 100_000, "{a: " * 5000, "- " * 50_000, BILLION_LAUGHS,
    "phases:\n" + "  - load: {}\n" * 100_000, "a: [" + "1," * 400_000, "&a " * 50_000, "*a: 1\n" * 60_000,
    "? " * 50_000, "- |\n" * 100_000, "a" * 1_000_000, "'" * 999_999, "a: 1\n" * 200_000,
], ids=lambda text: text[:12].replace("\n", " "))
def test_a_text_that_is_made_to_take_long_does_not(text: str) -> None:
    tracemalloc.start()
    began = time.process_time()
    found = plain_yaml.read(text)
    took = time.process_time() - began
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert took < 10.0  # with the memory's tracing, which makes it several times as slow
    assert most < 64 << 20
    assert len(found.faults) <= FAULTS_MOST


def test_each_part_is_where_it_stands() -> None:
    places = plain_yaml.read("a:\n  - b: 1\n    c: [2, 3]\n").places
    assert places[("a", 0, "c", 1)] == (3, 12)
    assert places[("a", 0, "b")] == (2, 5)
