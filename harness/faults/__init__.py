"""The faults that a drill can inject, by the name that a drill file uses."""

from __future__ import annotations

from harness.faults.api_outage import ApiOutage
from harness.faults.base import Fault, FaultFailed, Parameters
from harness.faults.link import Link
from harness.faults.manual_drift import ManualDrift
from harness.faults.orchestrator_crash import OrchestratorCrash
from harness.faults.partition import Partition
from harness.faults.region_outage import RegionOutage

FAULTS: dict[str, Fault] = {fault.name: fault for fault in (
    RegionOutage(), Link(), Partition(), ApiOutage(), OrchestratorCrash(), ManualDrift())}

__all__ = ["FAULTS", "Fault", "FaultFailed", "Parameters"]
