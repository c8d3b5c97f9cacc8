"""Describes the machine of a measurement: without it, a figure means nothing."""

import os
import platform
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The properties that make one machine faster than another."""

    cores: int
    processor: str
    memory_gib: float
    python: str
    kernel: str
    load: float
    """The load average of the last minute before the run: how busy the machine was."""

    def __str__(self) -> str:
        """Return a description on one line."""
        return (
            f"{self.cores} cores of {self.processor}, {self.memory_gib:.0f} GiB, Python {self.python}, "
            f"Linux {self.kernel}; load {self.load:.2f} before the run"
        )


def describe() -> Machine:
    """Return the properties of this machine."""
    return Machine(
        cores=len(os.sched_getaffinity(0)),
        processor=field(Path("/proc/cpuinfo").read_text(), "model name") or platform.machine(),
        memory_gib=round(kibibytes(Path("/proc/meminfo").read_text(), "MemTotal") / 2**20, 1),
        python=platform.python_version(),
        kernel=platform.release(),
        load=round(os.getloadavg()[0], 2),
    )


def field(text: str, name: str) -> str | None:
    """Return the first value of a name in a file of /proc, or None."""
    pairs = (line.partition(":") for line in text.splitlines())
    return next((value.strip() for key, _, value in pairs if key.strip() == name), None)


def kibibytes(text: str, name: str) -> int:
    """Return an amount of memory, in KiB, from a file of /proc. Raises ValueError if it is missing."""
    value = field(text, name)
    if value is None:
        message = f"no {name} there"
        raise ValueError(message)
    return int(value.removesuffix("kB"))
