"""A result that Vault does not store: whether there is a copy of it in escrow, and that the status says so."""

from datetime import timedelta

from fakes.cluster import FakeCluster
from fakes.escrow import build_escrow
from pipedrive_operator.core.grant import refresh_state
from pipedrive_operator.core.grant.grant import Grant
from pipedrive_operator.core.values.secret_value import SecretValue
from support.builders import GRANT_LOCATION
from support.refresh import Surroundings


async def test_the_report_says_whether_there_is_a_copy(around: Surroundings) -> None:
    """A person may restart the operator because of it, so the copy is kept first."""
    around.cluster.network.is_away = True
    task = await around.begin()
    around.vault.breaks_after = 0
    around.pipedrive.answer()
    await around.clock.next_sleep()
    around.cluster.network.is_away = False
    around.clock.turn(timedelta(seconds=1))
    await around.clock.next_sleep()
    around.vault.breaks_after = None
    around.clock.turn(timedelta(seconds=8))
    await task

    first, second = (state for state in around.states if isinstance(state, refresh_state.Unstored))
    assert "do not restart the operator" in first.trouble.message
    assert "do not restart the operator" not in second.trouble.message


async def test_a_copy_that_the_cluster_has_changed_does_not_count(around: Surroundings) -> None:
    """An admission webhook may change what is created. Nobody could open such a copy."""
    around.cluster.admission = lambda body: {**body, "data": {}}

    assert "do not restart the operator" in await _report_of_a_result_that_vault_refuses(around)


async def test_a_copy_of_another_grant_does_not_count(around: Surroundings) -> None:
    """Admission may put back what it has seen before."""
    other, another = FakeCluster(), Grant(refresh_token=SecretValue("another"))
    assert await build_escrow(other).keep(GRANT_LOCATION, another, "us-1", SecretValue("hush"))
    (stored,) = other.escrow.values()
    around.cluster.admission = lambda body: {**body, "data": stored["data"]}

    assert "do not restart the operator" in await _report_of_a_result_that_vault_refuses(around)


async def test_a_result_without_a_copy_is_reported_whatever_the_escrow_raises(around: Surroundings) -> None:
    """Even a defect of the operator must not hide that only this process has the grant."""

    async def fail(*_: object) -> bool:
        raise ZeroDivisionError

    around.escrow.keep = fail  # type: ignore[method-assign,assignment]

    assert "do not restart the operator" in await _report_of_a_result_that_vault_refuses(around)


async def _report_of_a_result_that_vault_refuses(around: Surroundings) -> str:
    """Refresh while Vault cannot be written, and return what is reported first."""
    task = await around.begin()
    around.vault.breaks_after = 0
    around.pipedrive.answer()
    await around.clock.next_sleep()
    task.cancel()
    return next(state.trouble.message for state in around.states if isinstance(state, refresh_state.Unstored))
