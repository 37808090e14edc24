"""What must hold of the loader whatever a file holds, for Hypothesis and for atheris alike."""

from __future__ import annotations

import re
import time
from pathlib import Path

from harness.cli import plan
from harness.common.quoting import INVISIBLE
from harness.drill.loader import InvalidDrill, LoadedDrill, parse_bytes
from harness.drill.plain_yaml import FAULTS_MOST
from harness.engine.sizing import Machine

SLOWEST_S = 1.0
"""Of CPU time: a busy machine is no fault of the loader's."""
FILE = Path("x.yaml")
_LINE_END = re.compile(r"\r\n|\r|\n")
_OTHERS_WORDS = re.compile(r"Input should|instance of|validation error|Tuple|NoneType|<class|pydantic|[A-Z][a-z]+Spec\b")
"""Words of the libraries that read a drill file, which no user knows."""


class Wrong(AssertionError):
    """The loader did what it must never do."""


def check(data: bytes) -> LoadedDrill | InvalidDrill:
    """Load and plan; every problem has a place inside the file, and its message is one line that can be shown.

    Raises:
        Wrong: when it does not hold, or took too long.
    """
    began = time.process_time()
    found: LoadedDrill | InvalidDrill
    try:
        found = parse_bytes(data, FILE)
    except InvalidDrill as refused:
        found = refused
    if (took := time.process_time() - began) > SLOWEST_S:
        raise Wrong(f"took {took:.1f} s")
    problems = found.problems if isinstance(found, InvalidDrill) else list(found.warnings)
    if isinstance(found, LoadedDrill):
        plan.describe(found, Machine(8000, 2))
    elif not problems or len(problems) > FAULTS_MOST + 1:
        raise Wrong(f"{len(problems)} problems")
    lines = [len(line) for line in _LINE_END.split(data.decode("utf-8", errors="replace"))]
    for problem in problems:
        if not 1 <= problem.line <= len(lines) or not 1 <= problem.column <= lines[problem.line - 1] + 1:
            raise Wrong(f"{problem.line}:{problem.column} is outside of the file")
        if INVISIBLE.search(str(problem)) or "\n" in str(problem) or len(problem.message) > 1000:
            raise Wrong(f"a message that cannot be shown on a line: {problem.message!r}")
        if _OTHERS_WORDS.search(problem.message) and not _OTHERS_WORDS.search(data.decode("utf-8", errors="replace")):
            raise Wrong(f"not in the user's words: {problem.message}")
    return found
