"""The files that fuzzing begins with: the kept corpus and the library's drills. Imports nothing that is fuzzed."""

from __future__ import annotations

from pathlib import Path

CORPUS = Path(__file__).with_name("corpus")
PLACES = (CORPUS, Path(__file__).parents[2] / "drills")


def seeds() -> list[bytes]:
    """What each of them holds."""
    return [path.read_bytes() for place in PLACES for path in sorted(place.iterdir()) if path.is_file()]
