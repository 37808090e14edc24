"""Bytecode of the packages, made by root for processes that may not write it.

Python compiles a module when it is first imported and keeps the result beside the source, for the next process. A user to
whom the packages do not belong cannot keep it, so each of its processes would compile all that it imports. Most installers
compile what they install; ``uv`` leaves it to Python. And what root's own processes have kept may be root's alone.
"""

from __future__ import annotations

import compileall
import os
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path

OURS = ("harness", "orchestrator", "loadgen", "wire")
CACHE, TESTS = "__pycache__", "tests"
FEW = 100
"""Some files of packages are templates, and no Python; it is not worth a word that so few are tried again."""


def provide(progress: Callable[[str], None]) -> None:
    """Compile, as root, what has not been: once for all packages, which takes a while, and then next to nothing."""
    ours = {Path(spec.origin).parent for name in OURS if (spec := find_spec(name)) and spec.origin}
    for place in ours:
        compileall.compile_dir(place, quiet=2)
    if left := list(uncompiled({*ours, *(Path(sysconfig.get_path(kind)) for kind in ("purelib", "platlib"))})):
        if len(left) > FEW:
            progress(f"compiling {len(left)} Python files, once: the user that will run them cannot keep the result")
        subprocess.run([sys.executable, "-m", "compileall", "-qq", "-j", "0", "-i", "-"], check=False, text=True, umask=0o022,
                       input="".join(f"{path}\n" for path in left), stdout=subprocess.DEVNULL)


def uncompiled(places: Iterable[Path]) -> Iterator[str]:
    """Modules below some directories whose bytecode this interpreter would not find (tests are left out).

    What is there and others cannot read is made as readable as source is.
    """
    ending = f".{sys.implementation.cache_tag}.pyc"
    todo = [str(place) for place in places]
    while todo:
        place, modules, kept = todo.pop(), [], set[str]()
        for entry in os.scandir(place):
            if entry.name.endswith(".py"):
                modules.append(entry.name)
            elif entry.name == CACHE:
                kept = _opened(entry)
            elif "." not in entry.name and entry.name != TESTS and entry.is_dir(follow_symlinks=False):
                todo.append(entry.path)
        yield from (f"{place}/{name}" for name in modules if name.removesuffix(".py") + ending not in kept)


def _opened(cache: os.DirEntry[str]) -> set[str]:
    """The names of what is kept in a directory of bytecode, all of it readable by everybody."""
    found = set()
    for entry, mode in ((cache, 0o755), *((entry, 0o644) for entry in os.scandir(cache.path))):
        if entry.stat().st_mode & mode != mode:
            os.chmod(entry.path, mode)
        found.add(entry.name)
    return found
