"""What each event changes in the memory of a credential."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from pipedrive_operator.core.decision.memory import (
    CONFIRM_AFTER,
    Memory,
    after_failed_verification,
    after_judging,
    after_reading,
    after_refresh,
    after_return_of_vault,
    after_source_failure,
    after_verification,
    poll_time,
    updated,
)
from pipedrive_operator.core.decision.retry import RetryBounds
from pipedrive_operator.core.decision.sources import ApiTokenSource
from pipedrive_operator.core.grant.document import OPERATOR, Document, Loss
from pipedrive_operator.core.grant.grant import LONGEST_SCOPE, Grant, write_grant
from pipedrive_operator.core.grant.refresh_state import IDLE, Fresh, Refreshing
from pipedrive_operator.core.grant.token import Accepted, Token
from pipedrive_operator.core.values.errors import (
    AccountNotOpen,
    PipedriveUnavailable,
    SourceMissing,
    TokenRejected,
    Trouble,
    VaultDenied,
    VaultUnavailable,
)
from support.builders import (
    ACCOUNT,
    GRANT_LOCATION,
    GRANT_SOURCE,
    NOW,
    TIMINGS,
    TOKEN_LOCATION,
    access_token,
    api_token,
    document,
    grant,
    oauth2_credential,
)

API_TOKEN = ApiTokenSource(location=TOKEN_LOCATION, identity=OPERATOR, key="api_token")
BOUNDS = RetryBounds(now=NOW, slow=timedelta(hours=1))
LATER = NOW + timedelta(minutes=5)
ACCEPTED = Accepted(token=access_token(), account=ACCOUNT, verified_at=NOW, lineage=grant().lineage)
TOKEN_MEMORY = Memory(source=API_TOKEN, uid="uid")
GRANT_MEMORY = Memory(source=GRANT_SOURCE, uid="uid")


def refreshed(before: Grant, *, refresh_token: str = "12:34:second", access: str = "v1u:second") -> Grant:
    """Build the grant that a refresh of another made."""
    token = access_token(access, obtained_at=NOW + timedelta(minutes=40), expires_at=NOW + timedelta(minutes=100))
    return replace(grant(refresh_token), token=token, refreshed_from=before.lineage)


def stored(held: Grant, version: int = 1) -> Document:
    """Build a document that holds a grant."""
    values = write_grant(held, {})
    return replace(document(GRANT_LOCATION, **values), version=version, created_at=NOW + timedelta(seconds=version))


class TestReading:
    """What Vault holds."""

    @pytest.mark.parametrize(
        ("read", "said"),
        [
            pytest.param(None, "vault kv put -mount=secret", id="nothing"),
            pytest.param(document(TOKEN_LOCATION, other="x"), "key api_token", id="no key"),
            pytest.param(document(TOKEN_LOCATION, api_token=""), "key api_token", id="empty"),
            pytest.param(document(TOKEN_LOCATION, api_token=7), "key api_token", id="no text"),
            pytest.param(replace(document(TOKEN_LOCATION), loss=Loss.DELETED), "kv undelete", id="deleted"),
            pytest.param(replace(document(TOKEN_LOCATION), loss=Loss.DESTROYED), "cannot", id="destroyed"),
        ],
    )
    def test_a_missing_api_token_says_how_to_write_it(self, read: Document | None, said: str) -> None:
        """The message has the command."""
        with pytest.raises(SourceMissing, match=said):
            after_reading(TOKEN_MEMORY, read, NOW)

    def test_an_api_token_is_included(self) -> None:
        """It ends the failure of an earlier read."""
        failed = after_source_failure(TOKEN_MEMORY, VaultUnavailable("sealed"), bounds=BOUNDS)

        memory = after_reading(failed, document(TOKEN_LOCATION, api_token="a" * 40), LATER)

        assert (api_token(), LATER, None) == (memory.token, memory.read_at, memory.source_failure)

    @pytest.mark.parametrize(
        ("read", "expected"),
        [
            pytest.param(None, None, id="nothing"),
            pytest.param(document(GRANT_LOCATION, note="x"), None, id="no refresh token"),
            pytest.param(stored(grant()), access_token(), id="a grant"),
            pytest.param(document(GRANT_LOCATION, refresh_token="seed"), None, id="a seeded grant"),
        ],
    )
    def test_a_grant_is_included(self, read: Document | None, expected: Token | None) -> None:
        """A grant that does not exist yet is no failure."""
        memory = after_reading(GRANT_MEMORY, read, NOW)

        assert (expected.value if expected else None) == (memory.token.value if memory.token else None)
        assert memory.source_failure is None


class TestRefreshes:
    """A refresh that has ended."""

    def test_a_refreshed_grant_is_included_once(self) -> None:
        """What is read afterwards is newer."""
        fresh = Fresh(grant=refreshed(grant()), asked_at=0.0, at=0.0, version=2)
        memory = after_refresh(replace(GRANT_MEMORY, answered_at=0.0), fresh)
        consented = after_reading(memory, stored(grant("12:34:consent"), 3), LATER)

        assert fresh.grant == memory.grant
        assert consented is after_refresh(consented, fresh)

    @pytest.mark.parametrize("state", [IDLE, Refreshing()], ids=["idle", "in progress"])
    def test_any_other_state_changes_nothing(self, state: object) -> None:
        """Only a result does."""
        assert after_refresh(GRANT_MEMORY, state) is GRANT_MEMORY  # type: ignore[arg-type]


class TestVault:
    """Vault becomes unavailable, and available again."""

    @pytest.mark.parametrize(
        ("trouble", "connection", "is_due"),
        [
            pytest.param(VaultUnavailable("sealed"), "default", True, id="waited for"),
            pytest.param(VaultUnavailable("sealed"), "another", False, id="another connection"),
            pytest.param(VaultDenied("403"), "default", False, id="another failure"),
            pytest.param(None, "default", False, id="no failure"),
        ],
    )
    def test_credentials_that_waited_for_vault_are_due_when_it_recovers(
        self, trouble: Trouble | None, connection: str, *, is_due: bool
    ) -> None:
        """No other credential is woken."""
        memory = TOKEN_MEMORY
        if trouble is not None:
            memory = after_source_failure(memory, trouble, bounds=BOUNDS)

        changed = after_return_of_vault(memory, connection)

        assert (changed is not None) is is_due
        assert changed is None or (changed.source_failure is not None and changed.source_failure.retry_at < NOW)

    def test_a_credential_without_a_source_does_not_wait(self) -> None:
        """Its spec is invalid."""
        assert after_return_of_vault(Memory(), "default") is None


class TestVerifications:
    """What Pipedrive has answered."""

    def test_an_account_ends_what_failed_before(self) -> None:
        """Rejections in a row are counted from the start again."""
        rejected = replace(GRANT_MEMORY, rejections=2)
        failed = after_failed_verification(rejected, access_token(), PipedriveUnavailable("503"), bounds=BOUNDS)

        memory = after_verification(failed, access_token(), ACCOUNT, NOW)

        assert (None, 0) == (memory.verify_failure, memory.rejections)
        assert memory.verification is not None
        assert ACCOUNT == memory.verification.account

    @pytest.mark.parametrize(
        ("trouble", "rejections", "is_answer"),
        [
            pytest.param(PipedriveUnavailable("503"), 0, False, id="no answer"),
            pytest.param(TokenRejected("401"), 1, True, id="rejected"),
            pytest.param(AccountNotOpen("402"), 0, True, id="account closed"),
        ],
    )
    def test_a_failure_is_a_verification_if_it_is_about_the_token(
        self, trouble: Trouble, rejections: int, *, is_answer: bool
    ) -> None:
        """Only then is the accepted token no longer published."""
        memory = replace(GRANT_MEMORY, accepted=ACCEPTED)

        memory = after_failed_verification(memory, access_token(), trouble, bounds=BOUNDS)

        assert (rejections, is_answer) == (memory.rejections, memory.accepted_was_rejected)
        assert memory.verify_failure is not None
        assert (memory.verification is not None) is is_answer

    @pytest.mark.parametrize(
        ("answers", "reasons"),
        [
            pytest.param([401], ["PipedriveUnavailable"], id="once"),
            pytest.param([401, 401], ["PipedriveUnavailable", "TokenRejected"], id="twice"),
            pytest.param([401, 401, 401], ["PipedriveUnavailable", "TokenRejected", "TokenRejected"], id="still"),
            pytest.param([401, 503, 401], ["PipedriveUnavailable"] * 3, id="with no answer in between"),
            pytest.param([401, 200, 401], ["PipedriveUnavailable", None, "PipedriveUnavailable"], id="spurious"),
            pytest.param([402], ["AccountNotOpen"], id="an account that is closed"),
        ],
    )
    def test_a_first_rejection_of_an_api_token_is_not_believed(
        self, answers: list[int], reasons: list[str | None]
    ) -> None:
        """Pipedrive is asked once more after seconds; the second rejection in a row counts."""
        troubles = {401: TokenRejected("401"), 402: AccountNotOpen("402"), 503: PipedriveUnavailable("503")}
        memory, found = replace(TOKEN_MEMORY, token=api_token()), []
        for answer in answers:
            if answer == 200:
                memory = after_verification(memory, api_token(), ACCOUNT, NOW)
            else:
                memory = after_failed_verification(memory, api_token(), troubles[answer], bounds=BOUNDS)
            found.append(None if memory.verify_failure is None else memory.verify_failure.trouble.reason.value)

        assert reasons == found

    def test_a_first_rejection_is_checked_within_seconds(self) -> None:
        """It does not wait for the verification interval."""
        memory = after_failed_verification(TOKEN_MEMORY, api_token(), TokenRejected("401"), bounds=BOUNDS)

        assert memory.verify_failure is not None
        assert NOW + CONFIRM_AFTER == memory.verify_failure.retry_at

    def test_a_rejected_new_token_leaves_the_accepted_one(self) -> None:
        """It stays published."""
        memory = replace(GRANT_MEMORY, accepted=ACCEPTED)

        memory = after_failed_verification(memory, access_token("v1u:new"), TokenRejected("401"), bounds=BOUNDS)

        assert not memory.accepted_was_rejected


class TestAcceptance:
    """Which token is accepted."""

    def judge(self, memory: Memory) -> Accepted | None:
        """Judge for an OAuth2 credential of the account's company, with nothing published."""
        credential = oauth2_credential()
        return after_judging(memory, credential, None, now=NOW, timings=TIMINGS).accepted

    @pytest.mark.parametrize(
        ("memory", "expected"),
        [
            pytest.param(GRANT_MEMORY, None, id="no token"),
            pytest.param(replace(GRANT_MEMORY, grant=grant(), token=access_token()), None, id="not verified"),
            pytest.param(
                after_verification(
                    replace(GRANT_MEMORY, grant=grant(), token=access_token()), access_token(), ACCOUNT, NOW
                ),
                "v1u:access",
                id="verified",
            ),
            pytest.param(
                after_verification(
                    replace(GRANT_MEMORY, grant=grant(), token=access_token()),
                    access_token(),
                    replace(ACCOUNT, company_id=99, company_domain="other"),
                    NOW,
                ),
                None,
                id="another company",
            ),
            pytest.param(
                replace(GRANT_MEMORY, accepted=ACCEPTED, grant=refreshed(grant()), token=refreshed(grant()).token),
                "v1u:second",
                id="the successor of an accepted one",
            ),
            pytest.param(
                replace(
                    GRANT_MEMORY,
                    accepted=ACCEPTED,
                    rejections=1,
                    grant=refreshed(grant()),
                    token=refreshed(grant()).token,
                ),
                "v1u:access",
                id="the successor of a rejected one",
            ),
        ],
    )
    def test_a_token_is_accepted_for_a_reason(self, memory: Memory, expected: str | None) -> None:
        """It was verified, or succeeds one that was."""
        accepted = self.judge(memory)

        assert expected == (accepted.token.value.reveal() if accepted is not None else None)


@pytest.mark.parametrize(("read_at", "is_same"), [(NOW, True), (LATER, False)])
def test_a_memory_is_copied_only_for_what_is_new(read_at: datetime, *, is_same: bool) -> None:
    """Most passes find nothing new, and a copy of all fields is one of their more expensive steps."""
    memory = replace(TOKEN_MEMORY, read_at=NOW, token=api_token())

    after = updated(memory, read_at=read_at, token=api_token())

    assert (after is memory) is is_same
    assert after == replace(memory, read_at=read_at)


def test_a_grant_with_an_enormous_field_is_not_remembered() -> None:
    """Each credential that names the document would keep the field."""
    large = document(GRANT_LOCATION, refresh_token="r", scope="s" * (LONGEST_SCOPE + 1))

    with pytest.raises(SourceMissing, match="value of key scope at"):
        after_reading(GRANT_MEMORY, large, NOW)


def test_credentials_that_were_read_at_the_same_time_are_not_read_again_at_the_same_time() -> None:
    """After a start, or an outage, all of them were. A value that a person changes is found in time all the same."""
    read = [Memory(uid=f"uid-{number}", read_at=NOW) for number in range(100)]
    due = {poll_time(memory, TIMINGS) for memory in read}

    assert len(due) > 90
    assert all(at is not None and NOW + 0.9 * TIMINGS.poll_interval <= at <= NOW + TIMINGS.poll_interval for at in due)


def test_a_credential_that_was_never_read_has_no_time_of_the_next_read() -> None:
    """It is read in its first pass."""
    assert poll_time(Memory(), TIMINGS) is None
