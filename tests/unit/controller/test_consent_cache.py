"""The cache of consents: which ones a change concerns. Tenants can create thousands of consents for one credential."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from pipedrive_operator.controller.consent_cache import ConsentCache
from pipedrive_operator.core.resource.consent import read_consent
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.values.times import format_time
from support.builders import NOW

ACME = Key(namespace="crm", name="acme")


def key(number: int) -> Key:
    """Return the key of a consent."""
    return Key(namespace="crm", name=f"consent-{number:04}")


def consent(number: int, *, version: int = 1, credential: str = "acme", **changes: Any) -> Mapping[str, Any]:
    """Return a consent that was created `number` seconds after the first one."""
    metadata = {
        "namespace": "crm",
        "name": key(number).name,
        "uid": f"uid-{number}",
        "resourceVersion": str(version),
        "generation": changes.pop("generation", 1),
        "creationTimestamp": format_time(NOW + timedelta(seconds=number)),
        "deletionTimestamp": changes.pop("deleted_at", None),
    }
    return {"metadata": metadata, "spec": {"credential": credential, "stateDigest": f"sha256:{'0' * 64}", **changes}}


def filled(count: int) -> ConsentCache:
    """Return a cache with so many consents for one credential."""
    cache = ConsentCache()
    for number in range(count):
        cache.see(None, consent(number))
    return cache


def test_a_new_consent_concerns_itself_and_the_one_that_it_supersedes() -> None:
    """The others have ended before: thousands of them would otherwise be reconciled for each new one."""
    cache = filled(50)

    assert frozenset({key(50), key(49)}) == cache.see("ADDED", consent(50))
    assert frozenset({key(51)}) == cache.see("ADDED", consent(51, credential="other"))


def test_an_answer_concerns_its_consent_and_a_status_concerns_none() -> None:
    """The status is the operator's own report."""
    cache = filled(2)

    assert frozenset() == cache.see("MODIFIED", consent(1, version=2))
    assert key(1) in cache.see("MODIFIED", consent(1, version=3, generation=2))


def test_a_deleted_consent_is_returned() -> None:
    """So that what is known about its exchange can be forgotten."""
    cache = filled(2)

    assert frozenset({key(1)}) == cache.see("DELETED", consent(1))
    assert frozenset({key(0)}) == cache.prune([], 1)
    assert cache.newest(ACME) is None


def test_a_deleted_consent_does_not_come_back_from_what_was_read_before_the_deletion() -> None:
    """A list or an answer to our own write may be older than an event that arrived before it."""
    cache = filled(2)
    cache.see("DELETED", consent(1, version=11))

    assert frozenset() == cache.see(None, consent(1, version=5))
    cache.keep(read_consent(consent(1, version=10)))

    assert cache.consent(key(1)) is None
    assert key(1) in cache.see("ADDED", consent(1, version=12))


def test_a_late_event_of_a_deletion_does_not_remove_a_consent_that_was_created_again() -> None:
    """It has the name of the deleted one, and a newer version."""
    cache = filled(1)
    cache.see(None, consent(0, version=12, allowAccountChange=True))

    assert frozenset() == cache.see("DELETED", consent(0, version=11))

    assert cache.consent(key(0)) is not None
    assert frozenset({"uid-0"}) == cache.allowing_change(ACME)


def test_the_newest_consent_is_one_that_is_not_being_deleted() -> None:
    """It is found without visiting the others."""
    cache = filled(3)
    cache.see("MODIFIED", consent(2, version=2, deleted_at=format_time(NOW)))

    newest = cache.newest(ACME)

    assert newest is not None
    assert key(1) == newest.key
    assert cache.newest(Key(namespace="other", name="acme")) is None


def test_the_consents_that_allow_another_company_are_known_by_credential() -> None:
    """Each pass of each credential asks for them."""
    cache = filled(3)
    cache.see("ADDED", consent(3, allowAccountChange=True))
    cache.see("ADDED", consent(4, allowAccountChange=True, credential="other"))
    assert frozenset({"uid-3"}) == cache.allowing_change(ACME)

    cache.see("DELETED", consent(3))
    assert frozenset() == cache.allowing_change(ACME)
