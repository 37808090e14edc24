"""The second way to tell a region to stop its Airflow: through the buckets that replicate both ways.

A region that cannot reach the control plane is not told by it that a failover has begun, and nobody calls
into a region that is left (XR-10). So the order is an object in a bucket of the region that takes over; S3
carries it across, the agent over there reads it in its own region, obeys, and answers the same way. Nobody
relies on it: a region that no order reaches stops by itself (:mod:`reconciler`), and a failover waits for
an answer no longer than that takes.

Both objects hold a generation of the cluster's desired state. An order counts while it is newer than the
answer beside it, so one of an earlier failover stops nobody. The order of a planned move says, behind its
generation, that what runs may come to its end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

DRAIN = "drain"


@dataclass(frozen=True)
class Order:
    """An order to stop Airflow."""

    generation: int
    drain: bool = False
    """Whether what runs may come to its end."""


class Orders:
    """The orders to the regions of one cluster, as one region's bucket shows them."""

    def __init__(self, s3: Any, bucket: str, cluster: str) -> None:
        """``s3``: a boto3 client of the region that the bucket is in."""
        self._s3, self._bucket, self._cluster = s3, bucket, cluster

    def stop(self, region: str, generation: int, *, drain: bool = False) -> None:
        """Tell a region to stop its Airflow, as of a generation."""
        self._put(region, "stop", f"{generation} {DRAIN}" if drain else str(generation))

    def stopping(self, region: str) -> Order | None:
        """The order that waits to be obeyed, if one does."""
        generation, *more = self._get(region, "stop").split()
        order = Order(int(generation), DRAIN in more)
        return order if order.generation > self.answered(region) else None

    def answer(self, region: str, generation: int) -> None:
        """Say that the region is as this generation wants it."""
        self._put(region, "done", str(generation))

    def answered(self, region: str) -> int:
        """The last generation that the region answered with; 0 where it never did."""
        return int(self._get(region, "done"))

    def _key(self, region: str, what: str) -> str:
        return f"dr-system/{self._cluster}/{region}/{what}"

    def _put(self, region: str, what: str, text: str) -> None:
        self._s3.put_object(Bucket=self._bucket, Key=self._key(region, what), Body=text.encode())

    def _get(self, region: str, what: str) -> str:
        try:
            found = self._s3.get_object(Bucket=self._bucket, Key=self._key(region, what))
        except ClientError as error:
            if error.response["Error"]["Code"] in ("NoSuchKey", "404"):
                return "0"
            raise
        return str(found["Body"].read().decode())
