"""A Deployment takes the tokens that it has issued, and nobody else's."""

import httpx
import pytest

from harness.engine.observers.tokens import GOOD_FOR_S, Tokens

ISSUED = {"a": "header.of-a.signed-by-a", "b": "header.of-b.signed-by-b"}


def airflow(keys: set[str], status: int = 403, refuses: bool = True) -> httpx.Client:
    """An API that takes tokens with these signatures."""

    def answer(request: httpx.Request) -> httpx.Response:
        signature = request.headers["authorization"].rpartition(".")[2]
        return httpx.Response(200 if signature in keys or not refuses else status)

    return httpx.Client(transport=httpx.MockTransport(answer), base_url="http://a.test")


@pytest.fixture
def tokens() -> Tokens:
    made = Tokens()
    for name, token in ISSUED.items():
        made.keep(name, token)
    return made


@pytest.mark.parametrize("status", [401, 403])
def test_a_deployment_with_its_own_key_is_right(tokens: Tokens, status: int) -> None:
    assert tokens.wrong(airflow({"signed-by-a"}, status), "a") == ""


def test_one_that_signs_with_another_key_now_refuses_what_it_issued(tokens: Tokens) -> None:
    assert "another key now" in tokens.wrong(airflow({"signed-by-c"}), "a")


def test_one_that_shares_its_key_is_found_out(tokens: Tokens) -> None:
    assert "share a key" in tokens.wrong(airflow({"signed-by-a", "signed-by-b"}), "a")


def test_one_that_looks_at_no_signature_is_found_out_even_alone() -> None:
    alone = Tokens()
    alone.keep("a", ISSUED["a"])
    assert "signature is none" in alone.wrong(airflow(set(), refuses=False), "a")


def test_a_token_that_may_be_too_old_by_now_says_nothing(tokens: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    token, issued = tokens._issued["a"]
    monkeypatch.setitem(tokens._issued, "a", (token, issued - GOOD_FOR_S))
    assert tokens.wrong(airflow({"signed-by-c"}), "a") == ""


def test_no_usable_answer_is_neither(tokens: Tokens) -> None:
    with pytest.raises(httpx.HTTPStatusError):
        tokens.wrong(airflow(set(), 503), "a")


def test_a_deployment_that_issued_none_is_not_asked(tokens: Tokens) -> None:
    assert tokens.wrong(airflow(set(), 503), "c") == ""
