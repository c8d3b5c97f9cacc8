"""The mark that names what was dropped or spent of earlier consents."""

from dataclasses import replace

import pytest

from pipedrive_operator.core.grant.grant import Grant, half_refreshed_grant
from pipedrive_operator.core.grant.keys import OBSOLETE
from pipedrive_operator.core.grant.obsolete import is_obsolete, with_obsolete, with_obsolete_ancestors
from pipedrive_operator.core.values.secret_value import SecretValue
from support.builders import GRANT_LOCATION, document

FIRST = Grant(refresh_token=SecretValue("first"), consent="uid", consent_generation=2)
SECOND = half_refreshed_grant(FIRST, SecretValue("second"))
THIRD = half_refreshed_grant(SECOND, SecretValue("third"))


def test_a_grant_and_what_was_spent_for_it_are_marked() -> None:
    """So are the first refresh token of its consent, and the one before it; the rest of the document stays."""
    marked = document(GRANT_LOCATION, **with_obsolete({"theirs": "1"}, THIRD))

    assert [True, True, True] == [is_obsolete(grant, marked) for grant in (FIRST, SECOND, THIRD)]
    assert "1" == marked.values["theirs"]


def test_what_was_spent_for_a_grant_is_marked_without_the_grant_itself() -> None:
    """It is alive, and waits in escrow. A refresh token that does not rotate is not spent."""
    marked = document(GRANT_LOCATION, **with_obsolete_ancestors({}, THIRD))
    assert [True, True, False] == [is_obsolete(grant, marked) for grant in (FIRST, SECOND, THIRD)]

    same = half_refreshed_grant(FIRST, SecretValue("first"))
    assert {} == with_obsolete_ancestors({}, same)


def test_the_same_refresh_token_of_another_answer_is_not_marked() -> None:
    """Another consent may bring a refresh token again that was spent before."""
    marked = document(GRANT_LOCATION, **with_obsolete({}, FIRST))

    assert not is_obsolete(replace(FIRST, consent_generation=3), marked)
    assert not is_obsolete(replace(FIRST, consent="other"), marked)
    assert not is_obsolete(FIRST, None)


def test_a_grant_without_a_consent_is_not_marked() -> None:
    """No copy of a candidate is of it."""
    assert {} == with_obsolete({}, Grant(refresh_token=SecretValue("seed")))


def test_the_oldest_marks_give_way_and_none_is_there_twice() -> None:
    """The document must not grow for ever."""
    values: dict[str, object] = {}
    for number in range(30):
        grant = replace(FIRST, consent_generation=number)
        values = with_obsolete(with_obsolete(values, grant), grant)

    marked = [
        is_obsolete(replace(FIRST, consent_generation=number), document(GRANT_LOCATION, **values))
        for number in range(30)
    ]
    assert [False] * 6 + [True] * 24 == marked
    assert 24 == len(str(values[OBSOLETE]).split())


@pytest.mark.parametrize("written", ["x " * 5000, 7, "", "uid/2"])
def test_a_mark_that_a_person_has_damaged_says_nothing(written: object) -> None:
    """And it is written anew."""
    damaged = {OBSOLETE: written}
    assert not is_obsolete(FIRST, document(GRANT_LOCATION, **damaged))
    assert is_obsolete(FIRST, document(GRANT_LOCATION, **with_obsolete(damaged, FIRST)))
