"""How the operator reports writes that an admission webhook of a real API server denies, or cannot review."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import pytest
from aiohttp import web

from pipedrive_operator.adapters.kubernetes.api import Api
from pipedrive_operator.adapters.kubernetes.credentials import KubernetesCredentials
from pipedrive_operator.adapters.kubernetes.leases import KubernetesLeases
from pipedrive_operator.adapters.kubernetes.quotation import LONGEST_QUOTATION
from pipedrive_operator.adapters.kubernetes.refusal import Refusal
from pipedrive_operator.adapters.kubernetes.secrets import KubernetesSecrets
from pipedrive_operator.core.publication.target import TargetSecret
from pipedrive_operator.core.resource.credential import AnyCredential
from pipedrive_operator.core.resource.names import GROUP, PLURAL, VERSION, Key
from pipedrive_operator.core.values.errors import ReportDenied, SecretWriteDenied
from pipedrive_operator.core.values.lease import Lease
from support.admission_webhook import NOTHING_LISTENS, WEBHOOK_NAME, AdmissionWebhook, serving
from support.manifests import encoded, published_secret
from testbed.control_plane import ControlPlane

DEADLINE = 20
CALL_FAILED = f'failed calling webhook "{WEBHOOK_NAME}"'
DENIED = f'admission webhook "{WEBHOOK_NAME}" denied the request'


ErrorT = TypeVar("ErrorT", bound=Exception)


@dataclass(frozen=True)
class Recorded:
    """An Event to record."""

    message: str
    reason: str = "ConsentRequired"
    warning: bool = True


@pytest.fixture
async def webhook(control_plane: ControlPlane, namespace: str) -> AsyncIterator[AdmissionWebhook]:
    """Serve a webhook that is not registered yet."""
    async with serving(control_plane, namespace) as served:
        yield served


async def until_raises(kind: type[ErrorT], write: Callable[[], Awaitable[object]]) -> ErrorT:
    """Repeat a write until it fails, because the API server notices a new webhook a moment later."""
    async with asyncio.timeout(DEADLINE):
        while True:
            try:
                await write()
            except kind as error:
                return error


async def until_denied(write: Callable[[], Awaitable[object]]) -> SecretWriteDenied:
    """Write a Secret until the write is denied."""
    return await until_raises(SecretWriteDenied, write)


async def until_report_denied(write: Callable[[], Awaitable[object]]) -> ReportDenied:
    """Write the status of a credential until the write is denied."""
    return await until_raises(ReportDenied, write)


def creations(secrets: KubernetesSecrets, namespace: str) -> Callable[[], Awaitable[TargetSecret]]:
    """Return a function that creates a Secret of another name at each call."""
    numbers = itertools.count()
    return lambda: secrets.create(published_secret(namespace, f"secret-{next(numbers)}"))


async def test_a_webhook_that_is_down_denies_the_write(
    secrets: KubernetesSecrets, namespace: str, webhook: AdmissionWebhook
) -> None:
    """The message quotes the API server, which names the webhook and the cause."""
    webhook.url = NOTHING_LISTENS
    await webhook.register()

    denied = await until_denied(creations(secrets, namespace))

    assert CALL_FAILED in denied.message
    assert "connection refused" in denied.message


@pytest.mark.parametrize(
    ("broken", "cause"),
    [
        (web.Response(status=500, text="boom"), "boom"),
        (web.Response(status=503, text="later"), "unable to handle the request"),
        (web.Response(status=200, text="<html>"), "parse error"),
        (None, "context deadline exceeded"),
    ],
)
async def test_a_webhook_that_breaks_denies_the_write(
    secrets: KubernetesSecrets, namespace: str, webhook: AdmissionWebhook, broken: web.Response | None, cause: str
) -> None:
    """It returns an error, or something other than a review, or nothing in time."""
    webhook.broken, webhook.hangs = broken, broken is None
    await webhook.register()

    denied = await until_denied(creations(secrets, namespace))

    assert CALL_FAILED in denied.message
    assert cause in denied.message


@pytest.mark.parametrize("code", [200, 302, 400, 401, 403, 404, 408, 409, 413, 418, 422, 429, 500, 503, 504])
async def test_the_status_code_that_a_webhook_denies_with_is_ignored(
    secrets: KubernetesSecrets, namespace: str, webhook: AdmissionWebhook, code: int
) -> None:
    """A webhook may choose any code, reason and details, for a creation, a patch and a deletion."""
    created = await secrets.create(published_secret(namespace))
    details = {"kind": "namespaces", "causes": [{"reason": "NamespaceTerminating"}]}
    webhook.deny(code=code, message="no, because", reason="AlreadyExists", details=details)
    await webhook.register(operations=("CREATE", "UPDATE", "DELETE"))
    change = {"metadata": {"resourceVersion": created.resource_version}, "data": {"by": encoded("us")}}

    writes = creations(secrets, namespace), lambda: secrets.patch(created.key, change), lambda: secrets.delete(created)
    for write in writes:
        assert f"{DENIED}: no, because" in (await until_denied(write)).message


async def test_a_long_denial_of_many_lines_is_cut_to_one_line(
    secrets: KubernetesSecrets, namespace: str, webhook: AdmissionWebhook
) -> None:
    """It has to fit into a condition and into one line of the log."""
    webhook.deny(message="first\nsecond\tthird\x1b[0m " + "word " * 3000)
    await webhook.register()

    denied = await until_denied(creations(secrets, namespace))

    assert f"{DENIED}: first second third" in denied.message
    assert denied.message.isprintable()
    assert len(denied.message) < LONGEST_QUOTATION + 100


@pytest.mark.parametrize(
    ("operation", "cause"),
    [
        ({"op": "add", "path": "/data/token", "value": "@@"}, "illegal base64"),
        ({"op": "replace", "path": "/nothing/here", "value": "x"}, "missing path"),
        ({"op": "add", "path": "/data/not a key", "value": "eA=="}, "a valid config key"),
    ],
)
async def test_a_malformed_mutation_by_a_webhook_denies_the_write(
    secrets: KubernetesSecrets,
    namespace: str,
    webhook: AdmissionWebhook,
    operation: dict[str, Any],
    cause: str,
) -> None:
    """The message of the API server does not name the webhook, and nothing else is known."""
    webhook.mutate(operation)
    await webhook.register(mutating=True)

    assert cause in (await until_denied(creations(secrets, namespace))).message


async def test_a_denied_status_is_reported_as_a_denial(
    credentials: KubernetesCredentials, credential: AnyCredential, webhook: AdmissionWebhook
) -> None:
    """It is neither an outage of the API server nor a defect: a person has to change the policy."""
    webhook.deny(code=503, message="statuses are frozen")
    await webhook.register(f"{PLURAL}/status", group=GROUP, version=VERSION)
    versions = itertools.count(1)

    denied = await until_report_denied(
        lambda: credentials.patch_status(credential.key, {"observedGeneration": next(versions)})
    )

    assert f"{DENIED}: statuses are frozen" in str(denied)


async def test_an_event_that_cannot_be_reviewed_is_reported_as_denied(
    credentials: KubernetesCredentials, credential: AnyCredential, webhook: AdmissionWebhook
) -> None:
    """The webhook is down. Nothing is lost, because the status holds the same message."""
    webhook.url = NOTHING_LISTENS
    await webhook.register("events", group="events.k8s.io")
    numbers = itertools.count()

    denied = await until_report_denied(
        lambda: credentials.record_event(credential, Recorded(message=f"attempt {next(numbers)}"))
    )

    assert CALL_FAILED in str(denied)


async def test_a_lease_denied_by_a_webhook_does_not_count_as_taken(
    api: Api, namespace: str, webhook: AdmissionWebhook
) -> None:
    """This holds even if the webhook denies it with status 409."""
    webhook.deny(code=409, message="no leases here", reason="AlreadyExists")
    await webhook.register("leases", group="coordination.k8s.io")
    names = (Key(namespace=namespace, name=f"leader-{number}") for number in itertools.count())
    lease = Lease(holder="operator-0", duration=timedelta(seconds=30))

    async def write() -> None:
        await KubernetesLeases(api, next(names)).write(lease)

    assert f"{DENIED}: no leases here" in str(await until_raises(Refusal, write))
