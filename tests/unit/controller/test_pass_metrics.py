"""The counter of passes: also those without an outcome are counted, since nothing else reports them."""

from contextlib import suppress
from typing import cast

import pytest

from fakes.clock import TurnedClock
from pipedrive_operator import metrics
from pipedrive_operator.controller.controller import Controller
from pipedrive_operator.controller.queue import WorkQueue
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.values.errors import ApiServerUnavailable, FenceClosed
from pipedrive_operator.reconcile.reconciler import Outcome, Reconciler
from support.builders import KEY


class EndOfTestError(BaseException):
    """Ends the worker, which survives every Exception."""


class FailingReconciler:
    """A reconciler whose first pass fails."""

    def __init__(self, error: Exception) -> None:
        """Raise `error` in the first pass."""
        self._errors = [error, EndOfTestError()]

    def forget_all(self) -> None:
        """Nothing is remembered."""

    async def reconcile(self, _: Key) -> Outcome:
        """Fail."""
        raise self._errors.pop(0)


def count(reason: str) -> float:
    """Return how many passes ended with a reason."""
    value = metrics.REGISTRY.get_sample_value("pipedrive_operator_passes_total", {"reason": reason})
    assert value is not None, "the series must exist before its first count, or `increase` misses that"
    return value


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ApiServerUnavailable("the connection was refused"), "postponed"),
        (FenceClosed("another replica leads"), "postponed"),
        (ZeroDivisionError(), "defect"),
    ],
)
async def test_a_pass_without_an_outcome_is_counted(error: Exception, reason: str) -> None:
    """The metric says whether the operator must wait or has a defect."""
    clock = TurnedClock()
    queue = WorkQueue(clock)
    controller = Controller(reconciler=cast("Reconciler", FailingReconciler(error)), queue=queue, clock=clock)
    before = count(reason)
    queue.add(KEY)
    queue.add(Key(namespace="crm", name="ends-the-test"))

    with suppress(EndOfTestError, BaseExceptionGroup):
        await controller.work(1)

    assert before + 1 == count(reason)
