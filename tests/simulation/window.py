"""The window in which a process may hold the only copy of a result, so that its death loses a grant.

It begins with Pipedrive's answer, and ends when the process has had the time to make the first copy. How long that may
take follows from the steps of docs/refresh-protocol.md and from how slow the network of the seed is. Time in which the
process was frozen does not count, nor does time in which neither Vault nor the cluster could keep a copy.
"""

from typing import Final

from fakes.pipedrive import Send
from simulation.faulty_network import Weather
from simulation.loop import Process

DELAYS_TO_STORE: Final = 3
"""One-way delays until a write of Vault takes effect, if the grant is read before."""
DELAYS_TO_KEEP: Final = 3
"""One-way delays until an escrow exists, if its Secret is read before."""
LONGEST_PAUSE: Final = 8.0
"""In seconds: the longest pause between two attempts to make a copy."""


def is_open(send: Send, process: Process, *, vault: Weather, cluster: Weather, conflicts: bool, now: float) -> bool:
    """Return whether a process may hold the only copy of an answer; `conflicts` says whether others wrote to Vault.

    It may as long as neither Vault nor the cluster was without faults for so long that the process could make a copy.
    """
    if send.delivered is None:
        return True
    attempts = 2 if conflicts else 1
    longest = attempts * DELAYS_TO_STORE * vault.slowest + DELAYS_TO_KEEP * cluster.slowest
    # A result that lost a conflict may be kept in escrow only.
    needed = [cluster] if conflicts else [vault, cluster]
    calms = (calm for weather in needed for calm in weather.calms(send.delivered, now))
    return all(process.ran(begin, end) <= longest + _pause(begin, send.delivered) for begin, end in calms)


def _pause(begin: float, delivered: float) -> float:
    """Return for how long a process may wait in a calm until its next attempt; the first attempt waits for nothing."""
    return 0.0 if begin == delivered else LONGEST_PAUSE
