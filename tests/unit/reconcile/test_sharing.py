"""Which credentials Vault has allowed to read what they name."""

from dataclasses import replace

from pipedrive_operator.controller.cache import Cache
from pipedrive_operator.core.decision.sources import resolve
from pipedrive_operator.core.resource.credential import Credential, read_credential
from pipedrive_operator.reconcile.sharing import GrantSharing
from support.builders import GRANT_SOURCE, OAUTH2_SPEC, RULES, resource


def _credential(uid: str) -> Credential:
    found = read_credential(resource(OAUTH2_SPEC, uid=uid))
    assert isinstance(found, Credential)
    return found


def test_a_credential_that_was_created_anew_must_read_its_grant_again() -> None:
    """Another person may have created it under the same name."""
    sharing = GrantSharing(Cache(lambda credential: resolve(credential, RULES)))
    sharing.note_read(_credential("first"), GRANT_SOURCE)

    assert sharing.can_read(_credential("first"), GRANT_SOURCE)
    assert not sharing.can_read(_credential("second"), GRANT_SOURCE)


def test_a_credential_that_names_another_grant_must_read_that() -> None:
    """What it has read says nothing about it."""
    sharing = GrantSharing(Cache(lambda credential: resolve(credential, RULES)))
    sharing.note_read(_credential("first"), GRANT_SOURCE)
    other = replace(GRANT_SOURCE, location=replace(GRANT_SOURCE.location, path="pipedrive/other"))

    assert not sharing.can_read(_credential("first"), other)
