"""A candidate beside the grant in Vault: what is written, what is read back, and what it may replace."""

import json
from dataclasses import replace
from typing import Any

import pytest

from pipedrive_operator.core.grant.candidate import (
    LONGEST_CANDIDATE,
    is_outdated,
    is_spent,
    is_unrelated,
    marks_of,
    promoted,
    read_candidate,
    with_candidate,
    with_marks,
    with_promoted,
    without_candidate,
)
from pipedrive_operator.core.grant.grant import Grant, read_grant, write_grant
from pipedrive_operator.core.grant.terms import Terms
from pipedrive_operator.core.resource.spec import AccountGuard
from pipedrive_operator.core.values.secret_value import SecretValue
from support.builders import ACCOUNT, GRANT_LOCATION, access_token, document, grant

TERMS = Terms(consent="uid", consent_generation=2, expected=AccountGuard(company_id=12), over="origin")
CANDIDATE = grant("12:34:new", token=access_token(), scope=access_token().scope, terms=TERMS)
NEXT: dict[str, Any] = {"refresh_token": SecretValue("12:34:next"), "token": access_token("next")}
"""The tokens of a later grant."""
HELD: dict[str, object] = {"refresh_token": "12:34:old", "note": "ours to keep"}


def reread(values: dict[str, object]) -> Grant | None:
    """Return the candidate of a document with these values."""
    return read_candidate(document(GRANT_LOCATION, **values))


def test_a_candidate_reads_back_beside_the_grant_that_stays() -> None:
    """Everything else in the document is untouched."""
    values = with_candidate(HELD, CANDIDATE)

    assert CANDIDATE == reread(values)
    assert HELD == {key: value for key, value in values.items() if key in HELD}
    assert len(HELD) + 1 == len(values)


@pytest.mark.parametrize("expected", [None, AccountGuard(company_domain="acme", user_id=34)])
def test_the_terms_read_back(expected: AccountGuard | None) -> None:
    """Any process in any cluster can complete the consent by them."""
    terms = replace(TERMS, expected=expected, over=None)

    found = reread(with_candidate({}, replace(CANDIDATE, terms=terms)))

    assert found is not None
    assert terms == found.terms


@pytest.mark.parametrize(
    "written",
    [
        None,
        5,
        "",
        "{",
        "[]",
        "[" * 20_000,
        json.dumps({"refresh_token": "12:34:new"}),
        json.dumps({"terms_consent": "uid"}),
        json.dumps({"refresh_token": "12:34:new", "terms_consent": "uid"}) + " " * LONGEST_CANDIDATE,
    ],
)
def test_what_is_damaged_is_no_candidate(written: Any) -> None:
    """A person has written it, or it has no terms; it raises nothing."""
    assert reread({**HELD, "consent_candidate": written}) is None


def test_there_is_no_candidate_without_a_document() -> None:
    """Nothing is marked there, either."""
    assert read_candidate(None) is None
    assert (None, None) == marks_of(None)


def test_a_promoted_candidate_replaces_the_grant_and_keeps_foreign_keys() -> None:
    """It names its account and its exchange, and is no candidate any more."""
    made = promoted(CANDIDATE, ACCOUNT)
    values = with_promoted(with_candidate(HELD | {"refreshed_from": "older"}, CANDIDATE), made)

    found = read_grant(document(GRANT_LOCATION, **values))

    assert reread(values) is None
    assert found is not None
    assert (None, ACCOUNT, ("uid", 2)) == (found.terms, found.account, found.exchange)
    assert ("12:34:new", "ours to keep") == (found.refresh_token.reveal(), values["note"])
    assert "refreshed_from" not in values


def test_a_dropped_candidate_leaves_the_grant_as_it_was() -> None:
    """Only the marks are removed with it."""
    assert HELD == without_candidate(with_candidate(HELD, CANDIDATE), None)


def test_marks_can_be_written_where_there_is_no_grant() -> None:
    """An exchange for an empty path needs them."""
    assert {"note": "kept"} == with_marks({"note": "kept", "refresh_id": "a", "refresh_holder": "b"}, None, None)


@pytest.mark.parametrize(
    ("stored", "unrelated"),
    [
        (grant("12:34:old"), True),
        (grant("12:34:next", first_refreshed_from="origin"), False),
        (grant("12:34:next", first_refreshed_from="of another"), True),
    ],
)
def test_a_candidate_outranks_what_descends_from_the_grant_that_its_consent_replaces(
    stored: Grant, *, unrelated: bool
) -> None:
    """What someone has written since is not meant."""
    assert unrelated is is_unrelated(stored, CANDIDATE)


@pytest.mark.parametrize(("spent", "unrelated"), [("12:34:promoted", False), ("12:34:old", True)])
def test_a_candidate_outranks_the_grant_that_was_spent_for_it(spent: str, *, unrelated: bool) -> None:
    """Another process has promoted that one while its holder, which was stopped, renewed it."""
    stored = grant("12:34:promoted", consent="uid", consent_generation=2)
    renewed = replace(CANDIDATE, refreshed_from=grant(spent).lineage)

    assert unrelated is is_unrelated(stored, renewed)


@pytest.mark.parametrize("count", [0, 1])
def test_a_candidate_outranks_an_older_ancestor(count: int) -> None:
    """It was renewed twice since that one was promoted, which was renewed before or not."""
    promoted = grant("12:34:promoted", consent="uid", consent_generation=2)
    first = promoted.lineage if count == 0 else "of the first"
    stored = replace(promoted, first_refreshed_from=None if count == 0 else first, refresh_count=count)
    renewed = replace(CANDIDATE, refreshed_from="of another", first_refreshed_from=first, refresh_count=count + 2)

    assert not is_unrelated(stored, renewed)


def test_a_candidate_whose_refresh_token_does_not_rotate_replaces_no_grant_with_the_same_one() -> None:
    """The grant may have a newer access token since."""
    stored = replace(CANDIDATE, terms=None)

    assert is_unrelated(stored, replace(CANDIDATE, refreshed_from=CANDIDATE.lineage))


@pytest.mark.parametrize("changes", [{"consent": "another"}, {"consent_generation": 3}])
def test_another_consent_or_another_answer_is_another_exchange(changes: dict[str, Any]) -> None:
    """So the result of one is never taken for that of the other."""
    assert TERMS.exchange != replace(TERMS, **changes).exchange


@pytest.mark.parametrize(
    ("held", "outdated"),
    [
        pytest.param("12:34:first", False, id="the first one: Vault was restored"),
        pytest.param("12:34:second", False, id="what was spent for it"),
        pytest.param("12:34:fourth", True, id="what became of it"),
    ],
)
def test_a_result_is_outdated_if_vault_holds_what_became_of_it(held: str, *, outdated: bool) -> None:
    """The code of an exchange works once, so whatever else Vault holds of it is newer."""
    first, second = (grant(f"12:34:{name}").lineage for name in ("first", "second"))
    third = replace(CANDIDATE, refreshed_from=second, first_refreshed_from=first)
    stored = with_candidate(HELD, replace(CANDIDATE, refresh_token=grant(held).refresh_token))

    assert outdated is is_outdated(third, document(GRANT_LOCATION, **stored))


@pytest.mark.parametrize(("count", "outdated"), [(1, False), (3, True), (4, True)])
def test_a_result_is_not_outdated_if_vault_holds_an_ancestor_of_what_was_spent_for_it(
    count: int, *, outdated: bool
) -> None:
    """Vault was restored from a backup that is between the first result of the exchange and this one."""
    first, third = (grant(f"12:34:{name}").lineage for name in ("first", "third"))
    fourth = replace(CANDIDATE, refreshed_from=third, first_refreshed_from=first, refresh_count=3)
    held = replace(fourth, **NEXT, refreshed_from="what was spent for it", refresh_count=count)

    assert outdated is is_outdated(fourth, document(GRANT_LOCATION, **with_candidate(HELD, held)))


@pytest.mark.parametrize(("count", "outdated"), [(0, False), (1, True), (2, True)])
def test_a_result_with_the_same_refresh_token_is_outdated_unless_its_access_token_is_newer(
    count: int, *, outdated: bool
) -> None:
    """Without rotation, only the number of refreshes shows the order."""
    result = replace(CANDIDATE, token=access_token("of the result"), refresh_count=1)
    held = replace(CANDIDATE, token=access_token("in Vault"), refresh_count=count)

    assert outdated is is_outdated(result, document(GRANT_LOCATION, **with_candidate(HELD, held)))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({}, True, id="it is the grant already"),
        pytest.param(
            {"token": access_token("newer")}, False, id="without rotation, one of them has a newer access token"
        ),
        pytest.param({**NEXT, "refreshed_from": CANDIDATE.lineage}, True, id="the grant is its successor"),
        pytest.param({**NEXT, "first_refreshed_from": CANDIDATE.lineage}, True, id="the grant descends from it"),
        pytest.param({**NEXT, "refreshed_from": "of another"}, False, id="the grant descends from another token"),
        pytest.param(
            {**NEXT, "refreshed_from": CANDIDATE.lineage, "consent": "other"},
            False,
            id="another consent has brought the same token again",
        ),
    ],
)
def test_a_candidate_is_spent_if_the_grant_descends_from_it(changes: dict[str, Any], *, expected: bool) -> None:
    """Then it has nothing to add, and its refresh token must not be sent."""
    stored = replace(promoted(CANDIDATE, ACCOUNT), **changes)

    assert is_spent(CANDIDATE, document(GRANT_LOCATION, **write_grant(stored, {}))) is expected


def test_a_candidate_is_not_spent_without_a_grant() -> None:
    """It is the first grant of its credential."""
    assert not is_spent(CANDIDATE, document(GRANT_LOCATION))
