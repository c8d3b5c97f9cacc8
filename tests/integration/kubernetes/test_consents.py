"""Consents on a real API server: its rules, the rights of each role, and the front's adapter with its own rights."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from integration.kubernetes.rights import grant_rights
from pipedrive_operator.adapters.kubernetes.api import Api
from pipedrive_operator.adapters.kubernetes.consent_answers import KubernetesConsentAnswers
from pipedrive_operator.adapters.kubernetes.endpoints import CONSENTS, CREDENTIALS, SECRETS
from pipedrive_operator.adapters.kubernetes.permissions import Permission, required_for_front
from pipedrive_operator.adapters.kubernetes.refusal import Refusal
from pipedrive_operator.config.settings import KubernetesSettings
from pipedrive_operator.core.resource import consent_link
from pipedrive_operator.core.resource.consent import Answer, Consent, read_consent
from pipedrive_operator.core.resource.names import CONSENT_KIND, CONSENT_PLURAL, GROUP, VERSION, Key
from pipedrive_operator.core.values.errors import ApiServerUnavailable
from pipedrive_operator.core.values.secret_value import SecretValue
from testbed.control_plane import ControlPlane

LINK_KEY = consent_link.key_from(bytes(range(32)))
CODE = SecretValue("1.2.abc")


def manifest(name: Key, **spec: Any) -> dict[str, Any]:
    """Return a consent as a command creates it."""
    digest = consent_link.digest_of(consent_link.state_of(LINK_KEY, name))
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": CONSENT_KIND,
        "metadata": {"namespace": name.namespace, "name": name.name},
        "spec": {"credential": "acme", "stateDigest": digest, **spec},
    }


def answer(name: Key) -> Answer:
    """Return an answer that belongs to the consent."""
    return Answer(code=CODE, state=consent_link.state_of(LINK_KEY, name))


def sent(name: Key) -> dict[str, Any]:
    """Return the patch that stores an answer."""
    return {"spec": {"answer": {"code": CODE.reveal(), "state": answer(name).state.reveal()}}}


@pytest.fixture
def name(namespace: str) -> Key:
    """Name a consent."""
    return Key(namespace=namespace, name="acme-x7k2p")


@pytest.fixture
async def consent(api: Api, name: Key) -> Consent:
    """Create a consent."""
    return read_consent(await api.create(CONSENTS.collection(name.namespace), manifest(name)))


async def api_with(control_plane: ControlPlane, user: str, permissions: list[Permission]) -> Api:
    """Connect as a user who has these permissions and no others."""
    grant_rights(control_plane, user, permissions)
    return await Api.connect(KubernetesSettings(kubeconfig=control_plane.kubeconfig_for(user)))


@pytest.fixture
async def front(control_plane: ControlPlane, namespace: str) -> AsyncIterator[Api]:
    """Connect with the rights of the front."""
    async with await api_with(control_plane, f"front-{namespace}", required_for_front([namespace])) as api:
        yield api


async def test_the_front_reads_a_consent_and_stores_an_answer(front: Api, consent: Consent) -> None:
    """Its two permissions are enough."""
    answers = KubernetesConsentAnswers(front)

    assert consent == await answers.read(consent.key)
    assert await answers.answer(consent, answer(consent.key))
    changed = await answers.read(consent.key)

    assert changed is not None
    assert (answer(consent.key), 2) == (changed.spec.answer, changed.generation)


async def test_the_same_answer_again_is_no_new_generation(front: Api, consent: Consent) -> None:
    """A reloaded callback does not count as an answer."""
    answers = KubernetesConsentAnswers(front)
    for _ in range(2):
        assert await answers.answer(consent, answer(consent.key))
    changed = await answers.read(consent.key)

    assert changed is not None
    assert 2 == changed.generation


async def test_a_consent_that_was_deleted_or_created_again_takes_no_answer(
    api: Api, front: Api, consent: Consent
) -> None:
    """Two consents of one name differ in their uid."""
    answers = KubernetesConsentAnswers(front)
    await api.delete(CONSENTS.at(consent.key), preconditions={"uid": consent.uid})
    assert await answers.read(consent.key) is None
    assert not await answers.answer(consent, answer(consent.key))

    await api.create(CONSENTS.collection(consent.key.namespace), manifest(consent.key))

    assert not await answers.answer(consent, answer(consent.key))
    again = await answers.read(consent.key)
    assert again is not None
    assert again.spec.answer is None


async def test_the_front_can_do_nothing_else(front: Api, consent: Consent) -> None:
    """It cannot list consents, report on one, create one, or read a credential or a Secret."""
    namespace = consent.key.namespace
    other = Key(namespace=namespace, name="other")

    for refused in (
        anext(front.pages(CONSENTS.collection(namespace))),
        front.create(CONSENTS.collection(namespace), manifest(other)),
        front.delete(CONSENTS.at(consent.key), preconditions={}),
        front.merge_patch(CONSENTS.at(consent.key, subresource="status"), {"status": {"url": "https://evil"}}),
        front.get(CREDENTIALS.at(other)),
        front.get(SECRETS.at(other)),
    ):
        with pytest.raises(Refusal, match="cannot"):
            await refused


async def test_a_refused_answer_is_never_quoted(stranger: Api, api: Api, consent: Consent) -> None:
    """The API server's messages quote what is wrong."""
    wrong = Answer(code=SecretValue("s3cret code"), state=SecretValue("s3cret state"))

    assert not await KubernetesConsentAnswers(api).answer(consent, wrong)
    with pytest.raises(ApiServerUnavailable) as refused:
        await KubernetesConsentAnswers(stranger).answer(consent, wrong)

    message = f"the API server refused to store Pipedrive's answer in consent {consent.key} (HTTP status 403)"
    assert message == str(refused.value)
    assert refused.value.__cause__ is None


async def test_a_viewer_cannot_connect_an_account(control_plane: ControlPlane, consent: Consent) -> None:
    """The right to connect is the right to create a consent. Seeing one reveals nothing that completes it."""
    namespace = consent.key.namespace
    rights = [Permission(verb, GROUP, CONSENT_PLURAL, namespace=namespace) for verb in ("get", "list", "watch")]
    async with await api_with(control_plane, f"viewer-{namespace}", rights) as viewer:
        seen = await viewer.get(CONSENTS.at(consent.key))
        for refused in (
            viewer.create(CONSENTS.collection(namespace), manifest(Key(namespace=namespace, name="mine"))),
            viewer.merge_patch(CONSENTS.at(consent.key), sent(consent.key)),
        ):
            with pytest.raises(Refusal, match="cannot"):
                await refused

    assert LINK_KEY.reveal() not in str(seen)
    assert answer(consent.key).state.reveal() not in str(seen)


FIXED = "cannot change: delete this consent and create another"


@pytest.mark.parametrize(
    ("change", "field", "message"),
    [
        ({"credential": "other"}, "spec.credential", f"credential {FIXED}"),
        ({"stateDigest": "sha256:" + "0" * 64}, "spec.stateDigest", f"stateDigest {FIXED}"),
        ({"lifetime": "31m"}, "spec.lifetime", f"lifetime {FIXED}"),
        ({"allowAccountChange": True}, "spec.allowAccountChange", f"allowAccountChange {FIXED}"),
        (
            {"answer": {"code": "a b", "state": "x"}},
            "spec.answer.code",
            "must be the authorization code of Pipedrive's redirect",
        ),
        ({"answer": {"code": "a", "state": "x"}}, "spec.answer.state", "must be the state of Pipedrive's redirect"),
        ({"answer": {"code": "a" * 2049, "state": "x"}}, "spec.answer.code", "may not be more than 2048"),
    ],
)
async def test_a_change_of_anything_but_the_answer_is_refused_with_a_sentence(
    api: Api, consent: Consent, change: dict[str, Any], field: str, message: str
) -> None:
    """The person has read on the page what the consent is for."""
    with pytest.raises(Refusal) as refused:
        await api.merge_patch(CONSENTS.at(consent.key), {"spec": change})

    assert field in str(refused.value)
    assert message in str(refused.value)


async def test_a_default_may_be_written_out(api: Api, consent: Consent) -> None:
    """It changes nothing."""
    await api.merge_patch(CONSENTS.at(consent.key), {"spec": {"lifetime": "30m", "allowAccountChange": False}})


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"lifetime": "25h"}, "must be a duration between 1m and 24h, such as 30m"),
        ({"lifetime": "59s"}, "must be a duration between 1m and 24h, such as 30m"),
        ({"lifetime": "x"}, "must be a duration between 1m and 24h, such as 30m"),
        ({"stateDigest": "sha256:x"}, "must be sha256: and 64 digits in lower-case hexadecimal"),
        ({"credential": "Acme"}, "must be a Kubernetes name"),
    ],
)
async def test_a_wrong_consent_is_refused_with_a_sentence(
    api: Api, name: Key, spec: dict[str, Any], message: str
) -> None:
    """The most similar valid one is accepted."""
    with pytest.raises(Refusal) as refused:
        await api.create(CONSENTS.collection(name.namespace), manifest(name, **spec))

    assert message in str(refused.value)


@pytest.mark.parametrize("lifetime", ["1m", "24h", "90s"])
async def test_a_right_consent_is_accepted(api: Api, name: Key, lifetime: str) -> None:
    """Its first status does not make it look finished."""
    created = await api.create(CONSENTS.collection(name.namespace), manifest(name, lifetime=lifetime))

    assert {"observedGeneration": -1} == created["status"]


async def test_a_long_name_is_refused(api: Api, name: Key) -> None:
    """It becomes part of a cookie's name."""
    long = Key(namespace=name.namespace, name="a" * 64)

    with pytest.raises(Refusal, match=r"metadata\.name must have at most 63 characters"):
        await api.create(CONSENTS.collection(name.namespace), manifest(long))
