"""The files that fuzzing begins with: the kept corpus and the library's drills. Imports nothing that is fuzzed."""

from __future__ import annotations

from pathlib import Path

CORPUS = Path(__file__).with_name("corpus")
GUIDES = ("harness.drill", "harness.common", "harness.faults", "harness.engine.sizing", "harness.cli.plan")
"""The modules and packages whose coverage guides the fuzzing; a name that is no module's would guide nothing, silently."""
PLACES = (CORPUS, Path(__file__).parents[2] / "drills")


def seeds() -> list[bytes]:
    """What each of them holds."""
    return [path.read_bytes() for place in PLACES for path in sorted(place.iterdir()) if path.is_file()]
