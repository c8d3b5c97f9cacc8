"""A Secret as the API server returns it: its owner, and the other managers of its fields."""

from dataclasses import replace
from typing import Any

import pytest

from pipedrive_operator.core.grant.token import Accepted
from pipedrive_operator.core.publication.secret import desired_secret, differences
from pipedrive_operator.core.publication.target import TargetSecret, belongs_to, may_be_adopted, read_target
from pipedrive_operator.core.resource.names import ANNOTATION_DIGEST, LABEL_CREDENTIAL
from support.builders import ACCOUNT, NOW, api_token, api_token_credential, published

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


MARK: dict[str, Any] = {"f:annotations": {".": {}, f"f:{ANNOTATION_DIGEST}": {}}}


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        pytest.param(None, {}, id="none"),
        pytest.param([], {}, id="no entry"),
        pytest.param([entry("us", **{"f:metadata": MARK, "f:data": {".": {}, "f:api_token": {}}})], {}, id="ours"),
        pytest.param(
            [
                entry("us", **{"f:metadata": MARK}),
                entry("labeller", **{"f:metadata": {"f:labels": {"f:team": {}}}}),
                entry("editor", **{"f:data": {"f:api_token": {}}, "f:type": {}}),
            ],
            {"metadata.labels.team": "labeller", "data.api_token": "editor"},
            id="foreign",
        ),
        pytest.param([{"manager": "x"}], {}, id="without fields"),
    ],
)
def test_the_managers_of_fields_are_kept_if_they_are_others(entries: Any, expected: dict[str, str]) -> None:
    """Our own are nearly all, and a cache of Secrets must stay small."""
    metadata = {"namespace": "crm", "name": "acme", "uid": "u", "resourceVersion": "1", "managedFields": entries}

    assert expected == read_target({"metadata": metadata}).managers


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
