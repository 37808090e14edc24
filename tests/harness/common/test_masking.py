"""Which of a drill's variables may be read, and what is masked."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from urllib.parse import quote

import pytest
import yaml

from harness.cli import plan
from harness.common.masking import Variables
from harness.drill.loader import InvalidDrill, LoadedDrill, load, parse
from harness.record import journal
from harness.record.events import Check, Failure, Gap, RunBroken
from harness.record.journal import Journal

LIBRARY = Path(__file__).parents[3] / "drills"
DRILL = """\
apiVersion: dr-drill/v1
kind: Drill
metadata: {{name: x, title: "{title}"}}
fleet:
  deployments: 1
  environment:
{environment}
  {public}
phases:
  - load: {{}}
"""


def drill(environment: str, public: str = "canary: 10s", title: str = "t") -> LoadedDrill:
    return parse(DRILL.format(environment="\n".join("    " + line for line in environment.splitlines()), public=public,
                              title=title), Path("x.yaml"))


def published(loaded: LoadedDrill) -> str:
    return loaded.drill.fleet.variables.mask_file(loaded.text)


@pytest.mark.parametrize("value", [
    "hunter22", "'it''s a secret'", '"a \\"b\\" \\u00e9 c"', "abc  # not this", "|\n  line one\n  line two", ">-\n  folded\n  text",
    '"a"', "'{json: 1}'"])
def test_the_text_of_a_drill_has_the_names_and_not_the_values(value: str) -> None:
    loaded = drill(f"FIRST: {value}\nSECOND: other-secret")
    text = published(loaded)
    was, now = yaml.safe_load(loaded.text), yaml.safe_load(text)
    assert now["fleet"].pop("environment") == {"FIRST": "***", "SECOND": "***"}
    del was["fleet"]["environment"]
    assert now == was
    secret = loaded.drill.fleet.environment["FIRST"]
    assert len(secret) < 6 or secret not in text


def test_the_rest_of_the_text_is_as_it_was_and_so_is_its_hash() -> None:
    loaded = drill("A: hunter22  # a comment\nB: xyz")
    assert published(loaded) == loaded.text.replace("hunter22", '"***"').replace("xyz", '"***"')
    assert loaded.sha256 == hashlib.sha256(loaded.text.encode()).hexdigest()


def test_the_drills_of_the_library_are_published_as_they_are() -> None:
    for path in LIBRARY.glob("*.yaml"):
        loaded = load(path)
        assert published(loaded) == loaded.text, path.name


def test_a_value_that_stands_elsewhere_too_is_masked_there() -> None:
    loaded = drill("A: hunter22", title="the key is hunter22")
    assert "hunter22" not in published(loaded)
    assert loaded.drill.fleet.variables.mask(loaded.drill.metadata.title) == "the key is ***"


@pytest.mark.parametrize(("public", "shown"), [
    ([], {"AIRFLOW__SCHEDULER__JOB_HEARTBEAT_SEC": "***", "AIRFLOW__SMTP__SMTP_PASSWORD": "***", "SECRETLY": "***"}),
    (["AIRFLOW__*"], {"AIRFLOW__SCHEDULER__JOB_HEARTBEAT_SEC": "20", "AIRFLOW__SMTP__SMTP_PASSWORD": "***",
                      "SECRETLY": "***"}),
    (["AIRFLOW__SMTP__SMTP_PASSWORD"], {"AIRFLOW__SCHEDULER__JOB_HEARTBEAT_SEC": "***",
                                       "AIRFLOW__SMTP__SMTP_PASSWORD": "hunter22", "SECRETLY": "***"}),
    (["*"], {"AIRFLOW__SCHEDULER__JOB_HEARTBEAT_SEC": "20", "AIRFLOW__SMTP__SMTP_PASSWORD": "***",
             "SECRETLY": "***"})])
def test_what_is_marked_public_is_shown_and_what_looks_secret_only_by_its_whole_name(
        public: list[str], shown: dict[str, str]) -> None:
    values = {"AIRFLOW__SCHEDULER__JOB_HEARTBEAT_SEC": "20", "AIRFLOW__SMTP__SMTP_PASSWORD": "hunter22",
              "SECRETLY": "postgresql://u:hunter22@host/db"}
    assert Variables(values, public).shown == shown


@pytest.mark.parametrize(("name", "value"), [
    ("AIRFLOW__CORE__FERNET_KEY", "x"), ("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "x"), ("AIRFLOW_CONN_AWS", "x"),
    ("AIRFLOW_VAR_A", "x"), ("AIRFLOW__API_AUTH__JWT_SECRET", "x"), ("AWS_SECRET_ACCESS_KEY", "x"), ("GITHUB_TOKEN", "x"),
    ("AIRFLOW__CELERY__BROKER_URL", "x"), ("PROXY", "http://me:pw@proxy:80"), ("PEM", "-----BEGIN RSA PRIVATE KEY-----")])
def test_a_pattern_never_shows_what_is_a_secret_by_its_name_or_its_looks(name: str, value: str) -> None:
    assert Variables({name: value}, ["*"]).shown == {name: "***"}


def test_a_pattern_shows_every_setting_of_the_library() -> None:
    fleet = load(LIBRARY / "full-scale.yaml").drill.fleet
    assert fleet.environment
    assert fleet.variables.shown == dict(fleet.environment)


@pytest.mark.parametrize("public", ["B", "AIRFLOW__*"])
def test_a_public_name_that_no_variable_has_is_refused(public: str) -> None:
    with pytest.raises(InvalidDrill, match=r"there is no such variable in environment"):
        drill("A: hunter22", public=f'public-environment: ["{public}"]')


@pytest.mark.parametrize("form", [
    lambda v: v, lambda v: json.dumps(v), lambda v: quote(v, safe=""), lambda v: base64.b64encode(v.encode()).decode()])
def test_a_message_has_none_of_the_values_however_they_are_written(form: object) -> None:
    value = 'p@ss "w\u00f6rd"\\/1'
    assert callable(form)
    said = Variables({"A": value, "B": value[:8]}).mask(f"the orchestrator refused {form(value)}.")
    assert said.replace('"', "") == "the orchestrator refused ***."


def test_a_short_value_does_not_garble_messages() -> None:
    assert Variables({"A": "20"}).mask("took 20 s") == "took 20 s"


def test_the_journal_keeps_what_the_measures_read_and_masks_what_people_say(tmp_path: Path) -> None:
    book = Journal(tmp_path, mask=Variables({"REGION": "us-east-2"}).mask)
    for event in (Failure(reason="refused us-east-2"), Gap(reason="us-east-2"), Check(name="us-east-2", ok=True, detail="us-east-2"),
                  RunBroken(reason="us-east-2", trace="us-east-2")):
        book.append(event)
    book.close()
    kept = [event.data for event in journal.read(tmp_path)]
    assert kept == [{"reason": "refused ***"}, {"reason": "***"}, {"name": "us-east-2", "ok": True, "detail": "***"},
                    {"reason": "***", "trace": "***"}]


def test_the_plan_names_the_variables() -> None:
    said = plan.describe(drill("A: hunter22\nB: shown", public="public-environment: [B]"))
    assert "variables     A=***\n                B=shown\n" in said
    assert "hunter22" not in said


def test_what_is_not_public_is_not_shown_by_accident() -> None:
    loaded = drill("A: hunter22")
    assert "hunter22" not in repr(loaded.drill.fleet.variables)


def test_a_value_that_is_no_text_is_refused_and_not_repeated() -> None:
    with pytest.raises(InvalidDrill) as refused:
        drill("PIN: 8243117")
    assert "fleet.environment.PIN: must be text; put it in quotes" in str(refused.value)
    assert "8243117" not in str(refused.value)
