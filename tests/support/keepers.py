"""Builds a keeper of grants on the fakes."""

from collections.abc import Callable

from fakes.cluster import FakeCluster
from fakes.escrow import build_escrow
from fakes.pipedrive import CALL_TIMEOUT
from fakes.process import FakeLeadership, FakeProcess
from pipedrive_operator.core.grant.refresh_state import RefreshState
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.grants import GrantKeeper, RefreshProtocol
from pipedrive_operator.ports import Clock, Escrow, Pipedrive, Vault


def build_keeper(
    vault: Vault,
    pipedrive: Pipedrive,
    clock: Clock,
    on_change: Callable[[frozenset[Key], RefreshState], None],
    *,
    escrow: Escrow | None = None,
) -> GrantKeeper:
    """Build a keeper in a process that is always the leader."""
    protocol = RefreshProtocol(
        vault=vault,
        pipedrive=pipedrive,
        clock=clock,
        escrow=escrow or build_escrow(FakeCluster()),
        leadership=FakeLeadership(),
        process=FakeProcess(),
        call_timeout=CALL_TIMEOUT,
    )
    return GrantKeeper(protocol=protocol, clock=clock, on_change=on_change)
