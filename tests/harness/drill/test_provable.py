"""Which claims a drill could show."""

from harness.drill.provable import NEEDS
from harness.measures.proofs import PROOFS


def test_there_is_a_need_for_each_claim_that_there_is_a_proof_of() -> None:
    assert set(NEEDS) == set(PROOFS)
