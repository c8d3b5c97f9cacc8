"""A Secret as the API server returns it: its owner, and the other managers of its fields."""

import json
import tracemalloc
from dataclasses import replace
from typing import Any

import pytest

from pipedrive_operator.core.grant.token import Accepted
from pipedrive_operator.core.publication.secret import desired_secret, differences, patch, undone
from pipedrive_operator.core.publication.target import (
    ANOTHER_RELEASE,
    LONGEST_ANNOTATION,
    TargetSecret,
    belongs_to,
    bounded,
    may_be_adopted,
    read_target,
    writers_between,
)
from pipedrive_operator.core.resource.names import ANNOTATION_DIGEST, FIELD_MANAGER, LABEL_CREDENTIAL
from pipedrive_operator.core.resource.spec import Target
from support.builders import ACCOUNT, NOW, api_token, api_token_credential, published, published_body

CREDENTIAL = api_token_credential()
ACCEPTED = Accepted(token=api_token(), account=ACCOUNT, verified_at=NOW)
OURS = published(CREDENTIAL, ACCEPTED)
ANOTHER = {"uid": "another", "controller": True}
BY_LABEL = replace(OURS, owner_references=())


@pytest.mark.parametrize(
    ("target", "is_ours"),
    [
        pytest.param(OURS, True, id="controlled"),
        pytest.param(BY_LABEL, True, id="labelled and uncontrolled"),
        pytest.param(replace(OURS, labels={}), True, id="controlled without the label"),
        pytest.param(replace(OURS, owner_references=(ANOTHER,)), False, id="labelled and controlled by another"),
        pytest.param(replace(BY_LABEL, labels={}), False, id="foreign"),
        pytest.param(replace(BY_LABEL, labels={LABEL_CREDENTIAL: "x"}), False, id="labelled for another"),
        pytest.param(None, False, id="missing"),
    ],
)
def test_a_secret_belongs_to_its_controller_or_by_its_label(target: TargetSecret | None, *, is_ours: bool) -> None:
    """Control comes first."""
    assert is_ours is belongs_to(target, CREDENTIAL)


@pytest.mark.parametrize(
    ("annotations", "owners", "expected"),
    [
        pytest.param({"pipedrive-operator.io/adopt": "acme"}, (), True, id="offered"),
        pytest.param({"pipedrive-operator.io/adopt": "other"}, (), False, id="offered to another"),
        pytest.param({"pipedrive-operator.io/adopt": "acme"}, (ANOTHER,), False, id="controlled"),
        pytest.param({}, (), False, id="not offered"),
    ],
)
def test_a_foreign_secret_is_adopted_if_its_annotation_offers_it(
    annotations: dict[str, str], owners: tuple[Any, ...], *, expected: bool
) -> None:
    """Anyone who can write its annotations can offer it."""
    target = replace(OURS, annotations=annotations, owner_references=owners)

    assert expected is may_be_adopted(target, CREDENTIAL)


def entry(manager: str, **fields: Any) -> dict[str, Any]:
    """Build an entry of managedFields."""
    return {"manager": manager, "operation": "Update", "fieldsV1": fields}


_LABEL = f"metadata.labels.{LABEL_CREDENTIAL}"
MARK: dict[str, Any] = {"f:annotations": {".": {}, f"f:{ANNOTATION_DIGEST}": {}}}


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        pytest.param(None, {}, id="none"),
        pytest.param([], {}, id="no entry"),
        pytest.param(
            [entry(FIELD_MANAGER, **{"f:metadata": MARK, "f:data": {".": {}, "f:api_token": {}}})], {}, id="ours"
        ),
        pytest.param(
            [
                entry(FIELD_MANAGER, **{"f:metadata": MARK}),
                entry("labeller", **{"f:metadata": {"f:labels": {"f:team": {}}}}),
                entry("editor", **{"f:data": {"f:api_token": {}}, "f:type": {}}),
            ],
            {"metadata.labels.team": "labeller", "data.api_token": "editor"},
            id="foreign",
        ),
        pytest.param(
            [entry("restorer", **{"f:metadata": MARK, "f:data": {"f:api_token": {}}})],
            {f"metadata.annotations.{ANNOTATION_DIGEST}": "restorer", "data.api_token": "restorer"},
            id="foreign, our mark included",
        ),
        pytest.param([{"manager": "x"}], {}, id="without fields"),
    ],
)
def test_the_managers_of_fields_are_kept_if_they_are_others(entries: Any, expected: dict[str, str]) -> None:
    """Our own are nearly all, and a cache of Secrets must stay small."""
    metadata = {
        "namespace": "crm",
        "name": "acme",
        "uid": "u",
        "resourceVersion": "1",
        "labels": {"team": "x"},
        "annotations": {ANNOTATION_DIGEST: "x"},
        "managedFields": entries,
    }

    assert expected == read_target({"metadata": metadata, "data": {"api_token": "eA=="}}).managers


def test_a_difference_names_the_field_and_who_set_it_but_no_data() -> None:
    """A data value is a credential."""
    target = replace(
        OURS,
        labels={},
        annotations={ANNOTATION_DIGEST: "x" * 999},
        data={"api_token": "c2VjcmV0"},
        owner_references=(),
        managers={"data.api_token": "editor"},
    )

    found = differences(target, desired_secret(CREDENTIAL, ACCEPTED))

    assert any(one.startswith(f"metadata.labels.{LABEL_CREDENTIAL} is absent, but the operator needs") for one in found)
    assert "metadata.ownerReferences is not as the credential asks" in found
    assert "data.api_token is another value (set by editor)" in found
    assert "data.company_domain is absent" in found
    assert all(len(one) < 300 for one in found)
    assert "c2VjcmV0" not in "".join(found)


MANAGED = replace(OURS, is_managed=True)


def test_a_field_that_our_field_manager_set_to_something_else_was_set_by_another_release() -> None:
    """Two releases have the same field manager; a field that is gone has none."""
    data = {name: value for name, value in OURS.data.items() if name != "company_domain"} | {"api_token": "other"}
    changed = replace(MANAGED, data=data, labels={LABEL_CREDENTIAL: "x"}, managers={_LABEL: "labeller"})

    found = undone(changed, desired_secret(CREDENTIAL, ACCEPTED))

    assert f"data.api_token is another value (set by {ANOTHER_RELEASE})" in found
    assert "(set by labeller)" in found
    assert found.endswith("data.company_domain is absent")


def test_an_absent_secret_was_deleted() -> None:
    """Nobody can be named."""
    assert "it was deleted" == undone(None, desired_secret(CREDENTIAL, ACCEPTED))


def test_what_admission_changed_was_not_set_by_another_release() -> None:
    """The API server attributes it to our own write."""
    changed = replace(MANAGED, labels={LABEL_CREDENTIAL: "x"})

    assert ANOTHER_RELEASE not in "".join(differences(changed, desired_secret(CREDENTIAL, ACCEPTED)))


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        pytest.param(MANAGED, [], id="nothing"),
        pytest.param(replace(MANAGED, data={**OURS.data, "theirs": "x"}), [ANOTHER_RELEASE], id="another release"),
        pytest.param(replace(OURS, data={**OURS.data, "theirs": "x"}), [], id="unknown"),
        pytest.param(
            replace(OURS, labels={"a": "1", "b": "2"}, managers={"metadata.labels.b": "labeller"}),
            ["labeller"],
            id="a program",
        ),
        pytest.param(
            replace(
                OURS,
                labels={str(number): "x" for number in range(9)},
                managers={f"metadata.labels.{number}": str(number) for number in range(9)},
            ),
            ["0", "1", "2"],
            id="too many to name",
        ),
    ],
)
def test_the_writers_between_two_versions_are_those_whose_fields_differ(
    after: TargetSecret, expected: list[str]
) -> None:
    """A program that set another field long ago is not one of them."""
    assert expected == writers_between(OURS, after)


def large_secret() -> dict[str, Any]:
    """Build a Secret that fills etcd's 1.5 MiB with data, labels, annotations, owners and managers."""
    many = {f"example.com/key-{number}": "v" * 60 for number in range(2000)}
    owners = [{"uid": f"u{number}", "name": "n" * 200, "kind": "ConfigMap"} for number in range(1000)]
    fields: dict[str, Any] = {"f:metadata": {"f:labels": {f"f:{name}": {} for name in many}}}
    metadata = {
        "namespace": "crm",
        "name": "acme",
        "uid": "u",
        "resourceVersion": "1",
        "labels": many | {LABEL_CREDENTIAL: "acme"},
        "annotations": many | {"long": "a" * 200_000, ANNOTATION_DIGEST: "x"},
        "ownerReferences": [*owners, {"uid": CREDENTIAL.uid, "name": "acme", "kind": "x", "controller": True}],
        "managedFields": [entry("tenant", **fields)],
    }
    return {
        "metadata": metadata,
        "data": {f"k{number}": "eA==" * 80 for number in range(2000)} | {"big": "A" * 500_000},
    }


def test_a_foreign_secret_costs_little_memory() -> None:
    """Each replica keeps every Secret with our label, and any tenant can label one."""
    bodies = [large_secret() for _ in range(3)]
    read_target(bodies[0])

    tracemalloc.start()
    kept = [read_target(body) for body in bodies]
    current, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert current / len(kept) < 20_000
    assert all(target.labels == {LABEL_CREDENTIAL: "acme"} for target in kept)
    assert "AAAA" not in repr([target.data for target in kept])


def test_the_secrets_of_many_credentials_share_what_they_have_in_common() -> None:
    """Each replica keeps all of them, and the API server sends each with strings of its own."""
    bodies = [json.dumps(published_body(CREDENTIAL, ACCEPTED)) for _ in range(100)]
    read_target(json.loads(bodies[0]))

    tracemalloc.start()
    kept = [read_target(json.loads(body)) for body in bodies]
    current, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert current / len(kept) < 2_000


def test_a_secret_with_too_many_owners_is_not_ours() -> None:
    """A patch of its owners would have to write all of them back."""
    target = read_target(large_secret())

    assert CREDENTIAL.uid == target.controller_uid
    assert not belongs_to(target, CREDENTIAL)
    assert not may_be_adopted(replace(target, annotations={"pipedrive-operator.io/adopt": "acme"}), CREDENTIAL)


def test_our_part_of_a_large_secret_is_repaired() -> None:
    """What was noted as ours is kept, however much others add to it."""
    spec = Target(labels={"team": "crm"}, annotations={"note": "n" * 2000}, data={"token": "$(api_token)"})
    credential = replace(CREDENTIAL, spec=replace(CREDENTIAL.spec, target=spec))
    body, added = published_body(credential, ACCEPTED), {f"key-{number}": "v" for number in range(500)}
    for part in ("labels", "annotations"):
        body["metadata"][part] = added | body["metadata"][part]
    body["data"] = added | body["data"]

    target = read_target(body)
    edited = read_target(body | {"data": body["data"] | {"token": "eA=="}})

    desired = desired_secret(credential, ACCEPTED)
    assert (True, False) == (target.is_untouched, edited.is_untouched)
    assert {"metadata": {"resourceVersion": "200"}} == patch(target, desired)
    assert {"token": desired.data["token"]} == patch(edited, desired)["data"]
    assert {"team": None} == patch(target, desired_secret(CREDENTIAL, ACCEPTED))["metadata"]["labels"]


def test_an_edit_of_a_long_annotation_is_noticed() -> None:
    """Only its beginning and a digest are kept."""
    spec = Target(annotations={"note": "n" * 4000})
    credential = replace(CREDENTIAL, spec=replace(CREDENTIAL.spec, target=spec))
    body = published_body(credential, ACCEPTED)
    body["metadata"]["annotations"]["note"] = "n" * 3999 + "x"

    found = patch(read_target(body), desired_secret(credential, ACCEPTED))

    assert {"note": "n" * 4000} == found["metadata"]["annotations"]


def test_a_long_annotation_is_kept_as_its_beginning_and_a_digest() -> None:
    """It can still be compared with what the credential asks for."""
    long = "x" * 100_000

    assert len(bounded(long)) <= LONGEST_ANNOTATION
    assert bounded(long) != bounded(long + "y")
    assert "short" == bounded("short")
