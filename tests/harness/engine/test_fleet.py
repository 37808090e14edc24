"""What the observer puts into Deployments and finds in them, and what it writes of a region's objects and settings."""

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.common.masking import Variables
from harness.engine import fleet as fleets
from harness.engine.checks import Pair, identity
from harness.engine.fleet import Fleet
from harness.engine.observers.seeds import NAME, seeds
from harness.systems.base import FleetMember, OrchestratorFailed
from loadgen.content import content

NAMED = {"variables": "key", "connections": "connection_id", "pools": "name"}


class Deployments:
    """A server that plays the REST APIs of all Deployments, told apart by hostname."""

    def __init__(self) -> None:
        self.stored: dict[tuple[str, str], dict[str, Any]] = {}
        self.refuse: tuple[str, str] = ("", "")
        self.takes_any = False
        """Whether any token is as good as another."""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                kind = self.path.rsplit("/", 1)[1]
                deployment = self.headers["host"].split(".")[0]
                if kind == "token":
                    self.answer(201, {"access_token": f"token of {deployment}"})
                elif (deployment, kind) == outer.refuse:
                    self.answer(409, {"detail": "it exists"})
                elif self.headers["authorization"] == f"Bearer token of {deployment}":
                    outer.stored[deployment, kind] = body
                    self.answer(201, body)

            def do_GET(self) -> None:
                deployment = self.headers["host"].split(".")[0]
                if "taskInstances" in self.path:
                    self.answer(200, {"task_instances": [{"dag_run_id": "r"}]})
                    return
                if "limit=" in self.path:
                    known = outer.takes_any or self.headers["authorization"] == f"Bearer token of {deployment}"
                    self.answer(200 if known else 403, {})
                    return
                *_, kind, name = self.path.split("/")
                found = outer.stored[deployment, kind]
                assert found[NAMED[kind]] == name
                self.answer(200, {**found, "password": "***", "occupied_slots": 0})

            def answer(self, status: int, body: dict[str, Any]) -> None:
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def deployments() -> Iterator[Deployments]:
    made = Deployments()
    yield made
    made.server.shutdown()
    made.server.server_close()


class Region:
    """A region's S3 and Kubernetes API as far as a look asks them."""

    def __init__(self, name: str) -> None:
        self.name, self.log_bucket, self.image_bucket = name, f"logs-{name}", f"images-{name}"
        self.objects: dict[str, list[dict[str, str]]] = {self.log_bucket: [], self.image_bucket: []}
        self.data: dict[str, list[Any]] = {"config_map": [], "secret": []}

    def settings(self, namespace: str, public: dict[str, str], secret: dict[str, str]) -> None:
        hidden = {key: base64.b64encode(value.encode()).decode() for key, value in secret.items()}
        for kind, data in (("config_map", public), ("secret", hidden)):
            self.data[kind].append(SimpleNamespace(metadata=SimpleNamespace(namespace=namespace), data=data))

    def get_paginator(self, _: str) -> Any:
        return SimpleNamespace(paginate=lambda Bucket: [{"Contents": self.objects[Bucket]}, {}])


@pytest.fixture
def fleet(deployments: Deployments, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    """A fleet of two in an environment that is all made up."""
    regions = {"primary": Region("west"), "secondary": Region("east")}
    environment: Any = SimpleNamespace(
        orchestrator_url="http://127.0.0.1:9", organization_id="o", cluster_id="c", secret=lambda _: "t",
        public_address=lambda _: "127.0.0.1", ingress_port=deployments.server.server_address[1], regions=regions,
        aws=lambda role, _: regions[role], kubernetes=lambda role: regions[role])

    def core(region: Region) -> Any:
        return SimpleNamespace(**{
            f"list_{kind}_for_all_namespaces": lambda field_selector, kind=kind: SimpleNamespace(items=region.data[kind])
            for kind in region.data})

    monkeypatch.setattr(fleets, "kubernetes_client", SimpleNamespace(CoreV1Api=core))
    monkeypatch.setattr(fleets, "site_names", lambda env, role: {"region": env.regions[role].name})
    made = Fleet(environment, 2)
    made.members = [FleetMember(f"id-{n}", n, f"ns-{n}", "HEALTHY", f"{n}.test") for n in ("team-00", "team-01")]
    made._passwords = {"team-00": "a", "team-01": "b"}
    return made


def written(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_observer_puts_a_variable_a_connection_and_a_pool_of_its_own_into_every_deployment(
    fleet: Fleet, deployments: Deployments
) -> None:
    fleet.seed()
    assert deployments.stored == {
        (name, kind): seed for name in ("team-00", "team-01") for kind, seed in seeds(name).items()}
    connection = deployments.stored["team-00", "connections"]
    assert all(connection[key] for key in (
        "conn_type", "host", "login", "password", "port", "schema", "extra", "description"))


def test_a_deployment_that_refuses_is_named(fleet: Fleet, deployments: Deployments) -> None:
    deployments.refuse = ("team-01", "pools")
    with pytest.raises(OrchestratorFailed, match=r"team-01 .* pools: 409 .*it exists"):
        fleet.seed()


def test_what_was_put_there_is_found_again(fleet: Fleet, deployments: Deployments,
                                           monkeypatch: pytest.MonkeyPatch) -> None:
    fleet.seed()
    monkeypatch.setattr(identity, "_log_missing", lambda _: "")
    assert identity.carried_over(Pair(fleet._environment, fleet, "secondary"))[0]


def test_deployments_that_take_each_others_tokens_are_found_out(
    fleet: Fleet, deployments: Deployments, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.seed()
    monkeypatch.setattr(identity, "_log_missing", lambda _: "")
    deployments.takes_any = True
    assert identity.carried_over(Pair(fleet._environment, fleet, "secondary")) == (
        False, "team-00: it takes a token that another Deployment issued: they share a key")


@pytest.mark.parametrize(("kind", "field", "value"), [
    ("variables", "value", "rm -rf /; by team-01"), ("variables", "description", None),
    ("connections", "login", "x"), ("connections", "port", 5432), ("connections", "conn_type", "http"),
    ("connections", "schema", None), ("connections", "host", "x.observer.test"), ("connections", "extra", "{}"),
    ("pools", "slots", 128), ("pools", "include_deferred", False)])
def test_any_field_that_reads_otherwise_is_said(
    fleet: Fleet, deployments: Deployments, kind: str, field: str, value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.seed()
    monkeypatch.setattr(identity, "_log_missing", lambda _: "")
    deployments.stored["team-01", kind] |= {field: value}
    ok, said = identity.carried_over(Pair(fleet._environment, fleet, "secondary"))
    assert not ok
    assert said == f"team-01: of its {kind}, {NAME} reads { {field: value} }"


def test_objects_are_written_with_their_content(fleet: Fleet, tmp_path: Path) -> None:
    import hashlib

    region: Any = fleet._environment.regions["primary"]
    region.objects = {
        "logs-west": [{"Key": "ns/a.log", "ETag": f'"{hashlib.md5(b"lines").hexdigest()}"'}],
        "images-west": [{"Key": "pushed/1", "ETag": f'"{hashlib.md5(b"in parts").hexdigest()}-2"'}]}
    fleet.append_object_keys(tmp_path / "look", "primary")
    assert written(tmp_path / "look") == [{"f": "log", "key": "ns/a.log", "c": content(b"lines")},
                                          {"f": "image", "key": "pushed/1", "c": None}]


def test_settings_of_both_regions_are_the_same_but_for_what_really_differs_and_no_value_is_written(
    fleet: Fleet, tmp_path: Path
) -> None:
    regions: Any = fleet._environment.regions
    for region in regions.values():
        region.settings("ns-team-00", {"BUCKET": f"logs-{region.name}", "PARALLELISM": "64"}, {"FERNET_KEY": "s3cret"})
        region.settings("kube-system", {"OTHER": "x"}, {})
    regions["secondary"].settings("ns-team-01", {"PARALLELISM": "32"}, {})
    regions["primary"].settings("ns-team-01", {"PARALLELISM": "64"}, {})
    for role in regions:
        fleet.append_settings(tmp_path / role, role)
    here, there = ({(fact["d"], fact["key"]): fact["c"] for fact in written(tmp_path / role)} for role in regions)
    assert set(here) == {("team-00", "BUCKET"), ("team-00", "PARALLELISM"), ("team-00", "FERNET_KEY"),
                         ("team-01", "PARALLELISM")}
    assert {key for key in here if here[key] != there[key]} == {("team-01", "PARALLELISM")}
    assert all(fact["f"] == "environment" for fact in written(tmp_path / "primary"))
    assert "s3cret" not in (tmp_path / "primary").read_text()


def test_a_digest_of_a_setting_cannot_be_guessed_from_the_evidence(fleet: Fleet, tmp_path: Path) -> None:
    regions: Any = fleet._environment.regions
    regions["primary"].settings("ns-team-00", {"PARALLELISM": "64"}, {"PIN": "1234"})

    def digests() -> set[int]:
        fleet.append_settings(tmp_path / "look", "primary")
        return {fact["c"] for fact in written(tmp_path / "look")}

    first = digests()
    assert digests() == first, "looks of one run can be compared"
    assert not first & {content(b"64"), content(b"1234")}
    fleet.digest_key = Fleet(fleet._environment, 1).digest_key
    assert len(digests()) == 4, "another run's key makes other digests"


def test_settings_are_shown_as_in_force_and_what_may_be_secret_is_masked(
        fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    there = {"AIRFLOW__CORE__PARALLELISM": "64", "AIRFLOW__CORE__FERNET_KEY": "put here by mistake", "DR_DRILL_X": "1",
             "AIRFLOW__SCHEDULER__JOB_HEARTBEAT_SEC": "20", "AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER": "s3://x",
             "AIRFLOW__X__LICENCE": "hunter22"}
    monkeypatch.setattr(fleets, "kubernetes_client", SimpleNamespace(CoreV1Api=lambda _: SimpleNamespace(
        read_namespaced_config_map=lambda *_: SimpleNamespace(data=there))))
    asked: list[Any] = []
    monkeypatch.setattr(fleet.orchestrator, "create_deployments", lambda *given: asked.append(given))
    fleet.create(Variables({"AIRFLOW__SCHEDULER__JOB_HEARTBEAT_SEC": "20", "AIRFLOW__X__LICENCE": "hunter22",
                            "AIRFLOW__X__HIDDEN": "kept in a Secret"}, ["AIRFLOW__SCHEDULER__*"]))
    assert fleet.settings() == {
        "AIRFLOW__CORE__FERNET_KEY": "***", "AIRFLOW__CORE__PARALLELISM": "64",
        "AIRFLOW__SCHEDULER__JOB_HEARTBEAT_SEC": "20", "AIRFLOW__X__HIDDEN": "***", "AIRFLOW__X__LICENCE": "***"}
    (_, values, secret), = asked
    assert values["AIRFLOW__X__LICENCE"] == "hunter22"
    assert secret == {"AIRFLOW__X__LICENCE", "AIRFLOW__X__HIDDEN"}
