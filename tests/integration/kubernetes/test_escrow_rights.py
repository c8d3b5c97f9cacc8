"""The escrow's permissions in the operator's own namespace: each one is used, and reported when it is missing.

The chart grants these if that namespace is not watched; tests/node/test_rights.py covers the others.
"""

from contextlib import suppress

import pytest

from fakes.clock import TurnedClock
from integration.kubernetes.rights import grant_rights
from pipedrive_operator.adapters.kubernetes.api import Api
from pipedrive_operator.adapters.kubernetes.escrow import KubernetesEscrow
from pipedrive_operator.adapters.kubernetes.permissions import required_for_escrow
from pipedrive_operator.config.settings import KubernetesSettings
from pipedrive_operator.core.values.errors import ApiServerUnavailable
from pipedrive_operator.core.values.secret_value import SecretValue
from support.builders import GRANT_LOCATION, grant
from testbed.control_plane import ControlPlane

KEY = SecretValue("the-client-secret-of-the-app")


@pytest.mark.parametrize("right", [permission.verb for permission in required_for_escrow("any")])
async def test_each_right_is_missed_when_it_is_withdrawn(
    control_plane: ControlPlane, namespace: str, clock: TurnedClock, right: str
) -> None:
    """The test keeps, replaces, fails to open, reads again and drops a grant."""
    user = f"without-{right}-{namespace}"
    grant_rights(control_plane, user, [one for one in required_for_escrow(namespace) if one.verb != right])

    async with await Api.connect(KubernetesSettings(kubeconfig=control_plane.kubeconfig_for(user))) as api:
        escrow = KubernetesEscrow(api, namespace, clock)
        for step in (
            escrow.load(),
            escrow.keep(GRANT_LOCATION, grant("12345:67890:first"), "refresh-a", KEY),
            escrow.keep(GRANT_LOCATION, grant("12345:67890:first"), "refresh-a", KEY),
            escrow.drop(GRANT_LOCATION, "refresh-a"),
        ):
            with suppress(ApiServerUnavailable):
                await step

    refused = {request.kind for request in control_plane.requests(user) if request.status == 403}
    assert {f"{right} secrets"} == refused
