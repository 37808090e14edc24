"""A drill file's text to a :class:`~harness.drill.schema.Drill`, or to a list of faults with their places.

Any bytes whatever end in the one or the other, in bounded time and memory: a file is read up to a size
(:mod:`loadgen.wire.bounded`), as plain YAML up to a number of values (:mod:`harness.drill.plain_yaml`), then held
against the schema, then against itself (:mod:`harness.drill.consistency`).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from harness.common.quoting import printable
from harness.drill import consistency, plain_yaml, wording
from harness.drill.plain_yaml import TOP, Loc, Place, Read
from harness.drill.schema import Drill
from loadgen.wire.bounded import Unreadable, read_bytes

LARGEST = 1 << 20
"""Bytes of a drill file; the largest of the library has 3 KiB."""


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
    warnings: tuple[Problem, ...] = ()
    """What can be run and is probably not what was meant."""

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
        data = read_bytes(path, LARGEST)
    except Unreadable as error:
        raise InvalidDrill([_problem(path, TOP, str(error))]) from error
    return parse_bytes(data, path)


def parse_bytes(data: bytes, path: Path) -> LoadedDrill:
    """Check what a drill file holds; ``path`` is for messages."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidDrill([_problem(path, plain_yaml.place_of_byte(data, error.start),
                                     "is not UTF-8 text; save the file as UTF-8")]) from error
    return parse(text, path)


def parse(text: str, path: Path) -> LoadedDrill:
    """Check a drill file's text; ``path`` is for messages."""
    found = plain_yaml.read(text)
    problems = [_problem(path, fault.place, fault.message) for fault in found.faults]
    drill: Drill | None = None
    warnings: list[Problem] = []
    if found.whole:
        try:
            drill = Drill.model_validate(found.data)
        except ValidationError as error:
            problems += [_at(path, found, *remark) for remark in wording.say(error, Drill)[:plain_yaml.FAULTS_MOST]]
        else:
            problems += [_at(path, found, loc, loc, message) for loc, message in consistency.contradictions(drill)]
            warnings = [_at(path, found, loc, loc, message) for loc, message in consistency.doubts(drill)]
    if problems or drill is None:
        raise InvalidDrill(_first(problems))
    return LoadedDrill(drill, path, text, tuple(_first(warnings)))


def _at(path: Path, found: Read, loc: Loc, about: Loc, message: str) -> Problem:
    """A problem at a value, or at the nearest one around it; ``about``: the part that the message names."""
    known = loc
    while known and known not in found.places:
        known = known[:-1]
    named = wording.where(about)
    return _problem(path, found.places.get(known, TOP), f"{named}: {message}" if named else message)


def _problem(path: Path, place: Place, message: str) -> Problem:
    # Whatever a message repeats of a file, it is one line.
    return Problem(printable(str(path)), place.line, place.column, printable(message))


def _first(problems: list[Problem]) -> list[Problem]:
    """The problems in the order of the file; of very many the first, and how many more there are."""
    found = sorted(problems, key=lambda problem: (problem.line, problem.column))
    if (more := len(found) - plain_yaml.FAULTS_MOST) <= 0:
        return found
    found = found[:plain_yaml.FAULTS_MOST]
    return [*found, replace(found[-1], message=f"and {more} more from here on")]
