"""A fault that stands: something was broken, or may have been, and has not been taken back yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Standing:
    """A fault by its name, and what takes it back."""

    fault: str
    undo: Mapping[str, Any]
    """Data, as the journal holds it: whoever reads that can take the fault back."""
