"""A simulator of Pipedrive's authentication surface, written from the vendor's documentation.

It shares no code with the operator, so that one misreading cannot hide in both. Where the documentation
contradicts itself or is silent, a switch lets a test choose the behaviour.
"""

from testbed.pipedrive.faults import Effect, Endpoint, Fault, FaultKind
from testbed.pipedrive.ledger import Call, DoubleSpend, Ledger, Outcome
from testbed.pipedrive.server import PipedriveSimulator
from testbed.pipedrive.switches import Rotation, Switches
from testbed.pipedrive.tokens import digest_of

__all__ = [
    "Call",
    "DoubleSpend",
    "Effect",
    "Endpoint",
    "Fault",
    "FaultKind",
    "Ledger",
    "Outcome",
    "PipedriveSimulator",
    "Rotation",
    "Switches",
    "digest_of",
]
