"""The desired Secret, how the one in the cluster differs, and the patch that repairs it."""

from base64 import b64decode
from dataclasses import replace
from typing import Any

from fakes.merge_patch import merged
from pipedrive_operator.core.grant.token import Accepted
from pipedrive_operator.core.publication.secret import (
    desired_secret,
    differs,
    foreign_keys,
    manifest,
    patch,
    release,
)
from pipedrive_operator.core.publication.target import TargetSecret, digest_of, read_target
from pipedrive_operator.core.resource.spec import DeletionPolicy, Target
from support.builders import (
    ACCOUNT,
    NOW,
    access_token,
    api_token,
    api_token_credential,
    oauth2_credential,
    published,
    published_body,
)

CREDENTIAL = api_token_credential()
ACCEPTED = Accepted(token=api_token(), account=ACCOUNT, verified_at=NOW)
FULL = Target(
    labels={"team": "crm"},
    annotations={"note": "x"},
    data={".env": "TOKEN=$(api_token)\n", "plain": "p"},
)


def with_target(target: Target) -> Any:
    """Build a credential with that target."""
    return replace(CREDENTIAL, spec=replace(CREDENTIAL.spec, target=target))


def served(credential: Any, *, data: dict[str, str] | None = None, **metadata: Any) -> dict[str, Any]:
    """Build the published Secret as the API server serves it, with changes to its data and metadata."""
    body = published_body(credential, ACCEPTED)
    return body | {"data": body["data"] | (data or {}), "metadata": body["metadata"] | metadata}


def repaired(body: dict[str, Any], credential: Any) -> TargetSecret:
    """Apply the patch as the API server would."""
    return read_target(merged(body, patch(read_target(body), desired_secret(credential, ACCEPTED))))


def test_the_default_keys_of_an_api_token() -> None:
    """What a workload needs to call the company's API."""
    data = desired_secret(CREDENTIAL, ACCEPTED).data

    assert {"api_token": "a" * 40, "api_domain": "https://acme.pipedrive.com", "company_domain": "acme"} == {
        key: b64decode(value).decode() for key, value in data.items()
    }


def test_the_default_keys_of_an_access_token_hold_no_refresh_token() -> None:
    """They hold no client secret either."""
    accepted = Accepted(token=access_token(), account=ACCOUNT, verified_at=NOW)

    data = desired_secret(oauth2_credential(), accepted).data

    assert {"access_token", "token_type", "api_domain", "expires_at", "scope", "company_domain"} == set(data)
    assert "2026-03-04T13:00:00Z" == b64decode(data["expires_at"]).decode()
    assert "base,deals:full" == b64decode(data["scope"]).decode()


def test_an_access_token_without_an_address_is_published_with_that_of_its_company() -> None:
    """A person who seeds a grant, and a response, may leave it out; a workload cannot use an empty one."""
    accepted = Accepted(token=access_token(api_domain=None), account=ACCOUNT, verified_at=NOW)

    data = desired_secret(oauth2_credential(), accepted).data

    assert b64decode(data["api_domain"]).decode() == "https://acme.pipedrive.com"


def test_a_published_secret_does_not_differ() -> None:
    """A Secret built from the desired one needs no patch."""
    target = published(CREDENTIAL, ACCEPTED)
    desired = desired_secret(CREDENTIAL, ACCEPTED)

    assert not differs(target, desired)
    assert {"metadata": {"resourceVersion": "200"}} == patch(target, desired)


def test_a_patch_repairs_our_part_and_nothing_else() -> None:
    """After one patch, nothing differs."""
    credential = with_target(FULL)
    clean = published_body(credential, ACCEPTED)
    theirs = {"apiVersion": "v1", "kind": "ConfigMap", "name": "c", "uid": "other"}
    drifted = served(
        credential,
        data={".env": "eA==", "foreign": "eA=="},
        labels={"team": "other", "foreign": "x"},
        annotations={**clean["metadata"]["annotations"], "note": "y", "foreign": "x"},
        ownerReferences=[theirs],
    )

    result = repaired(drifted, credential)

    assert not differs(result, desired_secret(credential, ACCEPTED))
    assert digest_of("eA==") == result.data["foreign"]
    assert ("x", "x") == (result.labels["foreign"], result.annotations["foreign"])
    assert theirs in result.owner_references
    assert ["foreign"] == foreign_keys(result, desired_secret(credential, ACCEPTED))


def test_what_is_no_longer_desired_is_removed() -> None:
    """The patch removes our former keys, labels and annotations, and only ours."""
    credential = with_target(FULL)
    shared = served(credential, data={"foreign": "eA=="})

    result = repaired(shared, with_target(Target(data={"plain": "p"})))

    assert {"plain", "foreign"} == set(result.data)
    assert "team" not in result.labels
    assert "note" not in result.annotations


def test_a_retained_secret_has_no_owner() -> None:
    """It outlives its credential; changing the policy changes the owner."""
    retained = with_target(Target(deletion_policy=DeletionPolicy.RETAIN))

    assert "ownerReferences" not in manifest(desired_secret(retained, ACCEPTED))["metadata"]
    assert () == repaired(served(CREDENTIAL), retained).owner_references
    assert CREDENTIAL.uid == repaired(served(retained), CREDENTIAL).controller_uid


def test_a_released_secret_keeps_its_other_owners() -> None:
    """Only our reference is removed."""
    theirs = {"uid": "other"}
    target = published(CREDENTIAL, ACCEPTED)
    shared = replace(target, owner_references=(*target.owner_references, theirs))

    assert [theirs] == release(shared, CREDENTIAL)["metadata"]["ownerReferences"]


def test_an_edit_shows_without_knowing_the_value() -> None:
    """The digest in the annotation reveals it, even for a removed key."""
    edited = served(CREDENTIAL, data={"api_token": "eA=="})
    shortened = served(CREDENTIAL)
    del shortened["data"]["api_domain"]
    shared = served(CREDENTIAL, data={"foreign": "eA=="})

    assert [True, False, False, True] == [
        read_target(body).is_untouched for body in (served(CREDENTIAL), edited, shortened, shared)
    ]


def test_an_unreadable_list_of_our_keys_is_replaced() -> None:
    """No matter what it contains."""
    key = "pipedrive-operator.io/managed"
    annotations = served(CREDENTIAL)["metadata"]["annotations"]
    for spoilt in ("", "[]", "{", '{"data": 5}', '{"data": [5]}', "null"):
        result = repaired(served(CREDENTIAL, annotations={**annotations, key: spoilt}), CREDENTIAL)

        assert not differs(result, desired_secret(CREDENTIAL, ACCEPTED))
