"""Images that customers push all the time: the third stream of writes whose loss a drill measures.

Runs beside the ledger writers, in each region. While the region's database is the writer, an object is
put into its image bucket every few seconds, as a registry does with a pushed layer, and the witness is
told once S3 has acknowledged it. Whether it still is the writer is asked immediately before each push: one
into a region that has just been left would be held against the system under drill.
"""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Awaitable, Callable

from botocore.exceptions import BotoCoreError, ClientError

from loadgen.content import content
from loadgen.wire.aws import aws_client
from loadgen.witness import WitnessClient

EVERY_S = 5.0
LOOK_S = 1.0
"""How long until the region is asked again whether it is the writer, when it was not."""
LAYER_BYTES = 512


class ImagePusher:
    """Pushes in one region."""

    def __init__(self, region: str, witness: WitnessClient) -> None:
        """Read where to push to from the pod's environment."""
        self._region, self._witness = region, witness
        self._bucket = os.environ["IMAGE_BUCKET"]
        self._s3 = aws_client(
            "s3", endpoint=os.environ["AWS_ENDPOINT"], region=region, access_key=os.environ["AWS_ACCESS_KEY_ID"],
            secret_key=os.environ["AWS_SECRET_ACCESS_KEY"], connect=2, read=5)

    async def run(self, active: Callable[[], Awaitable[bool]]) -> None:
        """Push for ever, whenever ``active`` says that the region is the one to push in."""
        while True:
            if not await active():
                await asyncio.sleep(LOOK_S)
                continue
            await self._push()
            await asyncio.sleep(EVERY_S)

    async def _push(self) -> None:
        key, layer = f"pushed/{self._region}/{uuid.uuid4().hex}", os.urandom(LAYER_BYTES)
        try:
            await asyncio.to_thread(self._s3.put_object, Bucket=self._bucket, Key=key, Body=layer)
        except (BotoCoreError, ClientError):
            return  # not acknowledged: nothing to look for later
        self._witness.tell(e="ack", s="images", r=self._region, key=key, c=content(layer))
