"""Which of several grants stays: the ones in escrow are compared with Vault's, and with each other, by descent."""

from pipedrive_operator.core.grant.grant import Grant, half_refreshed_grant
from pipedrive_operator.core.grant.succession import EscrowedGrant, Settlement, replacement, settlement, successor_of
from pipedrive_operator.core.values.secret_value import SecretValue


def _grant(token: str, *, refreshed_from: str | None = None) -> Grant:
    spent = None if refreshed_from is None else SecretValue(refreshed_from).digest()
    return Grant(refresh_token=SecretValue(token), refreshed_from=spent)


def _copy(token: str, *, refreshed_from: str | None = None) -> EscrowedGrant:
    return EscrowedGrant(grant=_grant(token, refreshed_from=refreshed_from), refresh_id=f"refresh of {refreshed_from}")


OLD = _copy("refresh-4", refreshed_from="refresh-3")
OF_CONSENT = _copy("refresh-6", refreshed_from="consent-5")


def test_a_successor_is_stored_although_an_older_result_is_in_escrow_too() -> None:
    """A process that was stopped during the consent has kept its result; the other one is the only living token."""
    settled = settlement(_grant("consent-5"), [OLD, OF_CONSENT])

    assert Settlement(store=OF_CONSENT, unclear=(OLD,)) == settled


def test_what_vault_holds_or_has_refreshed_is_dropped() -> None:
    """Nothing is lost without it."""
    stored = _grant("refresh-7", refreshed_from="refresh-6")

    assert Settlement(drop=(OF_CONSENT,)) == settlement(stored, [OF_CONSENT])
    assert Settlement(drop=(OF_CONSENT,)) == settlement(OF_CONSENT.grant, [OF_CONSENT])


def test_the_newest_of_a_line_replaces_a_refused_grant() -> None:
    """Its ancestors were spent for it, so they are never sent again."""
    spent = OF_CONSENT.grant
    for token in ("refresh-7", "refresh-8"):
        spent = half_refreshed_grant(spent, SecretValue(token))
    newest = EscrowedGrant(grant=spent, refresh_id="refresh of refresh-7")

    assert newest == replacement([OF_CONSENT, newest], dead=())
    assert newest == replacement([newest, OF_CONSENT], dead=())
    assert replacement([OF_CONSENT, newest], dead=[newest]) is None


def test_the_newest_descendant_is_the_successor_of_an_ancestor() -> None:
    """Vault was restored from a backup: the token in it was spent for one that was spent for those in escrow."""
    restored = _grant("consent-5")
    descendants = [restored]
    for token in ("refresh-6", "refresh-7", "refresh-8"):
        descendants.append(half_refreshed_grant(descendants[-1], SecretValue(token)))
    older, newest = (EscrowedGrant(grant=grant, refresh_id=grant.lineage) for grant in descendants[-2:])

    assert newest == successor_of(restored, [older, newest])
    assert newest == successor_of(restored, [newest, older])
    assert successor_of(newest.grant, [older, newest]) is None


def test_a_grant_of_another_line_is_tried_after_one_was_refused() -> None:
    """Each is tried once, so that the operator does not try two dead ones in turn without end."""
    assert OF_CONSENT == replacement([OLD, OF_CONSENT], dead=[OLD])
    assert replacement([OLD, OF_CONSENT], dead=[OLD, OF_CONSENT]) is None


def test_a_token_that_does_not_rotate_is_not_its_own_ancestor() -> None:
    """Its successor has the same refresh token."""
    same = _copy("seed", refreshed_from="seed")

    assert same == replacement([same], dead=())
