"""Images that are pushed all the time."""

import asyncio
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from loadgen import images
from loadgen.content import content
from loadgen.images import ImagePusher
from tests.loadgen.conftest import Told


class Store:
    """S3 as far as a push asks it."""

    def __init__(self) -> None:
        self.pushed: list[dict[str, Any]] = []
        self.silent = False

    def put_object(self, **given: Any) -> None:
        if self.silent:
            raise EndpointConnectionError(endpoint_url="http://aws")
        self.pushed.append(given)


def push(told: Told, store: Store, monkeypatch: pytest.MonkeyPatch, answers: list[bool]) -> None:
    """Push until there are no more answers to the question whether the region is the one to push in."""
    monkeypatch.setenv("IMAGE_BUCKET", "images-west")
    monkeypatch.setenv("AWS_ENDPOINT", "http://aws")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of-the-west")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "unused")
    monkeypatch.setattr(images, "EVERY_S", 0)
    monkeypatch.setattr(images, "LOOK_S", 0)
    pusher = ImagePusher("west", told)  # type: ignore[arg-type]
    pusher._s3 = store

    async def active() -> bool:
        if not answers:
            raise asyncio.CancelledError
        return answers.pop(0)

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(pusher.run(active))


def test_it_is_asked_afresh_before_each_push_whether_the_region_is_the_writer(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store()
    push(told, store, monkeypatch, [False, True, False, False, True, False])
    assert len(store.pushed) == len(told.records) == 2


def test_an_acknowledgement_names_the_object_and_its_content(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store()
    push(told, store, monkeypatch, [True, True])
    assert told.records == [{"e": "ack", "s": "images", "r": "west", "key": each["Key"], "c": content(each["Body"])}
                            for each in store.pushed]
    assert len({record["c"] for record in told.records}) == 2


def test_a_push_that_failed_is_not_acknowledged(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store()
    store.silent = True
    push(told, store, monkeypatch, [True, True])
    assert told.records == []
