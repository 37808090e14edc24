"""What the schema found wrong, in the words of whoever writes drill files: no class names, no Python types."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from harness.common.durations import write_duration
from harness.common.masking import PLACE as VARIABLES
from harness.common.quoting import SHOWN_MOST, shown
from harness.drill.plain_yaml import Loc

_ONE_OF = {"phases": "phase", "services": "service", "at": "point", "proves": "claim"}
_BOUNDS = {"greater_than_equal": ("ge", "at least"), "greater_than": ("gt", "more than"),
           "less_than_equal": ("le", "at most"), "less_than": ("lt", "less than")}
_KINDS = {
    "int": "a whole number", "float": "a number", "finite": "a number", "bool": "true or false",
    "string": "text", "tuple": "a list", "list": "a list", "dict": "a map of keys and values",
    "model": "a map of keys and values",
}
"""What is expected, by the first word of the kind of error."""


def where(loc: Loc) -> str:
    """The path to a value as people count: ``phase 2, fault.link.delay``."""
    path = ""
    for index, part in enumerate(loc):
        if isinstance(part, int):
            path = f"phase {part + 1}" if loc[:index] == ("phases",) else f"{path}, item {part + 1}"
        else:
            name = part if part.isascii() and part.isprintable() and len(part) <= SHOWN_MOST else shown(part)
            between = "" if not path else ", " if isinstance(loc[index - 1], int) else "."
            path += between + name
    return path


class Remark(NamedTuple):
    """What is wrong: where it stands, the part that it is about, and the words."""

    at: Loc
    about: Loc
    message: str


def say(error: ValidationError, schema: type[BaseModel]) -> list[Remark]:
    """All that the schema found, in words."""
    found = error.errors(include_url=False)
    # Items that are wrong themselves do not count as there: then a list seems to be empty too.
    return [_say(fault, schema) for fault in found if not (fault["type"] == "too_short" and fault["input"])]


def _say(fault: Mapping[str, Any], schema: type[BaseModel]) -> Remark:
    loc: Loc = tuple(fault["loc"])
    kind = fault["type"]
    if kind == "missing":
        return Remark(loc, loc[:-1], f"{shown(loc[-1])} is missing")
    if kind == "extra_forbidden":
        return Remark(loc, loc[:-1], f"{shown(loc[-1])} is not a key here{_suggestion(loc, schema)}")
    return Remark(loc, loc, _words(fault, loc))


def _words(fault: Mapping[str, Any], loc: Loc) -> str:
    """What is wrong with a value that is there."""
    kind, given, told = str(fault["type"]), fault["input"], fault.get("ctx", {})
    if len(loc) == len(VARIABLES) + 1 and loc[:len(VARIABLES)] == VARIABLES:
        return "must be text; put it in quotes (it is not repeated here, because it may be a secret)"
    if kind == "value_error":
        return str(told["error"])
    if kind == "literal_error":
        return f"must be {told['expected']}, not {shown(given)}"
    if kind == "too_short":
        return f"must be a list with at least one {_ONE_OF.get(str(loc[-1]), 'item')}"
    if kind == "too_long":
        return f"must have at most {told['max_length']} items, not {told['actual_length'] or 'more'}"
    if kind == "string_too_long":
        return f"must have at most {told['max_length']} characters, not {len(given)}"
    if kind in _BOUNDS:
        name, words = _BOUNDS[kind]
        return f"must be {words} {_bound(told[name], given)}, not {_bound(given, given)}"
    return _mismatch(kind, given, loc)


def _mismatch(kind: str, given: Any, loc: Loc) -> str:
    """A value of another type than it must be."""
    if not loc:
        return f"a drill file is a map of keys (apiVersion, kind, metadata, phases and others), not {shown(given)}"
    if len(loc) == 2 and loc[0] == "phases":
        return f"a phase is a map with one key, for example 'load: {{}}', not {shown(given)}"
    wanted = _KINDS.get(kind.split("_", 1)[0], "something else")
    if wanted == "text" and given is not None and not isinstance(given, (dict, list)):
        return f"must be text; put it in quotes: \"{shown(given)}\""
    if isinstance(given, str) and wanted in ("a whole number", "a number"):
        digits = given.strip("+-")
        if digits.isascii() and digits.isdigit():
            return (f"is a number of {len(digits)} digits, which is too large" if len(digits) > 18
                    else f"must be {wanted}, written without quotes and without zeros before it, not {shown(given)}")
    return f"must be {wanted}, not {shown(given)}"


def _bound(value: Any, given: Any) -> str:
    """A bound as the file writes it: where text was given, it was a duration."""
    if isinstance(value, str):
        return value
    if isinstance(given, str):
        return write_duration(float(value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _suggestion(loc: Loc, schema: type[BaseModel]) -> str:
    """``; did you mean ...?`` for a misspelt key, ``; it may be ...`` otherwise."""
    model: Any = schema
    for part in loc[:-1]:
        model = _inner(model, part)
        if model is None:
            return ""
    keys = [field.alias or name for name, field in model.model_fields.items()]
    near = difflib.get_close_matches(str(loc[-1])[:100], keys, n=1)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; it may be {', '.join(keys)}"


def _inner(model: Any, part: int | str) -> Any:
    """The model of a field (through Optional and tuple), or None where there is none."""
    if isinstance(part, int):
        return model
    for name, field in model.model_fields.items():
        if (field.alias or name) == part:
            candidates = [field.annotation]
            while candidates:
                kind = candidates.pop()
                if isinstance(kind, type) and issubclass(kind, BaseModel):
                    return kind
                candidates.extend(getattr(kind, "__args__", ()))
    return None
