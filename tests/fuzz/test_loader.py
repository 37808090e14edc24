"""Whatever bytes a drill file holds, the loader ends in a drill or in faults with their places, soon."""

from __future__ import annotations

import random
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.drill.loader import InvalidDrill, LoadedDrill
from tests.fuzz.loader_target import Wrong, check
from tests.fuzz.mutations import mutate
from tests.fuzz.seeds import GUIDES, seeds

OFTEN = settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))


def test_the_kept_corpus_and_the_library_end_well() -> None:
    found = [check(data) for data in seeds()]
    assert any(isinstance(each, LoadedDrill) for each in found)
    assert any(isinstance(each, InvalidDrill) for each in found)


@OFTEN
@given(st.binary(max_size=2000))
def test_any_bytes_do(data: bytes) -> None:
    check(data)


@OFTEN
@given(st.text(alphabet=st.sampled_from("\t\n -:,[]{}&*!|>'\"%@`#?~<abz019é\ud7ff"), max_size=300))
def test_any_yaml_like_text_does(text: str) -> None:
    check(text.encode("utf-8", errors="replace"))


@OFTEN
@given(st.sampled_from(seeds()), st.integers(0, 2**32), st.integers(1, 6))
def test_any_drill_file_with_some_changes_does(data: bytes, seed: int, times: int) -> None:
    chance = random.Random(seed)
    for _ in range(times):
        data = mutate(data, chance)
    check(data)


def test_the_check_itself_finds_a_message_in_a_librarys_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.drill.wording._mismatch", lambda *_: "Input should be a valid tuple")
    with pytest.raises(Wrong, match="not in the user's words"):
        check(b"apiVersion: dr-drill/v1\nkind: Drill\nmetadata: {name: x}\nphases: 5\n")


@pytest.mark.parametrize("name", GUIDES)
def test_what_guides_the_fuzzing_is_what_the_loader_runs(name: str) -> None:
    assert any(loaded == name or loaded.startswith(f"{name}.") for loaded in sys.modules)


def test_every_module_of_drill_files_guides_the_fuzzing() -> None:
    known = {"harness.drill.loader", "harness.drill.plain_yaml", "harness.drill.wording", "harness.drill.schema",
             "harness.drill.consistency", "harness.drill.provable", "harness.drill.overrides", "harness.common.quoting",
             "harness.common.durations", "harness.faults"}
    assert known <= set(sys.modules)
    assert all(any(f"{name}.".startswith(f"{guide}.") for guide in GUIDES) for name in known)
