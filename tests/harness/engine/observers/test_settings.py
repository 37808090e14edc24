"""The settings of a Deployment without what must differ from site to site."""

from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

from harness.engine.observers.settings import neutral, site_names
from harness.environments.base import DatabaseAccess, RegionAccess

HERE = {"name": "us-west-2", "bucket": "c-logs-us-west-2", "aws": "http://127.5.1.10:4566", "token": "same"}
THERE = {"name": "us-east-2", "bucket": "c-logs-us-east-2", "aws": "http://127.5.2.10:4566", "token": "same"}


def both(setting: str) -> tuple[str, str]:
    """What a setting reads in either region, ``{x}`` being what x is called there (``{x!q}``: quoted)."""
    def filled(names: dict[str, str]) -> str:
        return setting.format(**names, **{f"{name}_q": quote(value, safe="") for name, value in names.items()})

    return neutral(HERE, THERE)(filled(HERE)), neutral(THERE, HERE)(filled(THERE))


def test_a_setting_that_differs_only_in_the_names_of_its_site_is_the_same() -> None:
    for setting in ("s3://{bucket}/ns", "aws://k:s@/?region_name={name}&endpoint_url={aws_q}", "{aws}/{name}", "plain"):
        here, there = both(setting)
        assert here == there, setting
    assert both("s3://{bucket}/ns")[0] == "s3://{bucket}/ns"


def test_a_setting_that_names_the_other_site_is_another_one() -> None:
    assert neutral(THERE, HERE)("s3://c-logs-us-west-2") != both("s3://{bucket}")[0]


def test_what_is_quoted_differently_or_differs_otherwise_is_another_one() -> None:
    assert both("{aws}")[0] != both("{aws_q}")[1]
    assert neutral(HERE, THERE)("us-west-2 30") != neutral(THERE, HERE)("us-east-2 3")


def test_what_is_called_the_same_in_both_is_left_as_it_is() -> None:
    assert both("{token}") == ("same", "same")
    assert neutral({}, {})("anything") == "anything"
    assert neutral({"a": ""}, {"a": "x"})("anything") == "anything"


def test_all_that_an_environment_calls_by_another_name_is_known(tmp_path: Any) -> None:
    def region(role: str, name: str) -> RegionAccess:
        return RegionAccess(name, role, tmp_path / role, f"http://aws.{name}", f"pg.{name}", 5432, f"logs-{name}",
                            f"images-{name}", f"proxy-{name}")

    environment: Any = SimpleNamespace(
        regions={"primary": region("primary", "west"), "secondary": region("secondary", "east")},
        workload_witness=lambda role: {"DR_DRILL_WITNESS_HOST": f"witness-of-{role}"},
        workload_aws=lambda role: {"AWS_ENDPOINT": f"http://inside.{role}"},
        public_address=lambda role: f"public-of-{role}",
        database=lambda role: DatabaseAccess(f"db-of-{role}", 5432, "u", "p"))
    here, there = site_names(environment, "primary"), site_names(environment, "secondary")
    text = ("west http://aws.west pg.west logs-west images-west proxy-west witness-of-primary http://inside.primary "
            "public-of-primary db-of-primary")
    assert neutral(here, there)(text) == (
        "{name} {aws_endpoint} {postgres_host} {log_bucket} {image_bucket} {proxy_bucket} {DR_DRILL_WITNESS_HOST} "
        "{AWS_ENDPOINT} {public_address} {database_host}")
    assert neutral(here, there)("primary 5432") == "primary 5432"
