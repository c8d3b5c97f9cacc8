"""The port of credentials against a real API server: the status and Events."""

import json
from dataclasses import dataclass
from typing import Any

import pytest

from fakes.clock import TurnedClock
from pipedrive_operator.adapters.kubernetes.api import Api
from pipedrive_operator.adapters.kubernetes.credentials import QUIET, KubernetesCredentials
from pipedrive_operator.core.resource.credential import AnyCredential
from pipedrive_operator.core.values.errors import ApiServerUnavailable
from support.builders import ABSENT
from testbed.control_plane import ControlPlane


@dataclass(frozen=True)
class Notice:
    """An event to record."""

    reason: str
    message: str
    warning: bool = True


def events(control_plane: ControlPlane, namespace: str) -> list[dict[str, Any]]:
    """Return the Events of a namespace."""
    found = control_plane.kubectl("get", "events.events.k8s.io", f"--namespace={namespace}", "--output=json")
    return list(json.loads(found)["items"])


class TestCredentials:
    """The port of credentials."""

    async def test_patches_the_status(self, credentials: KubernetesCredentials, credential: AnyCredential) -> None:
        """The call returns the credential with the new status; a None removes a field."""
        first = {"observedGeneration": 1, "secretName": "pipedrive"}
        await credentials.patch_status(credential.key, first)

        patched = await credentials.patch_status(credential.key, {"observedGeneration": 2, "secretName": None})

        assert patched is not None
        assert (patched.uid, patched.generation) == (credential.uid, credential.generation)
        assert (patched.status.observed_generation, patched.status.secret_name) == (2, None)

    async def test_writes_no_status_of_a_deleted_credential(self, credentials: KubernetesCredentials) -> None:
        """The call returns None."""
        assert await credentials.patch_status(ABSENT, {"observedGeneration": 1}) is None

    async def test_reports_a_missing_permission_for_the_status(
        self, stranger: Api, clock: TurnedClock, credential: AnyCredential
    ) -> None:
        """The error names the denied request."""
        with pytest.raises(ApiServerUnavailable, match="cannot patch resource"):
            await KubernetesCredentials(stranger, clock, instance="x").patch_status(credential.key, {})

    async def test_records_an_event_about_the_credential(
        self, credentials: KubernetesCredentials, credential: AnyCredential, control_plane: ControlPlane
    ) -> None:
        """The Event names the credential, the reporter and the reason."""
        await credentials.record_event(credential, Notice("ConsentRequired", "Consent again. " + "é" * 600))

        (event,) = events(control_plane, credential.key.namespace)
        assert (event["type"], event["reason"], event["action"]) == (
            "Warning",
            "ConsentRequired",
            "Reconcile",
        )
        assert event["note"].startswith("Consent again.")
        assert event["regarding"]["uid"] == credential.uid
        assert event["reportingController"] == "pipedrive-operator.io/operator"
        assert event["reportingInstance"] == "operator-0"
        assert event["eventTime"] == "2026-03-04T12:00:00.250000Z"

    async def test_does_not_repeat_an_event_at_once(
        self,
        credentials: KubernetesCredentials,
        credential: AnyCredential,
        control_plane: ControlPlane,
        clock: TurnedClock,
    ) -> None:
        """It records the same Event again only after some time, and a different one at once."""
        for notice in (Notice("A", "x"), Notice("A", "x"), Notice("B", "x")):
            await credentials.record_event(credential, notice)
        assert len(events(control_plane, credential.key.namespace)) == 2

        clock.turn(QUIET)
        await credentials.record_event(credential, Notice("A", "x"))
        assert len(events(control_plane, credential.key.namespace)) == 3

    async def test_records_no_event_in_a_terminating_namespace(
        self, credentials: KubernetesCredentials, credential: AnyCredential, terminating_namespace: str
    ) -> None:
        """Its credential is being deleted, too."""
        assert credential.key.namespace == terminating_namespace

        await credentials.record_event(credential, Notice("A", "x"))

    async def test_reports_a_missing_permission_for_events(
        self, stranger: Api, clock: TurnedClock, credential: AnyCredential
    ) -> None:
        """The Event does not count as recorded."""
        port = KubernetesCredentials(stranger, clock, instance="x")

        for _ in range(2):
            with pytest.raises(ApiServerUnavailable, match="cannot create resource"):
                await port.record_event(credential, Notice("A", "x"))
