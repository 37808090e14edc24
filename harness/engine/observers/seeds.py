"""What the observer itself puts into every Deployment, to find it again after a transition.

Nobody else knows of it: a system that carries over only what it has put there itself does not pass.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

NAME = "dr_drill_probe"
NOT_SHOWN = {"password"}
"""Fields that Airflow's API takes and does not show."""


def seeds(deployment: str) -> dict[str, dict[str, Any]]:
    """By the name that Airflow's API has for the kind of thing: all fields of it."""
    return {
        "variables": {"key": NAME, "value": f"put by the observer into {deployment}, before anything happened",
                      "description": f"of {deployment}"},
        "connections": {
            "connection_id": NAME, "conn_type": "postgres", "description": f"of {deployment}",
            "host": f"{deployment}.observer.test", "login": f"reader-of-{deployment}", "schema": "observed",
            "port": 15432, "password": f"known-to-{deployment}-alone", "extra": json.dumps({"name": deployment})},
        "pools": {"name": NAME, "slots": 7, "description": f"of {deployment}", "include_deferred": True},
    }


def unlike(seed: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that are not what was put there, as they are now."""
    return {key: found.get(key) for key, value in seed.items()
            if key not in NOT_SHOWN and found.get(key) != value}
