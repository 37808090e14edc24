"""What is printed decides nothing that is done: not a terminal that was closed, a reader that has gone, a full disk.

And it is text, whoever wrote it: control characters in it do nothing.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO

import click

from harness.common.quoting import visible


def echo(text: str, *, err: bool = False) -> None:
    """Print text that may be anybody's: a drill file's, an orchestrator's."""
    click.echo(visible(text), err=err)


class Tolerant:
    """A text stream that nothing is raised of: once it cannot be written any more, what is written is dropped."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write what can be written."""
        with self._dropping():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush what can be flushed."""
        with self._dropping():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @contextlib.contextmanager
    def _dropping(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            # What is in its buffer would be tried again and again, at the very end by the interpreter.
            with contextlib.suppress(OSError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, self._stream.fileno())
                os.close(nowhere)


def tolerate() -> None:
    """From now on nothing that is printed can fail, whatever becomes of the terminal."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:  # closed by whoever started us: the next file would get its number, and what is printed
            os.open(os.devnull, os.O_RDWR)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files need not be text
            setattr(sys, name, Tolerant(stream))
