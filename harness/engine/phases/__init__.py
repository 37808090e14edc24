"""The phases of a drill, one a file, by the name that a drill file uses.

A phase acts, looks, and writes both into the journal. It decides nothing about the result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.engine.context import DrillContext
from harness.engine.phases import failback, failover, fault, heal, hold, load, settle

PHASES: dict[str, Callable[[DrillContext, Any], None]] = {
    "load": load.run, "fault": fault.run, "failover": failover.run, "settle": settle.run, "heal": heal.run,
    "failback": failback.run, "hold": hold.run}
