"""Events leave the operator through the mask of the log, whatever their message says."""

import json

from fakes.api_server import FakeApiServer, say
from fakes.clock import TurnedClock
from pipedrive_operator.adapters.kubernetes.api import Api
from pipedrive_operator.adapters.kubernetes.credentials import KubernetesCredentials
from pipedrive_operator.core.decision.report import Announcement
from support.builders import api_token_credential


async def test_an_event_is_masked(server: FakeApiServer) -> None:
    """This is the last defence."""
    server.answer = say(201, {})
    event = Announcement(warning=True, reason="InvalidSpec", message=f"the client is 12:34:{'5f' * 20} here")

    async with await Api.connect(server.settings()) as api:
        await KubernetesCredentials(api, TurnedClock(), instance="x").record_event(api_token_credential(), event)

    assert "the client is (hidden) here" == json.loads(server.bodies[0])["note"]
