"""Reads the memory and the processor time of a process from the kernel; see proc(5)."""

import os
from pathlib import Path

from benchmarks.report import Memory
from testbed import hardware
from testbed.operator_process import OperatorProcess
from testbed.processes import ChildProcess


def memory(process: OperatorProcess | ChildProcess) -> Memory:
    """Return the memory of the process now."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return Memory(
        resident_mib=hardware.kibibytes(status, "VmRSS") / 1024, peak_mib=hardware.kibibytes(status, "VmHWM") / 1024
    )


def cpu_seconds(operator: OperatorProcess) -> float:
    """Return the CPU seconds that all threads have used so far."""
    fields = Path(f"/proc/{operator.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
