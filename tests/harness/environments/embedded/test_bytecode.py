"""What processes import, and may not compile for each other, is compiled for them."""

import compileall
import os
import stat
import sys
from pathlib import Path

import pytest

from harness.environments.embedded import bytecode
from harness.environments.embedded.bytecode import uncompiled


def packages(root: Path) -> None:
    for name in ("one/__init__.py", "one/two/module.py", "one/tests/test_it.py", "one-1.0.dist-info/x.py", "alone.py"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x = 1\n")


def names(root: Path) -> set[str]:
    return {str(Path(path).relative_to(root)) for path in uncompiled([root])}


def test_what_has_no_bytecode_of_this_interpreter_is_found(tmp_path: Path) -> None:
    packages(tmp_path)
    assert names(tmp_path) == {"one/__init__.py", "one/two/module.py", "alone.py"}
    compileall.compile_dir(tmp_path / "one", quiet=2)
    assert names(tmp_path) == {"alone.py"}
    kept = next((tmp_path / "one" / "two" / "__pycache__").iterdir())
    kept.rename(kept.with_name("module.cpython-27.pyc"))
    assert names(tmp_path) == {"alone.py", "one/two/module.py"}


def test_bytecode_that_only_its_owner_can_read_is_made_readable(tmp_path: Path) -> None:
    packages(tmp_path)
    compileall.compile_dir(tmp_path, quiet=2)
    cache = tmp_path / "one" / "__pycache__"
    kept = cache / f"__init__.{sys.implementation.cache_tag}.pyc"
    kept.chmod(0o600)
    cache.chmod(0o700)
    assert names(tmp_path) == set()
    assert [stat.S_IMODE(path.stat().st_mode) for path in (cache, kept)] == [0o755, 0o644]


def test_it_is_said_once_that_much_is_compiled_and_nothing_is_said_of_a_file_that_is_no_python(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packages(tmp_path)
    (tmp_path / "template.py").write_text("{{ name }} = = 1\n")
    monkeypatch.setattr(bytecode, "OURS", ())
    monkeypatch.setattr(bytecode, "FEW", 2)
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path))
    said: list[str] = []
    before = os.umask(0o077)
    bytecode.provide(said.append)
    os.umask(before)
    assert said == ["compiling 4 Python files, once: the user that will run them cannot keep the result"]
    assert names(tmp_path) == {"template.py"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*.pyc")} == {0o644}
    bytecode.provide(said.append)
    assert len(said) == 1
