"""AWS clients that take nothing from the shell, nor from the files of an AWS user."""

from __future__ import annotations

import functools
import os
from typing import Any

import boto3
import botocore.session
from botocore.config import Config


def aws_client(
    service: Any, *, endpoint: str, region: str, access_key: str, secret_key: str, connect: float, read: float,
    **more: Any,
) -> Any:
    """A boto3 client that asks once: ``connect`` and ``read`` are its time-outs in seconds.

    ``more``: further settings of botocore's ``Config``.
    """
    return _session().client(
        service, endpoint_url=endpoint, region_name=region, aws_access_key_id=access_key,
        aws_secret_access_key=secret_key, config=Config(
            connect_timeout=connect, read_timeout=read, retries={"max_attempts": 0}, proxies={},
            use_fips_endpoint=False, use_dualstack_endpoint=False, **more))


@functools.cache
def _session() -> boto3.Session:
    """One for all clients of a process: each would have a copy of AWS's service models of its own."""
    nothing = {"profile": (None, None, None, None), "config_file": (None, None, os.devnull, None),
               "credentials_file": (None, None, os.devnull, None)}
    return boto3.Session(botocore_session=botocore.session.Session(session_vars=nothing))
