"""What something contains, as one number: so that an acknowledgement can say what was acknowledged.

It is made of MD5 because each store computes that by itself: PostgreSQL has a function for it, and an S3
ETag begins with it. It tells accidents (another value, a part that is missing) from what was written, and
is no protection against somebody who makes two contents alike on purpose.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DIGITS = 15
"""Hexadecimal digits that are used: 60 bits, which fit into a signed 64-bit column."""


def content(data: bytes) -> int:
    """The first 15 hexadecimal digits of the MD5 of ``data``, as a number below 2**60."""
    return int(hashlib.md5(data, usedforsecurity=False).hexdigest()[:DIGITS], 16)


def text_content(value: str) -> int:
    """The content of a string that is kept as JSON, as PostgreSQL shows it (``::text`` of a ``jsonb``)."""
    return content(json.dumps(value, ensure_ascii=False).encode())


def microseconds(moment: datetime) -> int:
    """A moment as whole microseconds since the epoch, which is as exactly as PostgreSQL keeps it."""
    return (moment - EPOCH) // timedelta(microseconds=1)
