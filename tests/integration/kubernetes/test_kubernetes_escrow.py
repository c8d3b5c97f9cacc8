"""The escrow in a real API server: what its Secret reveals, what it is bound to, and its permissions."""

import base64
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from fakes.clock import TurnedClock
from integration.kubernetes.rights import grant_rights
from pipedrive_operator import metrics
from pipedrive_operator.adapters.kubernetes.api import Api
from pipedrive_operator.adapters.kubernetes.escrow import LABEL, KubernetesEscrow
from pipedrive_operator.adapters.kubernetes.permissions import missing, required_for_escrow
from pipedrive_operator.config.settings import KubernetesSettings
from pipedrive_operator.core.grant.grant import write_grant
from pipedrive_operator.core.values.errors import ApiServerUnavailable, GrantUnstored
from pipedrive_operator.core.values.secret_value import SecretValue
from support.builders import ACCOUNT, GRANT_LOCATION, access_token, grant
from testbed.control_plane import ControlPlane

KEY = SecretValue("the-client-secret-of-the-app")
WON = grant(
    "12345:67890:the-refresh-token",
    token=access_token("v1u:the-access-token"),
    client_id="the-client-id",
    refreshed_from="digest-of-what-was-spent",
    account=ACCOUNT,
)
OTHER = replace(GRANT_LOCATION, path="pipedrive/crm/other")


@pytest.fixture
def escrow(api: Api, namespace: str, clock: TurnedClock) -> KubernetesEscrow:
    """Open the escrow."""
    return KubernetesEscrow(api, namespace, clock)


@pytest.fixture
async def limited(control_plane: ControlPlane, namespace: str) -> AsyncIterator[Api]:
    """Connect as a user with the permissions that the escrow needs in that namespace, and no others."""
    user = f"limited-{namespace}"
    grant_rights(control_plane, user, required_for_escrow(namespace))
    async with await Api.connect(KubernetesSettings(kubeconfig=control_plane.kubeconfig_for(user))) as api:
        yield api


def stored(control_plane: ControlPlane, namespace: str) -> list[dict[str, Any]]:
    """Return the Secrets of the namespace."""
    text = control_plane.kubectl("get", "secrets", f"--namespace={namespace}", "--output=json")
    return list(json.loads(text)["items"])


def replace_stored(control_plane: ControlPlane, body: dict[str, Any], **annotations: str) -> None:
    """Replace the stored Secret by one with other annotations."""
    metadata = body["metadata"] | {"annotations": body["metadata"]["annotations"] | annotations}
    control_plane.kubectl("replace", "--filename=-", stdin=json.dumps(body | {"metadata": metadata}))


def gauge() -> str:
    """Return how many escrowed grants the metrics show."""
    [line] = [
        line
        for line in metrics.exposition().decode().splitlines()
        if line.startswith("pipedrive_operator_escrow_grants ")
    ]
    return line.split()[1]


async def test_the_secret_reveals_no_token_and_no_client(
    escrow: KubernetesEscrow, control_plane: ControlPlane, namespace: str
) -> None:
    """Neither tokens nor the client's id and secret can be read in it; the location of the grant can."""
    await escrow.keep(GRANT_LOCATION, WON, "refresh-a", KEY)

    [body] = stored(control_plane, namespace)
    whole = json.dumps(body).encode() + b"".join(base64.b64decode(value) for value in body["data"].values())
    values = [str(value) for value in write_grant(WON, {}).values()]
    for value in (*values, KEY.reveal()):
        if len(value) > len("12345"):  # a shorter one may occur by chance
            assert value.encode() not in whole
    assert set(body["data"]) == {"sealed"}
    assert body["metadata"]["labels"] == {LABEL: "true"}
    assert body["metadata"]["annotations"] == {
        "pipedrive-operator.io/grant": "default: secret/pipedrive/crm/acme",
        "pipedrive-operator.io/refresh-id": "refresh-a",
    }


async def test_the_same_grant_is_encrypted_differently_each_time(
    escrow: KubernetesEscrow, control_plane: ControlPlane, namespace: str
) -> None:
    """Comparing two escrows reveals nothing."""
    await escrow.keep(GRANT_LOCATION, WON, "refresh-a", KEY)
    [first] = stored(control_plane, namespace)
    await escrow.drop(GRANT_LOCATION, "refresh-a")

    await escrow.keep(GRANT_LOCATION, WON, "refresh-a", KEY)

    [second] = stored(control_plane, namespace)
    assert first["metadata"]["name"] == second["metadata"]["name"]
    assert first["data"] != second["data"]


async def test_an_escrow_opens_only_with_the_same_client_secret(
    escrow: KubernetesEscrow, api: Api, namespace: str, clock: TurnedClock
) -> None:
    """Another process can open it, too. Without the secret, the message says what to do and contains no secret."""
    await escrow.keep(GRANT_LOCATION, WON, "refresh-a", KEY)
    following = KubernetesEscrow(api, namespace, clock)
    await following.load()

    with pytest.raises(GrantUnstored, match="Put back the former client secret") as caught:
        await following.open(GRANT_LOCATION, SecretValue("another-client-secret"))

    for value in (KEY.reveal(), "another-client-secret", WON.refresh_token.reveal()):
        assert value not in caught.value.message
    assert [WON] == [copy.grant for copy in await following.open(GRANT_LOCATION, KEY)]


async def test_an_escrow_is_bound_to_its_refresh(
    escrow: KubernetesEscrow, api: Api, control_plane: ControlPlane, namespace: str, clock: TurnedClock
) -> None:
    """A person who can write Secrets but has no key cannot present it as the result of another refresh."""
    await escrow.keep(GRANT_LOCATION, WON, "refresh-a", KEY)
    [body] = stored(control_plane, namespace)
    replace_stored(control_plane, body, **{"pipedrive-operator.io/refresh-id": "refresh-b"})
    following = KubernetesEscrow(api, namespace, clock)
    await following.load()

    with pytest.raises(GrantUnstored):
        await following.open(GRANT_LOCATION, KEY)


async def test_an_escrow_is_bound_to_its_grant(
    escrow: KubernetesEscrow, api: Api, control_plane: ControlPlane, namespace: str, clock: TurnedClock
) -> None:
    """One app may have many grants under one client secret: none can replace another."""
    await escrow.keep(GRANT_LOCATION, WON, "refresh-a", KEY)
    [first] = stored(control_plane, namespace)
    await escrow.keep(OTHER, replace(WON, refresh_token=SecretValue("of-another")), "refresh-a", KEY)
    [second] = [
        body for body in stored(control_plane, namespace) if body["metadata"]["name"] != first["metadata"]["name"]
    ]
    replace_stored(control_plane, second | {"data": first["data"]})
    following = KubernetesEscrow(api, namespace, clock)
    await following.load()

    assert [WON] == [copy.grant for copy in await following.open(GRANT_LOCATION, KEY)]
    with pytest.raises(GrantUnstored):
        await following.open(OTHER, KEY)


@pytest.mark.parametrize("damage", [{"sealed": "AAAA"}, {"sealed": ""}, {}])
async def test_a_damaged_escrow_is_an_error_and_not_absent(
    api: Api, control_plane: ControlPlane, namespace: str, clock: TurnedClock, damage: dict[str, str]
) -> None:
    """Its refresh token may be the only one left."""
    await KubernetesEscrow(api, namespace, clock).keep(GRANT_LOCATION, WON, "refresh-a", KEY)
    [body] = stored(control_plane, namespace)
    control_plane.kubectl("replace", "--filename=-", stdin=json.dumps(body | {"data": damage}))
    escrow = KubernetesEscrow(api, namespace, clock)

    assert len(await escrow.load()) == 1
    with pytest.raises(GrantUnstored):
        await escrow.open(GRANT_LOCATION, KEY)


async def test_an_escrow_without_annotations_is_listed_by_its_name(
    escrow: KubernetesEscrow, api: Api, control_plane: ControlPlane, namespace: str, clock: TurnedClock
) -> None:
    """It does not keep the operator from starting."""
    await escrow.keep(GRANT_LOCATION, WON, "refresh-a", KEY)
    [body] = stored(control_plane, namespace)
    name = body["metadata"]["name"]
    keys = [f"{key}-" for key in body["metadata"]["annotations"]]
    control_plane.kubectl("annotate", "secret", name, f"--namespace={namespace}", *keys)

    assert await KubernetesEscrow(api, namespace, clock).load() == [name]


async def test_an_escrow_that_a_person_annotated_is_dropped(
    escrow: KubernetesEscrow, control_plane: ControlPlane, namespace: str
) -> None:
    """Its name belongs to one refresh, so whatever else has changed does not matter."""
    await escrow.keep(GRANT_LOCATION, WON, "refresh-a", KEY)
    [body] = stored(control_plane, namespace)
    control_plane.kubectl("annotate", "secret", body["metadata"]["name"], f"--namespace={namespace}", "seen=yes")

    await escrow.drop(GRANT_LOCATION, "refresh-a")

    assert not escrow.holds(GRANT_LOCATION)
    assert stored(control_plane, namespace) == []


async def test_an_escrow_that_the_cluster_holds_differently_is_not_kept(
    escrow: KubernetesEscrow, control_plane: ControlPlane, namespace: str
) -> None:
    """Admission or a person may have changed it, so that nobody can open it."""
    await escrow.keep(GRANT_LOCATION, WON, "refresh-a", KEY)
    [body] = stored(control_plane, namespace)
    control_plane.kubectl("replace", "--filename=-", stdin=json.dumps(body | {"data": {"sealed": "AAAA"}}))

    assert not await escrow.keep(GRANT_LOCATION, WON, "refresh-a", KEY)


async def test_an_escrow_of_an_operator_with_one_for_each_grant_is_opened_and_dropped(
    escrow: KubernetesEscrow, control_plane: ControlPlane, namespace: str
) -> None:
    """Its name ends after the digest of the location; an upgrade must not lose it."""
    await escrow.keep(GRANT_LOCATION, WON, "refresh-a", KEY)
    [body] = stored(control_plane, namespace)
    await escrow.drop(GRANT_LOCATION, "refresh-a")
    name, _, _ = body["metadata"]["name"].rpartition("-")
    metadata = {key: body["metadata"][key] for key in ("namespace", "labels", "annotations")} | {"name": name}
    control_plane.kubectl("create", "--filename=-", stdin=json.dumps(body | {"metadata": metadata}))

    assert len(await escrow.load()) == 1
    assert [WON] == [copy.grant for copy in await escrow.open(GRANT_LOCATION, KEY)]
    await escrow.drop(GRANT_LOCATION, "refresh-a")
    assert stored(control_plane, namespace) == []


async def test_the_metrics_show_how_many_grants_are_in_escrow(escrow: KubernetesEscrow) -> None:
    """The number changes when one is kept, found or dropped."""
    shown = []
    for step in (
        escrow.load,
        lambda: escrow.keep(GRANT_LOCATION, WON, "refresh-a", KEY),
        lambda: escrow.keep(OTHER, WON, "refresh-b", KEY),
        lambda: escrow.drop(GRANT_LOCATION, "refresh-a"),
        escrow.load,
        lambda: escrow.drop(OTHER, "refresh-b"),
    ):
        await step()
        shown.append(gauge())

    assert shown == ["0.0", "1.0", "2.0", "1.0", "1.0", "0.0"]


async def test_the_permissions_of_check_are_sufficient(limited: Api, namespace: str, clock: TurnedClock) -> None:
    """They allow to keep an escrow, to keep it again, and to list, open and drop it."""
    escrow = KubernetesEscrow(limited, namespace, clock)
    assert await missing(limited, required_for_escrow(namespace)) == []

    assert await escrow.load() == []
    assert await escrow.keep(GRANT_LOCATION, WON, "refresh-a", KEY)
    assert await escrow.keep(GRANT_LOCATION, WON, "refresh-a", KEY)
    assert await escrow.load() == []
    assert len(await escrow.open(GRANT_LOCATION, KEY)) == 1
    await escrow.drop(GRANT_LOCATION, "refresh-a")
    assert not escrow.holds(GRANT_LOCATION)


async def test_without_permissions_nothing_is_kept_and_the_failure_is_counted(
    stranger: Api, namespace: str, clock: TurnedClock
) -> None:
    """The refresh still stores its result in Vault; only a new leader cannot start."""
    escrow = KubernetesEscrow(stranger, namespace, clock)
    failures = metrics.REGISTRY.get_sample_value("pipedrive_operator_escrow_failures_total") or 0

    assert not await escrow.keep(GRANT_LOCATION, WON, "refresh-a", KEY)

    assert metrics.REGISTRY.get_sample_value("pipedrive_operator_escrow_failures_total") == failures + 1
    with pytest.raises(ApiServerUnavailable, match="cannot list resource"):
        await escrow.load()
