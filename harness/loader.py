"""A drill file's text to a :class:`~harness.schema.Drill`, or to a list of faults with their places."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from harness.schema import Drill

Loc = tuple[int | str, ...]


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong in a drill file, and where (lines and columns from 1)."""

    file: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.message}"


class InvalidDrill(Exception):
    """A drill file that cannot be run. Exit code 2; nothing was started."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


@dataclass(frozen=True)
class LoadedDrill:
    """A valid drill with the text that it was read from."""

    drill: Drill
    path: Path
    text: str

    @property
    def sha256(self) -> str:
        """The hash of the file as it was."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def load(path: str | Path) -> LoadedDrill:
    """Read and check a drill file.

    Raises:
        InvalidDrill: with every problem found, each with its place.
    """
    path = Path(path)
    try:
        text = path.read_text()
    except OSError as error:
        raise InvalidDrill([Problem(str(path), 1, 1, f"cannot be read: {error.strerror}")]) from error
    except UnicodeDecodeError as error:
        raise InvalidDrill([Problem(str(path), 1, 1, "is not UTF-8 text")]) from error
    return parse(text, path)


def parse(text: str, path: Path) -> LoadedDrill:
    """Check a drill file's text; ``path`` is for messages."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise InvalidDrill([Problem(str(path), line, column, str(error.problem))]) from error
    if root is None:
        raise InvalidDrill([Problem(str(path), 1, 1, "the file is empty")])
    marks: dict[Loc, yaml.Mark] = {}
    problems: list[Problem] = []
    data = _build(root, (), marks, problems, str(path))
    try:
        drill = Drill.model_validate(data)
    except ValidationError as error:
        for fault in error.errors():
            problems.append(_located(fault, marks, str(path)))
        drill = None
    if drill is not None:
        problems += [_problem(loc, message, marks, str(path)) for loc, message in unjudgeable(drill)]
    if problems or drill is None:
        raise InvalidDrill(sorted(problems, key=lambda p: (p.line, p.column)))
    return LoadedDrill(drill, path, text)


def unjudgeable(drill: Drill) -> list[tuple[Loc, str]]:
    """The targets that nothing in this drill could be held against, each with its place and what to do."""
    moves = any(phase.kind in ("failover", "failback") and phase.spec.expect == "accepted" for phase in drill.phases)
    if moves:
        return []
    why = ("nothing in this drill could meet or miss it, because no phase fails over or back; leave it out"
           " (writes-lost, tasks-lost and split-brain-writes are judged in any drill)")
    rpo = drill.targets.rpo.model_dump(by_alias=True, exclude_none=True)
    found: list[tuple[Loc, str]] = [(("targets", "rpo", stream), why) for stream in rpo]
    return found + ([(("targets", "rto"), why)] if drill.targets.rto is not None else [])


def _problem(loc: Loc, message: str, marks: Mapping[Loc, yaml.Mark], file: str) -> Problem:
    """A problem at the place that is named, or at the nearest one around it."""
    known = loc
    while known and known not in marks:
        known = known[:-1]
    mark = marks.get(known)
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    where = ".".join(map(str, loc))
    return Problem(file, line, column, f"{where}: {message}" if where else message)


def _build(node: yaml.Node, loc: Loc, marks: dict[Loc, yaml.Mark], problems: list[Problem],
           file: str) -> Any:
    """Plain data of a YAML node; remembers where each part stands, refuses keys given twice."""
    marks.setdefault(loc, node.start_mark)
    if isinstance(node, yaml.MappingNode):
        found: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = yaml.SafeLoader("").construct_object(key_node)
            if key in found:
                mark = key_node.start_mark
                problems.append(Problem(file, mark.line + 1, mark.column + 1,
                                        f"the key {key!r} is given twice"))
            marks[(*loc, key)] = key_node.start_mark
            found[key] = _build(value_node, (*loc, key), marks, problems, file)
        return found
    if isinstance(node, yaml.SequenceNode):
        return [_build(item, (*loc, index), marks, problems, file)
                for index, item in enumerate(node.value)]
    return yaml.SafeLoader("").construct_object(node)


def _located(fault: Mapping[str, Any], marks: Mapping[Loc, yaml.Mark], file: str) -> Problem:
    loc = tuple(fault["loc"])
    message = str(fault["msg"]).removeprefix("Value error, ")
    shown = loc
    if fault["type"] == "missing":
        message, shown = f"{loc[-1]!r} is missing", loc[:-1]
    elif fault["type"] == "extra_forbidden":
        message, shown = f"{loc[-1]!r} is not a key here{_suggestion(loc)}", loc[:-1]
    at = _problem(loc, message, marks, file)
    where = ".".join(map(str, shown))
    return Problem(file, at.line, at.column, f"{where}: {message}" if where else message)


def _suggestion(loc: tuple[int | str, ...]) -> str:
    """``; did you mean ...?`` for a misspelt key, ``; it may be ...`` otherwise."""
    model: Any = Drill
    for part in loc[:-1]:
        model = _inner(model, part)
        if model is None:
            return ""
    keys = [field.alias or name for name, field in model.model_fields.items()]
    near = difflib.get_close_matches(str(loc[-1]), keys, n=1)
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
