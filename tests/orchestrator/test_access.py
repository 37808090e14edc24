"""Whoever has no token learns nothing from the orchestrator, and nothing that they send is read."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from orchestrator.api import BODY_MOST, build
from orchestrator.config import InvalidConfig, OrchestratorConfig
from orchestrator.store import Store
from tests.orchestrator.test_api import ADMIN, AGENT, API, BASE, READ, config, store

__all__ = ["config", "store"]


@pytest.fixture
def app(config: OrchestratorConfig, store: Store) -> FastAPI:
    return build(config, store)


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


@pytest.mark.parametrize("path", [
    "/docs", "/redoc", "/openapi.json", "/docs/oauth2-redirect", "/metrics", f"{BASE}/clusters", "/nothing",
    "/agent/clusters/c1/regions/west", "/healthz/", "//healthz", "/"])
def test_everything_but_the_health_needs_a_token(app: FastAPI, path: str) -> None:
    client = TestClient(app, follow_redirects=False)
    for header in ({}, bearer(""), bearer("x" * 30), {"authorization": API}, {"authorization": f"Basic {API}"},
                   bearer(API[:-1])):
        answer = client.get(path, headers=header)
        assert answer.status_code == 401
        assert set(answer.json()) == {"message", "requestId", "statusCode"}
        assert answer.headers["x-request-id"] == answer.json()["requestId"]


def test_the_health_tells_that_the_server_runs_and_nothing_else(app: FastAPI) -> None:
    assert TestClient(app).get("/healthz").json() == {"ok": True}


def test_a_token_opens_the_documents(app: FastAPI) -> None:
    for path in ("/docs", "/openapi.json"):
        assert TestClient(app, headers=bearer(READ)).get(path).status_code == 200


def test_an_agents_token_opens_nothing_but_what_agents_ask(app: FastAPI) -> None:
    client = TestClient(app, headers=bearer(AGENT))
    assert client.get("/agent/clusters/c1/regions/west").status_code == 200
    for path in (f"{BASE}/clusters", "/metrics", "/openapi.json"):
        assert client.get(path).status_code == 401
    for token in (READ, API, ADMIN):
        assert client.get("/agent/clusters/c1/regions/west", headers=bearer(token)).status_code == 401


@pytest.mark.parametrize("path", [f"{BASE}/clusters", f"{BASE}/deployments", "/agent/clusters/c1/regions/west"])
def test_the_body_of_a_stranger_is_not_read(app: FastAPI, path: str) -> None:
    statuses: list[int] = []

    async def receive() -> dict[str, Any]:
        raise AssertionError("the body is read before the token is asked for")

    async def send(message: Any) -> None:
        statuses.extend([message["status"]] if message["type"] == "http.response.start" else [])

    scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b"",
             "headers": [(b"content-type", b"application/json"), (b"content-length", b"400000000")],
             "http_version": "1.1", "scheme": "http", "server": ("h", 1), "client": ("c", 1), "root_path": ""}
    asyncio.run(app(scope, receive, send))
    assert statuses == [401]


def test_the_body_of_anybody_else_may_be_so_long_and_no_longer(app: FastAPI) -> None:
    client = TestClient(app, headers=bearer(API))
    for size, status in ((BODY_MOST - 100, 400), (BODY_MOST + 100, 413)):
        assert client.post(f"{BASE}/clusters", content=b'"' + b"x" * size + b'"').status_code == status


# -- the configuration --------------------------------------------------------------------------


def written(config: OrchestratorConfig, directory: Path, **changed: Any) -> Path:
    path = directory / "config.json"
    path.write_text(json.dumps({**json.loads(config.model_dump_json()), **changed}))
    return path


@pytest.mark.parametrize("key", ["agent_token", "api_token", "read_token", "admin_token"])
@pytest.mark.parametrize("token", ["", " ", "short", "with a blank in it, long", "two-lines-of-text\nX", "zwölf-mal-zwölf-ü"])
def test_a_token_that_could_be_guessed_or_not_be_sent_is_an_error(
    config: OrchestratorConfig, tmp_path: Path, key: str, token: str
) -> None:
    with pytest.raises(InvalidConfig) as error:
        OrchestratorConfig.load(written(config, tmp_path, **{key: token}))
    assert str(error.value).startswith(f"{tmp_path}/config.json: {key}: ")
    assert "\n" not in str(error.value)
    assert not token.strip() or token not in str(error.value)


def test_a_token_is_one_callers_alone(config: OrchestratorConfig, tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="admin_token must not be the same as read_token") as error:
        OrchestratorConfig.load(written(config, tmp_path, admin_token=READ))
    assert READ not in str(error.value)


def test_tokens_that_are_not_given_are_nobodys(config: OrchestratorConfig, store: Store, tmp_path: Path) -> None:
    loaded = OrchestratorConfig.load(written(config, tmp_path, read_token=None, admin_token=None))
    client = TestClient(build(loaded, store))
    for token in ("", "None", READ, ADMIN):
        assert client.get(f"{BASE}/clusters", headers=bearer(token)).status_code == 401


def test_a_configuration_shown_shows_no_secret(config: OrchestratorConfig) -> None:
    for secret in (API, AGENT, READ, ADMIN, config.aws_secret_key + "'"):
        assert secret not in repr(config)


@pytest.mark.parametrize(("content", "said"), [
    (b"", "is not JSON"), (b"{", "is not JSON"), (b"\xff\xfe\x00", "is not JSON"), (b"[" * 100_000, "is not JSON"),
    (b"[]", "should be a valid dictionary"), (b'"the-secret"', "should be a valid dictionary"),
    (b'{"port": "the-secret"}', "port: "), (b'{"the_token": "the-secret"}', "the_token: ")])
def test_a_file_that_is_no_configuration_is_said_to_be_so_in_one_line_and_nothing_is_started(
    tmp_path: Path, content: bytes, said: str
) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(InvalidConfig) as error:
        OrchestratorConfig.load(path)
    assert said in str(error.value)
    assert "the-secret" not in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("path", ["/dev/zero", "not-there", "."])
def test_what_is_no_file_is_not_read(path: str) -> None:
    with pytest.raises(InvalidConfig, match="not a file"):
        OrchestratorConfig.load(path)


def test_the_command_says_it_in_one_line_and_ends_with_2(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "orchestrator.server", str(tmp_path / "none")],
                          capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"{tmp_path}/none is not a file\n"


@pytest.mark.parametrize(("key", "value"), [
    ("port", 0), ("port", -1), ("port", 65536), ("port", 10**400), ("host", ""), ("host", "a\0b"), ("host", "a b")])
def test_an_address_at_which_nobody_can_listen_is_an_error(
        config: OrchestratorConfig, tmp_path: Path, key: str, value: object) -> None:
    with pytest.raises(InvalidConfig, match=f"config.json: {key}: "):
        OrchestratorConfig.load(written(config, tmp_path, **{key: value}))


def test_a_store_that_no_file_can_be_called_is_said_in_one_line(config: OrchestratorConfig, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "orchestrator.server", str(written(config, tmp_path, store="a\0b"))],
                          capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (4, "", 1)
    assert "cannot be used: embedded null byte" in done.stderr
