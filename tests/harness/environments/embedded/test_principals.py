"""Servers know who calls by the credential that is offered, and write it down."""

import asyncio
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from harness.environments.embedded.addresses import Block, Site
from harness.environments.embedded.aws.server import AwsEndpoint
from harness.environments.embedded.credentials import AWS_KEYS, make_certificates, make_secrets
from harness.environments.embedded.kube.server import KubernetesApi
from harness.environments.embedded.principals import principal
from harness.environments.embedded.site import SiteConfig

CALLERS = ["orchestrator", "observer", "workload"]


@pytest.fixture
def site(tmp_path: Path) -> SiteConfig:
    """A site whose credentials are called after their owners."""
    return SiteConfig(
        environment="e", directory=str(tmp_path), block=9, site=Site.OUTSIDE.value, region="us-east-1",
        cluster_id="c", kube_token="workload", control_token="workload", aws_access_key="workload",
        aws_secret_key="s", postgres_password="p", replication_password="r",
        kube_orchestrator_token="orchestrator", kube_observer_token="observer",
        observer_control_token="observer", aws_orchestrator_key="orchestrator", aws_observer_key="observer")


def logged(log: Path) -> list[tuple[str | None, str]]:
    return [(line.get("who"), line["status"]) for line in map(json.loads, log.read_text().splitlines())]


@pytest.mark.parametrize(("offered", "who"), [
    ("one", "first"), ("two", "second"), ("", None), ("tw", None), ("three", None), ("zwö\xff", None)])
def test_a_caller_is_who_owns_the_credential(offered: str, who: str | None) -> None:
    assert principal(offered, {"first": "one", "second": "two", "nobody": ""}) == who


def test_every_caller_has_credentials_of_its_own(tmp_path: Path) -> None:
    made = make_secrets(tmp_path, Block(9))
    assert len(set(made.values())) == len(made)
    assert set(AWS_KEYS) < made.keys()
    for site in ("primary", "secondary", "orchestrator"):
        (tmp_path / "sites" / site).mkdir(parents=True)
    make_certificates(tmp_path, Block(9), made)

    def token(kubeconfig: Path) -> str:
        return str(yaml.safe_load(kubeconfig.read_text())["users"][0]["user"]["token"])

    for role in ("primary", "secondary"):
        assert token(tmp_path / f"kubeconfig-{role}") == made[f"kube_observer_token_{role}"]
        assert token(tmp_path / "sites/orchestrator" / f"kubeconfig-{role}") == made[f"kube_orchestrator_token_{role}"]


@pytest.fixture
def call_aws(site: SiteConfig) -> Callable[..., str]:
    """Makes one GET of an endpoint with the given headers; the status."""
    endpoint = AwsEndpoint(site)

    def call(path: str = "/", **headers: str) -> str:
        statuses: list[str] = []
        environ: dict[str, Any] = {
            "REQUEST_METHOD": "GET", "PATH_INFO": path, "QUERY_STRING": "", "SERVER_NAME": "localhost",
            "SERVER_PORT": "80", "HTTP_HOST": "localhost", "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(), "REMOTE_ADDR": "127.9.130.14", **headers}
        for _ in endpoint(environ, lambda status, *_: statuses.append(status)):
            pass
        return statuses[0].split()[0]

    return call


def signed(key: str) -> str:
    return f"AWS4-HMAC-SHA256 Credential={key}/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"


def test_an_aws_endpoint_logs_who_called(site: SiteConfig, call_aws: Callable[..., str]) -> None:
    for key in CALLERS:
        assert call_aws(HTTP_AUTHORIZATION=signed(key)) == "200"
    assert call_aws(HTTP_AUTHORIZATION=signed("stranger")) == "403"
    assert call_aws(HTTP_AUTHORIZATION="AWS4-HMAC-SHA256 Credential=observer") == "403"
    assert call_aws() == "403"
    assert logged(site.path / "aws" / "access.jsonl") == [
        *((key, "200") for key in CALLERS), (None, "403"), (None, "403"), (None, "403")]


def test_control_calls_are_the_observers_or_the_other_regions(
    site: SiteConfig, call_aws: Callable[..., str]
) -> None:
    for token, status in (("observer", "404"), ("workload", "404"), ("orchestrator", "403"), ("", "403")):
        assert call_aws("/_dr/nothing", HTTP_X_DR_TOKEN=token) == status
    log = site.path / "aws" / "access.jsonl"
    assert logged(log) == [("observer", "404"), ("workload", "404"), (None, "403"), (None, "403")]
    assert {json.loads(line)["service"] for line in log.read_text().splitlines()} == {"control"}


def test_a_kubernetes_api_logs_who_called(site: SiteConfig) -> None:
    transport = httpx.ASGITransport(app=KubernetesApi(site).app())

    async def call(authorization: str) -> int:
        async with httpx.AsyncClient(transport=transport, base_url="http://k") as client:
            headers = {"authorization": authorization} if authorization else {}
            return (await client.get("/api/v1/namespaces", headers=headers)).status_code

    offered = [*(f"Bearer {token}" for token in CALLERS), "Bearer stranger", "observer", "Basic observer", ""]
    assert [asyncio.run(call(header)) for header in offered] == [200, 200, 200, 401, 401, 401, 401]
    assert logged(site.path / "kube" / "access.jsonl") == [
        *((token, "200") for token in CALLERS), *[(None, "401")] * 4]
