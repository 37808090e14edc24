"""The part of YAML that drill files use, as plain data with the place of each value.

Maps, lists, text, numbers, ``true``/``false`` and nothing; one document. Anchors and aliases, merge keys and tags are
refused, because a short file can mean gigabytes by them; so are texts that no editor shows. What is read is bounded
by itself: events come one at a time, and reading ends at the first value too many or too deep.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import yaml

from harness.common.quoting import INVISIBLE, name_of, shown

Loc = tuple[int | str, ...]
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml reads ten times as fast, and PyYAML has it wherever there is a wheel."""
DEEPEST, VALUES_MOST, FAULTS_MOST = 16, 20_000, 50
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_DECIMAL = re.compile(r"[-+]?([0-9]{1,20}(\.[0-9]{0,20})?|\.[0-9]{1,20})([eE][-+]?[0-9]{1,3})?")
_TRUE = frozenset(form for word in ("true", "yes", "on") for form in (word, word.title(), word.upper()))
_FALSE = frozenset(form for word in ("false", "no", "off") for form in (word, word.title(), word.upper()))
_NOTHING = frozenset(("", "~", "null", "Null", "NULL"))
_LINE_END = re.compile(r"\r\n|\r|\n")


class Place(NamedTuple):
    """Where something stands: line and column, from 1."""

    line: int
    column: int


TOP = Place(1, 1)


class Fault(NamedTuple):
    """Something that is no part of a drill file, and where."""

    place: Place
    message: str


@dataclass
class Read:
    """What a text holds: its data, where each part stands, and what is wrong with it."""

    data: Any = None
    places: dict[Loc, Place] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    whole: bool = False
    """Whether ``data`` is all that the text says, so that it can be looked at further."""


class _Refused(Exception):
    """Reading ends here; the fault has been noted."""


def place_of_byte(data: bytes, offset: int) -> Place:
    """The line and column of a byte."""
    return _place_at(data[:offset].decode("utf-8", errors="replace"))


def read(text: str) -> Read:
    """Read a text; what is wrong with it is in the result."""
    found = Read()
    text = text.removeprefix("\ufeff")
    if (odd := INVISIBLE.search(text)) is not None:
        found.faults.append(Fault(_place_at(text[:odd.start()]), _odd(odd[0], "here")))
        return found
    reader = _Reader(text, found)
    try:
        found.data = reader.document()
        found.whole = not reader.refused
    except _Refused:
        pass
    except yaml.MarkedYAMLError as error:
        found.faults.append(reader.syntax(error))
    except yaml.YAMLError as error:
        found.faults.append(Fault(TOP, f"this is not YAML: {shown(str(error))}"))
    return found


class _Reader:
    """Reads one text's events."""

    def __init__(self, text: str, found: Read) -> None:
        self._lines = _LINE_END.split(text)
        self._events: Iterator[Any] = yaml.parse(text, Loader=LOADER)
        self._found = found
        self._count = 0
        self.refused = False
        """Whether something was met that the data does not show as it was written."""

    def document(self) -> Any:
        next(self._events)  # the stream begins
        if isinstance(next(self._events), yaml.StreamEndEvent):
            self._refuse(TOP, "the file is empty")
            raise _Refused
        data = self._value(next(self._events), (), 0)
        next(self._events)  # the document ends
        if not isinstance(after := next(self._events), yaml.StreamEndEvent):
            self._refuse(self._place(after), "a second document begins here; a drill file holds one: put each into a"
                                             " file of its own")
        return data

    def _value(self, event: Any, loc: Loc, depth: int) -> Any:
        place = self._place(event)
        self._found.places.setdefault(loc, place)
        self._count += 1
        if self._count > VALUES_MOST:
            self._refuse(place, f"more than {VALUES_MOST} values; no drill needs so many")
            raise _Refused
        if depth > DEEPEST:
            self._refuse(place, f"nested more than {DEEPEST} deep; no part of a drill file is")
            raise _Refused
        if isinstance(event, yaml.AliasEvent):
            self._refuse(place, f"*{event.anchor} repeats a value from elsewhere; write the value out here")
            return None
        self._plain(event, place)
        if isinstance(event, yaml.MappingStartEvent):
            return self._map(loc, depth)
        if isinstance(event, yaml.SequenceStartEvent):
            items: list[Any] = []
            while not isinstance(item := next(self._events), yaml.SequenceEndEvent):
                items.append(self._value(item, (*loc, len(items)), depth + 1))
            return items
        return self._scalar(event, place)

    def _map(self, loc: Loc, depth: int) -> dict[str, Any]:
        data: dict[str, Any] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            place, key = self._place(event), self._key(event, loc, depth)
            if key is None:
                self._value(next(self._events), (*loc, "?"), depth + 1)
                continue
            if key in data:
                self._note(place, f"the key {shown(key)} is given twice; keep one")
            self._found.places[(*loc, key)] = place
            data[key] = self._value(next(self._events), (*loc, key), depth + 1)
        return data

    def _key(self, event: Any, loc: Loc, depth: int) -> str | None:
        place = self._place(event)
        if isinstance(event, yaml.ScalarEvent):
            self._plain(event, place)
            if event.value == "<<" and event.implicit[0]:
                self._refuse(place, "'<<' merges a map from elsewhere; write its keys out here")
            key = str(event.value)
            self._visible(key, place)
            return key
        if isinstance(event, yaml.AliasEvent):
            self._refuse(place, f"*{event.anchor} repeats a value from elsewhere; write the key out here")
            return None
        kind = "list" if isinstance(event, yaml.SequenceStartEvent) else "map"
        self._refuse(place, f"a {kind} cannot be a key; put text before the ':'")
        self._value(event, (*loc, "?"), depth + 1)
        return None

    def _scalar(self, event: Any, place: Place) -> Any:
        text = str(event.value)
        if not event.implicit[0]:
            self._visible(text, place)
            return text
        if text in _NOTHING:
            return None
        if text in _TRUE or text in _FALSE:
            return text in _TRUE
        if _INTEGER.fullmatch(text):
            return int(text)
        return float(text) if _DECIMAL.fullmatch(text) and not text.isdigit() else text

    def _plain(self, event: Any, place: Place) -> None:
        """Refuse an anchor and a tag."""
        if event.anchor is not None:
            self._refuse(place, f"&{event.anchor} names a value in order to repeat it; leave it out, and write the"
                                " value out where it is needed")
        if event.tag is not None:
            name = event.tag.replace("tag:yaml.org,2002:", "!!")
            self._refuse(place, f"the tag {shown(name)} has no meaning in a drill file; leave it out (text goes in"
                                " quotes)")

    def _visible(self, text: str, place: Place) -> None:
        if (odd := INVISIBLE.search(text)) is not None:
            self._refuse(place, _odd(odd[0], "in this text"))

    def _refuse(self, place: Place, message: str) -> None:
        self.refused = True
        self._note(place, message)

    def _note(self, place: Place, message: str) -> None:
        if len(self._found.faults) == FAULTS_MOST:
            self.refused = True
            raise _Refused
        self._found.faults.append(Fault(place, message))

    def syntax(self, error: yaml.MarkedYAMLError) -> Fault:
        """What is wrong with a text that is not YAML, in words."""
        mark, context = error.problem_mark or error.context_mark, error.context_mark
        place = self._at(mark)
        said = " ".join((error.problem or "").split())
        began = f" (it begins at {self._at(context).line}:{self._at(context).column})" if context else ""
        rest = self._lines[place.line - 1][place.column - 1:]
        if rest.startswith("\t") or "tab character" in said:
            return Fault(place, "a tab stands here; YAML is indented with spaces")
        for part, words in _SYNTAX:
            if part in said:
                return Fault(place, words.format(began=began, here=shown(rest[:1])))
        return Fault(place, f"this is not YAML: {said}{began}")

    def _place(self, event: Any) -> Place:
        return self._at(event.start_mark)

    def _at(self, mark: yaml.Mark | None) -> Place:
        """A mark's place, kept within the text: an end that was expected stands behind the last line."""
        if mark is None:
            return TOP
        line = min(mark.line, len(self._lines) - 1)
        column = mark.column if line == mark.line else len(self._lines[line])
        return Place(line + 1, min(column, len(self._lines[line])) + 1)


_SYNTAX = (
    ("expected ',' or ']'", "a list in brackets is not closed{began}; put ',' between its items and ']' at its end"),
    ("expected ',' or '}'", "a map in braces is not closed{began}; put ',' between its keys and '}}' at its end"),
    ("expected '-' indicator", "a list{began} goes on without a '-'; begin each item with '- ', in the same column"),
    ("expected key", "a map{began} goes on with something else; put its keys in the same column, each with a ':'"),
    ("mapping values are not allowed",
     "a ':' too many; put text that holds ': ' in quotes, or begin a new line (with as many spaces as its neighbours)"),
    ("could not find expected ':'", "a key{began} without its ':'; write key: value"),
    ("cannot start any token", "{here} cannot begin a value; put the text in quotes"),
    ("end of stream", "the file ends within quotes{began}; close them"),
    ("document indicator", "'---' stands within quotes{began}; close them"),
    ("escape", "in double quotes a '\\' begins an escape, and this is none; write '\\\\', or use single quotes"),
)


def _odd(character: str, where: str) -> str:
    if character == "\x00":
        return f"a NUL ({name_of(character)}) {where}; this is not a text file, or one in UTF-16: save it as UTF-8"
    return f"the character {name_of(character)} {where}, which no editor shows; take it out"


def _place_at(before: str) -> Place:
    """Where the character after a text stands."""
    lines = _LINE_END.split(before)
    return Place(len(lines), len(lines[-1]) + 1)
