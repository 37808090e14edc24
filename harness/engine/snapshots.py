"""A snapshot: the databases, buckets and settings of the active region, read whole and kept as evidence.

Taken before a transition and after the fleet has settled, always by the observer's own access, through no link and no
Airflow.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal

import psycopg
from botocore.exceptions import BotoCoreError, ClientError
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from harness.engine.context import DrillContext
from harness.engine.observers.databases import database_name, snapshot
from harness.record import evidence as evidences
from harness.record.events import Gap, Looked


def take_snapshot(context: DrillContext, why: Literal["before", "settled"]) -> str:
    """Read everything that the active region holds; the snapshot's name.

    What cannot be read is a gap in the record.
    """
    context.snapshots += 1
    name, active = f"{why}-{context.snapshots}", context.active
    began = time.time()

    def write(path: Path) -> None:
        snapshot(path, {d.name: context.environment.database(active, database_name(d.name))
                        for d in context.fleet.members}, context.fleet.digest_key)
        context.fleet.append_object_keys(path, active)
        context.fleet.append_settings(path, active)

    try:
        evidences.store(context.output, context.journal, "held", name, write)
    except (psycopg.Error, BotoCoreError, ClientError, ApiException, HTTPError) as error:
        context.journal.append(Gap(reason=f"the databases and buckets of {active} could not be read: {error}"))
        return name
    context.journal.append(Looked(snapshot=name, site=context.environment.region_name(active), began=began,
                                ended=time.time()), durable=True)
    return name
