"""What an environment says of itself is read whatever it is."""

import json
import os
from pathlib import Path

import pytest

from harness.environments.base import EnvironmentFailed
from harness.environments.embedded.environment import EmbeddedPair
from harness.environments.embedded.layout import PairSettings
from harness.environments.embedded.state import FILE, UNKNOWN, EnvironmentState

NOTHING = EnvironmentState("outage-1")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    place = tmp_path / "outage-1"
    place.mkdir()
    return place


def test_what_was_written_is_read(directory: Path) -> None:
    state = EnvironmentState("outage-1", "up", block=9, owner=1, owner_started=2, since=3.5, run=Path("/runs/r"),
                             settings={"drain": 1.0})
    state.save(directory)
    assert EnvironmentState.load(directory) == state
    assert [path.name for path in directory.iterdir()] == [FILE]


@pytest.mark.parametrize("text", [
    "", "{}", "{", "null", "[]", '"up"', "1", "\0", "[" * 100_000, '{"state": "up"',
    '{"state": "[/red]", "since": NaN, "owner": true, "block": 255, "run": "", "settings": []}',
    '{"state": ["up"], "since": "now", "owner": "1", "owner_started": null, "block": 0, "run": 1, "settings": 1}',
    '{"state": {}, "since": 1e400, "owner": -1, "owner_started": 1.5, "block": 1e9, "run": "\\u0000"}',
    '{"since": 9' + "9" * 400 + "}",
])
def test_what_cannot_be_meant_is_unknown(directory: Path, text: str) -> None:
    (directory / FILE).write_text(text)
    assert EnvironmentState.load(directory) == NOTHING
    with pytest.raises(EnvironmentFailed, match="holds no readable environment") as failed:
        EmbeddedPair.found(directory)
    assert "\n" not in str(failed.value)


def test_what_is_not_there_or_no_file_is_unknown(directory: Path) -> None:
    assert EnvironmentState.load(directory) == NOTHING
    os.mkfifo(directory / FILE)
    assert EnvironmentState.load(directory) == NOTHING
    (directory / FILE).unlink()
    (directory / FILE).symlink_to("/dev/zero")
    assert EnvironmentState.load(directory) == NOTHING
    assert EnvironmentState.load(directory / "gone") == EnvironmentState("gone")


def test_an_environment_is_found_by_what_it_says(directory: Path) -> None:
    EnvironmentState("outage-1", "up", block=9, settings={"primary": "eu-west-1"}).save(directory)
    (directory / "secrets.json").write_text('{"api_token": "t"}')
    found = EmbeddedPair.found(directory)
    assert (found.block.number, found.settings) == (9, PairSettings(primary="eu-west-1"))
    assert found.secret("api_token") == "t"


@pytest.mark.parametrize("settings", [{"primary": 1}, {"drain": "long"}, {"rpo_bound": []}])
def test_settings_that_cannot_be_meant_are_said_in_one_line(directory: Path, settings: dict[str, object]) -> None:
    EnvironmentState("outage-1", block=9, settings=settings).save(directory)
    (directory / "secrets.json").write_text("{}")
    with pytest.raises(EnvironmentFailed, match="holds no readable environment"):
        EmbeddedPair.found(directory)


@pytest.mark.parametrize("secrets", ["", "[]", '{"api_token": 1}', '{"api_token": null}'])
def test_secrets_that_are_none_are_said_in_one_line(directory: Path, secrets: str) -> None:
    EnvironmentState("outage-1", block=9).save(directory)
    (directory / "secrets.json").write_text(secrets)
    with pytest.raises(EnvironmentFailed, match="holds no readable environment"):
        EmbeddedPair.found(directory)


def test_a_reader_never_sees_half_of_it(directory: Path) -> None:
    """Somebody writes again and again; whoever reads meanwhile finds one of the two, and whole."""
    short, long = EnvironmentState("outage-1", "up"), EnvironmentState("outage-1", "up", run=Path("/" + "x" * 4000))
    short.save(directory)
    if (writer := os.fork()) == 0:
        for _ in range(200):
            long.save(directory)
            short.save(directory)
        os._exit(0)
    seen = set()
    while os.waitpid(writer, os.WNOHANG) == (0, 0):
        seen.add(json.dumps(str(EnvironmentState.load(directory).run)) if EnvironmentState.load(directory).state
                 != UNKNOWN else "torn")
    assert "torn" not in seen
