"""Whether the tests of the measures would notice that a rule is broken: a mutation tester that knows SQL.

    ./dev python -m tests.bench.mutation [--sample 100] [--seed 1] [--jobs 2]

Half of the rules of ``harness/measures`` stand in SQL, which mutation testers for Python see as text. This one changes one
thing at a time, in a copy of the tree: a comparison, ``and``/``or``, a number, ``min``/``max``, a ``not``, a kind of
join, in Python and in the SQL of string constants alike (docstrings are left alone). Then it runs the tests of that
module and those of whole verdicts until the first fails. Each mutant that no test notices is printed with its place; a sample is drawn, because
each costs seconds.
"""

from __future__ import annotations

import argparse
import ast
import random
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

ROOT = Path(__file__).resolve().parents[2]
MUTATED = ("harness/measures",)
LEFT_OUT = {"__init__.py", "result.py", "series.py", "resources.py"}
"""What only describes or draws."""
TESTS = Path("tests/harness/measures")
COPIED = ("harness", "loadgen", "orchestrator", "reports", "tests", "pyproject.toml", "README.md")
TIMEOUT_S = 300
SQL = (
    (r"<=", "<"), (r">=", ">"), (r"(?<![<>=])<(?![=>])", "<="), (r"(?<![<>=-])>(?![=>])", ">="),
    (r"\band\b", "or"), (r"\bor\b(?! replace)", "and"), (r"\bmin\(", "max("), (r"\bmax\(", "min("),
    (r"\bnot \b", ""), (r"\banti join\b", "semi join"), (r"\bsemi join\b", "anti join"), (r"\bis distinct from\b", "="),
    (r"\bleft join\b", "join"), (r"\bdistinct \b", ""), (r"\bunion all\b", "except all"))
PYTHON = {ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">", ast.Eq: "!=", ast.NotEq: "==", ast.And: "or",
          ast.Or: "and", ast.Add: "-", ast.Sub: "+", ast.Is: "is not", ast.IsNot: "is"}
CALLS = {"min": "max", "max": "min", "any": "all", "all": "any"}


@dataclass(frozen=True)
class Mutant:
    """One change: where, and what the text becomes."""

    file: str
    line: int
    start: int
    end: int
    new: str
    was: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.was!r} -> {self.new!r}"


def mutants_of(path: Path) -> list[Mutant]:
    """All mutants of a file."""
    text = path.read_text()
    offsets = [0]
    for line in text.splitlines(keepends=True):
        offsets.append(offsets[-1] + len(line))
    tree = ast.parse(text)
    docstrings = {id(node.body[0].value) for node in ast.walk(tree)
                  if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and node.body
                  and isinstance(node.body[0], ast.Expr)}
    docstrings |= {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    name = str(path.relative_to(ROOT))
    found: list[Mutant] = []

    def add(start: int, end: int, new: str) -> None:
        found.append(Mutant(name, text.count("\n", 0, start) + 1, start, end, new, text[start:end]))

    def place(node: ast.AST) -> tuple[int, int]:
        assert isinstance(node, ast.expr)
        assert node.end_lineno is not None and node.end_col_offset is not None
        return offsets[node.lineno - 1] + node.col_offset, offsets[node.end_lineno - 1] + node.end_col_offset

    def between(left: ast.AST, right: ast.AST, operator: ast.AST) -> None:
        new = PYTHON.get(type(operator))
        start, end = place(left)[1], place(right)[0]
        if new is None:
            return
        if match := re.search(r"is not|not in|[<>=!]=|[<>+-]|\bis\b|\band\b|\bor\b", text[start:end]):
            add(start + match.start(), start + match.end(), new)

    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and len(node.ops) == 1:
            between(node.left, node.comparators[0], node.ops[0])
        elif isinstance(node, ast.BoolOp):
            between(node.values[0], node.values[1], node.op)
        elif isinstance(node, ast.BinOp):
            between(node.left, node.right, node.op)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CALLS:
            add(*place(node.func), CALLS[node.func.id])
        elif isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
            add(*place(node), repr(node.value + 1))
        elif (isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
              and re.search(r"\bselect\b|\bwhere\b|\bfilter\b", node.value)):
            start, end = place(node)
            for pattern, new in SQL:
                found += [Mutant(name, text.count("\n", 0, start + m.start()) + 1, start + m.start(), start + m.end(),
                                 new, m.group()) for m in re.finditer(pattern, text[start:end])]
    return found


def survives(mutant: Mutant, tree: Path) -> bool:
    """Whether the tests in a copy of the tree pass all the same."""
    path = tree / mutant.file
    # First the tests of the module itself, then those of whole verdicts: a rule that neither of them pins is open.
    own = TESTS / f"test_{path.name}"
    chosen = [str(test) for test in (own, TESTS / "test_verdicts.py") if (tree / test).exists()]
    text = path.read_text()
    path.write_text(text[:mutant.start] + mutant.new + text[mutant.end:])
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--no-header", *chosen], cwd=tree,
            capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        return False
    finally:
        path.write_text(text)
    return done.returncode == 0


def main() -> None:
    """Draw, mutate, test, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--sample", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default="", help="a part of a file's name")
    given = parser.parse_args()
    files = [p for folder in MUTATED for p in sorted((ROOT / folder).glob("*.py"))
             if p.name not in LEFT_OUT and given.only in p.name]
    found = [mutant for path in files for mutant in mutants_of(path)]
    drawn = random.Random(given.seed).sample(found, min(given.sample, len(found)))
    print(f"{len(found)} mutants in {len(files)} files, {len(drawn)} drawn", flush=True)
    with tempfile.TemporaryDirectory(prefix="drill-mutants-") as place:
        trees: SimpleQueue[Path] = SimpleQueue()
        for number in range(given.jobs):
            tree = Path(place) / str(number)
            tree.mkdir()
            for name in COPIED:
                source = ROOT / name
                (shutil.copytree if source.is_dir() else shutil.copy)(source, tree / name)
            trees.put(tree)

        def tried(mutant: Mutant) -> bool:
            tree = trees.get()
            try:
                return survives(mutant, tree)
            finally:
                trees.put(tree)

        with ThreadPoolExecutor(given.jobs) as pool:
            survivors = []
            for mutant, survived in zip(drawn, pool.map(tried, drawn), strict=True):
                if survived:
                    survivors.append(mutant)
                    print(f"survived: {mutant}", flush=True)
    print(f"{len(drawn) - len(survivors)} of {len(drawn)} mutants were noticed", flush=True)


if __name__ == "__main__":
    main()
