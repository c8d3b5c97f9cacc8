"""Measures the start of the operator, alternating with a process that only imports the same libraries: the floor.

That process leaves out the same unused parts of them as the operator does.
"""

import sys
import time
from typing import Final

from benchmarks.command import Say
from benchmarks.parts import Account, Parts
from benchmarks.process import memory
from benchmarks.scale.report import Start, Starts
from testbed.operator_process import OperatorProcess
from testbed.processes import ChildProcess

_STARTS: Final = 5
_TIMEOUT_SECONDS: Final = 30.0
_DONE: Final = "imported"
IMPORTS: Final = f"""
import gc, signal
gc.set_threshold(10_000)
from pipedrive_operator.unused_parts import leave_out_unused_parts
leave_out_unused_parts()
import authlib.oauth2.auth, cryptography.hazmat.primitives.ciphers.aead, cryptography.hazmat.primitives.kdf.hkdf
import httpx, httpx_aiohttp, hvac, kopf, kubernetes.aio.client.api_client, kubernetes.aio.config
import prometheus_client, pydantic.networks, structlog
print("{_DONE}", flush=True)
signal.pause()
"""


def measure(parts: Parts, account: Account, say: Say) -> Starts:
    """Start both several times, each without a credential. Raises ProcessError."""
    say(f"growth: {_STARTS} starts, each beside a process that only imports the libraries")
    operator, libraries = zip(*((_operator(parts, account), _libraries(parts)) for _ in range(_STARTS)), strict=True)
    return Starts(operator=operator, libraries=libraries)


def _operator(parts: Parts, account: Account) -> Start:
    process = OperatorProcess(parts.settings(account), folder=parts.folder, name="start")
    began = time.monotonic()
    with process as operator:
        return Start(seconds=time.monotonic() - began, mib=memory(operator).resident_mib)


def _libraries(parts: Parts) -> Start:
    log = parts.folder / "libraries.log"
    log.unlink(missing_ok=True)
    process = ChildProcess([sys.executable, "-c", IMPORTS], log=log)
    began = time.monotonic()
    try:
        process.start()
        process.wait_ready(lambda: _DONE in log.read_text(), timeout=_TIMEOUT_SECONDS)
        return Start(seconds=time.monotonic() - began, mib=memory(process).resident_mib)
    finally:
        process.stop()
