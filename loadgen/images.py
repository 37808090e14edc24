"""Images that customers push all the time: the third stream of writes whose loss a drill measures.

Runs beside the ledger writers, in each region. While the region's database is the writer, an object is
put into its image bucket every few seconds, as a registry does with a pushed layer, and the witness is
told once S3 has acknowledged it.
"""

from __future__ import annotations

import asyncio
import os
import uuid

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from loadgen.witness import WitnessClient

EVERY_S = 5.0
LAYER_BYTES = 512


class ImagePusher:
    """Pushes in one region."""

    def __init__(self, region: str, witness: WitnessClient) -> None:
        """Read where to push to from the pod's environment."""
        self._region, self._witness = region, witness
        self._bucket = os.environ["IMAGE_BUCKET"]
        self._s3 = boto3.client(
            "s3", endpoint_url=os.environ["AWS_ENDPOINT"], region_name=region,
            config=Config(connect_timeout=2, read_timeout=5, retries={"max_attempts": 0}))

    async def run(self, active: asyncio.Event) -> None:
        """Push for ever, while ``active`` is set."""
        while True:
            await active.wait()
            key = f"pushed/{self._region}/{uuid.uuid4().hex}"
            try:
                await asyncio.to_thread(
                    self._s3.put_object, Bucket=self._bucket, Key=key, Body=os.urandom(LAYER_BYTES))
                self._witness.tell(e="ack", s="images", r=self._region, key=key)
            except (BotoCoreError, ClientError):
                pass  # not acknowledged: nothing to look for later
            await asyncio.sleep(EVERY_S)
