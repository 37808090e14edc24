"""Containers forked from one warm Airflow each have keys of their own, and none of anybody else."""

import asyncio
import json
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import jwt
import pytest
from cryptography.fernet import Fernet, InvalidToken
from itsdangerous import BadSignature, URLSafeSerializer

from harness.environments.embedded.node.running import RunningPod, WarmProcess
from orchestrator.airflow_settings import AIRFLOW_SETTINGS
from tests.harness.environments.embedded.conftest import Sites

pytestmark = pytest.mark.real
CONSTANT = "replaced-in-every-pod-before-anything-is-signed-0123456789"
"""What every pod of 0.2.0 accepted."""
Said = dict[str, Any]


def forged(key: str) -> str:
    """A token of an administrator, as somebody would sign it who has the key."""
    now = int(time.time())
    return jwt.encode({"sub": "admin", "role": "admin", "aud": "apache-airflow", "iat": now, "nbf": now,
                       "exp": now + 3600, "jti": "x"}, key, algorithm="HS512")


def keys() -> dict[str, str]:
    """The keys of a Deployment."""
    return {"AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32), "AIRFLOW__API__SECRET_KEY": secrets.token_hex(16),
            "AIRFLOW__CORE__FERNET_KEY": Fernet.generate_key().decode()}


@pytest.fixture
def contained(sites: Sites) -> Iterator[Callable[..., list[Said]]]:
    """Runs containers with the given environments, each with tokens to try; what they said."""
    site = sites.config("outside")
    directory = sites.root / "sites" / "outside"
    image = replace(site, image_socket=str(directory / "image.sock"))
    image.save(directory / "site.json")
    (directory / "node").mkdir()
    (directory / "node" / "image.json").write_text(json.dumps(AIRFLOW_SETTINGS))
    sites.start("airflow image", "node.zygote", "outside")

    async def run(environments: list[dict[str, str]], tokens: list[str]) -> list[Said]:
        warm = WarmProcess(image.image_socket, directory)
        async with asyncio.timeout(180):
            listening = asyncio.create_task(warm.listen())
            found = []
            for number, environment in enumerate(environments):
                place = sites.root / "sites" / "outside" / f"{len(list(directory.iterdir()))}-{number}"
                place.mkdir()
                (place / "tokens").write_text("\n".join(tokens))
                pod = RunningPod(place.name, {}, 0, "127.0.0.1", place)
                await warm.start(pod, ["python", "-m", "tests.harness.environments.embedded.airflow_keys_pod"], {
                    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "postgresql+psycopg2://a:b@127.0.0.1:9/x",
                    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": "postgresql+asyncpg://a:b@127.0.0.1:9/x",
                    "AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER": "s3://b/x", **environment})
                await pod.exited.wait()
                assert pod.exit_code == 0, pod.log.read_text()
                found.append(json.loads((place / "said").read_text()))
            listening.cancel()
        return found

    yield lambda environments, tokens: asyncio.run(run(environments, tokens))


def test_each_container_has_its_own_deployments_keys_and_no_others(contained: Callable[..., list[Said]]) -> None:
    first, second = keys(), keys()
    one, two, without, without_too = contained([first, second, {}, {}], [
        forged(CONSTANT), forged(first["AIRFLOW__API_AUTH__JWT_SECRET"]),
        forged(second["AIRFLOW__API_AUTH__JWT_SECRET"])])
    for said, own in ((one, first), (two, second)):
        assert (said["inherited"], said["had_key"], said["accepts_own"]) == ([], False, True)
        assert (said["jwt_key"], said["app_key"]) == (own["AIRFLOW__API_AUTH__JWT_SECRET"],
                                                      own["AIRFLOW__API__SECRET_KEY"])
        assert Fernet(own["AIRFLOW__CORE__FERNET_KEY"]).decrypt(said["secret"]) == b"connection"
        assert URLSafeSerializer(own["AIRFLOW__API__SECRET_KEY"]).loads(said["link"]) == "dag.py"
    assert [one["accepts"], two["accepts"]] == [[False, True, False], [False, False, True]]
    # Refused before anything is asked of the database, which is not there: with the right key that is an error.
    assert [one["statuses"], two["statuses"]] == [[403, 500, 403], [403, 403, 500]]
    with pytest.raises(InvalidToken):
        Fernet(second["AIRFLOW__CORE__FERNET_KEY"]).decrypt(one["secret"])
    with pytest.raises(BadSignature):
        URLSafeSerializer(second["AIRFLOW__API__SECRET_KEY"]).loads(one["link"])
    # A Deployment that was given none has some that nobody else has, not those of the image.
    for name in ("jwt_key", "fernet_key", "secret_key"):
        assert len({said[name] for said in (one, two, without, without_too)}) == 4
    assert without["accepts"] == [False, False, False]
