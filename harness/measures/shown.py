"""What a run has shown of a claim, and by which kind of evidence."""

from __future__ import annotations

from dataclasses import dataclass

from harness.measures.interval import Verdict

OBSERVED, WORD = "observed", "the orchestrator's own word"
PARTLY = "observed in part, the rest is the orchestrator's own word"


@dataclass(frozen=True)
class Shown:
    """What a run has shown: the verdict, the evidence in words, and what kind of evidence it is."""

    verdict: Verdict
    evidence: str
    source: str = OBSERVED
