"""Events leave the operator through the mask of the log, whatever their message says."""

import json

import pytest

from fakes.api_server import FakeApiServer, say
from fakes.clock import TurnedClock
from pipedrive_operator.adapters.kubernetes import credentials
from pipedrive_operator.adapters.kubernetes.api import Api
from pipedrive_operator.adapters.kubernetes.credentials import KubernetesCredentials
from pipedrive_operator.core.decision.report import Announcement
from support.builders import api_token_credential


async def test_a_flood_of_different_events_leaves_a_bounded_number_of_digests(
    server: FakeApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tenant can make its credential fail in another way each time, with messages of four kilobytes."""
    monkeypatch.setattr(credentials, "MOST_KNOWN", 3)
    server.answer = say(201, {})

    async with await Api.connect(server.settings()) as api:
        recorder = KubernetesCredentials(api, TurnedClock(), instance="x")
        for number in range(8):
            event = Announcement(warning=True, reason="InvalidSpec", message=f"{number} {'x' * 4000}")
            await recorder.record_event(api_token_credential(), event)
            await recorder.record_event(api_token_credential(), event)

    assert 8 == len(server.bodies)
    known = list(recorder._recorded)  # noqa: SLF001  what stays in memory
    assert len(known) <= 4
    assert all(len(digest) == 32 for digest in known)


async def test_an_event_is_masked(server: FakeApiServer) -> None:
    """This is the last defence."""
    server.answer = say(201, {})
    event = Announcement(warning=True, reason="InvalidSpec", message=f"the client is 12:34:{'5f' * 20} here")

    async with await Api.connect(server.settings()) as api:
        await KubernetesCredentials(api, TurnedClock(), instance="x").record_event(api_token_credential(), event)

    assert "the client is (hidden) here" == json.loads(server.bodies[0])["note"]
