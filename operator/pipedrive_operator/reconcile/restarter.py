"""Restarts workloads for what was published: reads each one that is behind, asks for a decision, and patches it.

Workloads are not watched. They are read only after something was published that they have not seen. The decision is
made in `core/publication/rollout.py`; the result is returned, and a failure stops nothing else.
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
        self, credential: Credential, reference: WorkloadReference, published: str, pacing: RestartPacing
    ) -> RestartState:
        """Restart a workload that is behind, if it may be restarted, and return the result.

        Raises:
            FenceClosed: this process no longer leads; the one that does may have published something newer.
        """
        result, why = Result.FAILED, "it was changed by someone else on every attempt"
        try:
            for _ in range(_ATTEMPTS):
                state = await self._try_once(credential, reference, published, pacing)
                if state is not None:
                    return state
        except WorkloadDenied as refusal:
            result, why = Result.DENIED, f"{refusal}. Allow the operator to get and patch it"
        except ApiServerUnavailable as error:
            why = str(error)
        retry_at = self._clock.now() + pacing.retry
        return not_restarted(reference, published, result, why, retry_at=retry_at)

    async def _try_once(
        self, credential: Credential, reference: WorkloadReference, published: str, pacing: RestartPacing
    ) -> RestartState | None:
        """Read and patch; return None if the workload was changed in between."""
        workload = await self._workloads.read(credential.key.namespace, reference)
        if workload is None:
            return absent(reference, published)
        now = self._clock.now()
        state = judge(workload, credential, published, now=now, pacing=pacing)
        if state.result is not Result.RESTARTED:
            return state
        if self._leadership.remaining() <= 0:
            raise FenceClosed("this process no longer leads")
        try:
            await self._workloads.patch(workload, restart_patch(workload, credential, published, now))
        except WorkloadChanged:
            return None
        return state
