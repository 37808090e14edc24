"""An image that is pushed while a region is away is there once it is back; the proxy registry's is not."""

from __future__ import annotations

import time
import uuid
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from harness.engine.checks.registry import Check, Moment, Seen, Subject
from harness.environments.base import other_role

CARRIED_S = 60.0


def push(subject: Subject) -> str:
    """Push an image (and a layer of the proxy registry) in the active region; the object's key."""
    environment = subject.environment
    key = f"pushed-during-outage/{environment.identifier}-{uuid.uuid4().hex[:8]}"
    s3, region = environment.aws(subject.active, "s3"), environment.regions[subject.active]
    for bucket in (region.image_bucket, region.proxy_bucket):
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    return key


def carried(subject: Subject) -> Seen:
    """What was pushed while the other region was away is there now; the proxy registry's is not (XR-06)."""
    standby, key = other_role(subject.active), subject.pushed_image
    s3, region = subject.environment.aws(standby, "s3"), subject.environment.regions[standby]
    deadline = time.monotonic() + CARRIED_S
    while not _holds(s3, region.image_bucket, key):
        if time.monotonic() > deadline:
            return False, f"{key} was not copied to {region.name} within {CARRIED_S:.0f} s"
        time.sleep(0.5)
    if _holds(s3, region.proxy_bucket, key):
        return False, f"the proxy registry was copied to {region.name}, though it can be rebuilt"
    return True, f"an image pushed while {region.name} was away was copied there afterwards"


def _holds(s3: Any, bucket: str, key: str) -> bool:
    try:
        s3.head_object(Bucket=bucket, Key=key)
    except (ClientError, BotoCoreError):
        return False
    return True


CHECKS = (
    Check("image-carried", (Moment.HEALED,), carried, ("XR-06",)),
)
