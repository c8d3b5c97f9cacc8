"""Restarts workloads for what was published: reads each one that is behind, asks the policy, and patches it.

Workloads are not watched: they are read when something was published that they lack, and only then. Whether one may be
restarted is decided in `core/publication/rollout.py`; what became of it is returned, and stops nothing else.
"""

from typing import Final

from pipedrive_operator.core.publication.rollout import (
    RestartPacing,
    RestartState,
    Result,
    absent,
    judge,
    not_restarted,
    restart_patch,
)
from pipedrive_operator.core.resource.credential import Credential
from pipedrive_operator.core.resource.workload import WorkloadReference
from pipedrive_operator.core.values.errors import ApiServerUnavailable, FenceClosed, WorkloadChanged, WorkloadDenied
from pipedrive_operator.ports import Clock, Leadership, Workloads

_ATTEMPTS: Final = 5
"""A Deployment that is being scaled changes often; another read and patch take milliseconds."""


class Restarter:
    """Restarts workloads."""

    def __init__(self, *, workloads: Workloads, leadership: Leadership, clock: Clock) -> None:
        """Take the ports."""
        self._workloads = workloads
        self._leadership = leadership
        self._clock = clock

    async def restart(
        self, credential: Credential, reference: WorkloadReference, published: str, pace: RestartPacing
    ) -> RestartState:
        """Restart a workload that is behind, if it may be, and say what came of it.

        Raises:
            FenceClosed: this process no longer leads; whoever does may have published something newer.
        """
        result, why = Result.FAILED, "it changed each time that it was to be"
        try:
            for _ in range(_ATTEMPTS):
                standing = await self._try_once(credential, reference, published, pace)
                if standing is not None:
                    return standing
        except WorkloadDenied as refusal:
            result, why = Result.DENIED, f"{refusal}. Let the operator get and patch it"
        except ApiServerUnavailable as trouble:
            why = str(trouble)
        retry_at = self._clock.now() + pace.retry
        return not_restarted(reference, published, result, why, retry_at=retry_at)

    async def _try_once(
        self, credential: Credential, reference: WorkloadReference, published: str, pace: RestartPacing
    ) -> RestartState | None:
        """Read and patch; None where the workload was changed in between."""
        workload = await self._workloads.read(credential.key.namespace, reference)
        if workload is None:
            return absent(reference, published)
        now = self._clock.now()
        standing = judge(workload, credential, published, now=now, pace=pace)
        if standing.result is not Result.RESTARTED:
            return standing
        if self._leadership.remaining() <= 0:
            raise FenceClosed("this process does not lead any more")
        try:
            await self._workloads.patch(workload, restart_patch(workload, credential, published, now))
        except WorkloadChanged:
            return None
        return standing
