"""The operator's only access to the time; every other module receives it as a value."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Final

_BOOT_TIME: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""The clock that goes on while the machine is suspended, where there is one (Linux). Another process has taken over by
then, so a Lease or an intent must have expired when the machine wakes up.
"""


class SystemClock:
    """Implements `ports.Clock` with the clocks of the machine."""

    def now(self) -> datetime:
        """Return the time as an aware UTC datetime."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds of a clock that never goes backwards, and that counts the time of a suspended machine."""
        return time.clock_gettime(_BOOT_TIME)

    async def sleep(self, seconds: float) -> None:
        """Wait for that many seconds."""
        await asyncio.sleep(seconds)
