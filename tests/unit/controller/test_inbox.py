"""Events of the watch: one namespace's flood delays neither others' events nor the rest of the event loop."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from pipedrive_operator.controller.inbox import AT_ONCE, Inbox
from pipedrive_operator.ports import WatchedKind


class Handled:
    """Records what is handed on."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.events: list[tuple[str, str | None, str]] = []
        self.breaks_at: str | None = None
        self.inbox = Inbox(self.see)

    def see(self, kind: WatchedKind, event_type: str | None, body: Mapping[str, Any]) -> None:
        """Receive an event."""
        metadata = body.get("metadata") or {}
        name = f"{metadata.get('namespace')}/{metadata.get('name')}"
        if name == self.breaks_at:
            raise KeyError(name)
        self.events.append((kind, event_type, name))

    async def rest(self) -> None:
        """Let everything be handed on."""
        for _ in range(2000):
            await asyncio.sleep(0)


@pytest.fixture
async def handled() -> Handled:
    """Return an inbox and what it has handed on."""
    return Handled()


def body(namespace: str, name: str) -> dict[str, Any]:
    """Return an object."""
    return {"metadata": {"namespace": namespace, "name": name}}


async def test_a_flood_of_one_namespace_delays_another_by_one_event(handled: Handled) -> None:
    """It does not matter how many events the namespace has."""
    for number in range(1000):
        handled.inbox.receive("credential", "MODIFIED", body("hostile", str(number)))
    handled.inbox.receive("secret", "DELETED", body("honest", "acme"))

    await handled.rest()

    assert ("secret", "DELETED", "honest/acme") in handled.events[:2]
    assert 1001 == len(handled.events)


async def test_other_work_goes_on_between_events(handled: Handled) -> None:
    """A turn of the event loop handles a few events."""
    for number in range(1000):
        handled.inbox.receive("credential", "MODIFIED", body("hostile", str(number)))

    await asyncio.sleep(0)

    assert AT_ONCE == len(handled.events)


async def test_only_the_newest_event_of_an_object_is_handled(handled: Handled) -> None:
    """An object that changes all the time costs no more than one that changed once; kinds are kept apart."""
    for event in ("ADDED", "MODIFIED", "DELETED"):
        handled.inbox.receive("credential", event, body("crm", "acme"))
    handled.inbox.receive("secret", "ADDED", body("crm", "acme"))

    await handled.rest()

    assert [("credential", "DELETED", "crm/acme"), ("secret", "ADDED", "crm/acme")] == handled.events


async def test_a_defect_in_the_handling_of_one_event_stops_no_other(handled: Handled) -> None:
    """It is reported, as every error in a callback is."""
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["exception"]))
    handled.breaks_at = "crm/1"
    for number in range(20):
        handled.inbox.receive("credential", "MODIFIED", body("crm", str(number)))

    await handled.rest()

    assert (19, 1) == (len(handled.events), len(reported))


async def test_an_event_without_metadata_is_handed_on(handled: Handled) -> None:
    """What receives it says that it cannot be read."""
    handled.inbox.receive("secret", "ADDED", {})

    await handled.rest()

    assert 1 == len(handled.events)
