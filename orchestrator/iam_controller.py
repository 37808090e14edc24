"""The IAM controller: whether the roles that this region's Deployments are to run as exist (XR-09).

They are made with the Deployment, for both regions. This only looks, so that one that somebody removed is
missed now and not in a failover, when IAM's control plane may be what is lost.
"""

from __future__ import annotations

import time
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from orchestrator.region_view import RegionView

LOOK_S = 60.0
ROLE = "eks.amazonaws.com/role-arn"


class IamController:
    """Looks now and then; what IAM does not say is as it was last known."""

    def __init__(self, iam: Any, view: RegionView) -> None:
        """``iam``: a boto3 client of IAM's control plane, which lives in one region for all."""
        self._iam, self._view = iam, view
        self._looked, self._for = 0.0, 0

    def turn(self) -> None:
        """Look, when it is time or there are more Deployments than at the last look."""
        arns = {arn for manifest in self._view.wanted
                if (arn := manifest["metadata"].get("annotations", {}).get(ROLE)) is not None}
        if len(arns) == self._for and time.monotonic() - self._looked < LOOK_S:
            return
        try:
            pages = self._iam.get_paginator("list_roles").paginate()
            there = {str(role["RoleName"]) for page in pages for role in page["Roles"]}
        except (BotoCoreError, ClientError) as error:
            print(f"IAM says nothing about the roles: {error!r}", flush=True)
        else:
            self._view.missing_roles = sorted({arn.rsplit("/", 1)[-1] for arn in arns} - there)
        self._looked, self._for = time.monotonic(), len(arns)
