"""The errors that adapters raise, and the reason that each one gives the conditions of a credential.

    OperatorError
    ├── Trouble                       reported in the status; has a Reason
    │   ├── InvalidSpec               a field, or a name that the configuration does not know
    │   ├── SourceMissing             a Vault path, version or key does not exist
    │   ├── AbsenceUnconfirmed        what was in Vault before is not there, for the first time
    │   ├── VaultUnavailable          down, sealed, untrusted, or too slow
    │   │   └── VaultAway             not for one document, but as a whole
    │   ├── VaultDenied               refused by the login or the policy
    │   ├── PipedriveUnavailable      nothing was sent, or the request changed nothing
    │   ├── RateLimited               429, with the pause that Pipedrive asks for
    │   ├── RefreshUncertain          a refresh was sent and its outcome is unknown
    │   ├── TokenResponseUnusable     a refresh succeeded; only the refresh token of its response can be used
    │   ├── GrantUnstored             a refresh succeeded, and Vault has not stored its result
    │   ├── ConsentRequired           invalid_grant
    │   ├── ClientRejected            invalid_client
    │   ├── TokenRejected             401
    │   ├── RejectionUnconfirmed      401 for the first time
    │   ├── AccountNotOpen            402
    │   └── SecretWriteDenied         quota, admission, RBAC, immutable
    │       ├── RepairPostponed       too many Secrets of the namespace need repairs; this one waits for its turn
    │       └── SecretContended       another program changes the Secret each time before it can be written
    ├── FenceClosed                   this process must not send a request that cannot be undone
    ├── CheckAndSetConflict           Vault: the document changed since it was read
    ├── SecretExists                  Kubernetes: a Secret of that name exists
    ├── SecretChanged                 Kubernetes: the Secret changed since it was read
    ├── NamespaceBeingDeleted         Kubernetes: nothing can be created there any more
    ├── WorkloadChanged               Kubernetes: the workload changed since it was read
    ├── WorkloadDenied                Kubernetes: reading or restarting the workload is forbidden
    ├── LeaseChanged                  Kubernetes: the Lease changed since it was read
    └── ApiServerUnavailable          Kubernetes: no usable answer; try again
        ├── ApiServerNotTrusted       Kubernetes: the certificate was not accepted
        └── ReportDenied              Kubernetes: the status or an Event was denied

The message of a Trouble is written for people: what happened, why, and what to do next. It never contains a secret
value.
"""

from datetime import timedelta
from typing import ClassVar, Self

from pipedrive_operator.core.values.conditions import Reason
from pipedrive_operator.core.values.secret_value import SecretValue


class OperatorError(Exception):
    """Any error that an adapter raises deliberately."""


class Trouble(OperatorError):
    """An error that the status reports."""

    reason: ClassVar[Reason]

    def __init__(self, message: str, *, retry_after: timedelta | None = None) -> None:
        """Take a sentence that says what happened; `retry_after` is the pause that the other side asked for."""
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after

    def as_value(self) -> Self:
        """Return this error to be kept: without the traceback and the causes, which keep all local variables alive.

        One of them may be the memory with the error before this one, so an outage would keep all errors since it began.
        """
        self.__traceback__ = self.__cause__ = self.__context__ = None
        return self


class InvalidSpec(Trouble):
    """A field of the resource is wrong, or names something that the configuration does not have."""

    reason = Reason.INVALID_SPEC


class SourceMissing(Trouble):
    """A path, a version or a key does not exist in Vault."""

    reason = Reason.SOURCE_MISSING


class AbsenceUnconfirmed(Trouble):
    """Vault does not have what was read there before. A server that lags can cause that, so it is read once more."""

    reason = Reason.VAULT_UNAVAILABLE


class VaultUnavailable(Trouble):
    """Vault gave no usable answer."""

    reason = Reason.VAULT_UNAVAILABLE


class VaultAway(VaultUnavailable):
    """Vault as a whole gave no usable answer. Its return is announced, so that not everyone has to look for it."""


class VaultDenied(Trouble):
    """Vault refused the login or the request."""

    reason = Reason.VAULT_DENIED


class PipedriveUnavailable(Trouble):
    """Pipedrive gave no usable answer, and nothing was changed by asking."""

    reason = Reason.PIPEDRIVE_UNAVAILABLE


class RateLimited(Trouble):
    """Pipedrive's request budget is used up."""

    reason = Reason.RATE_LIMITED


class RefreshUncertain(Trouble):
    """A refresh was sent, and whether Pipedrive carried it out is not known."""

    reason = Reason.REFRESH_UNCERTAIN


class TokenResponseUnusable(Trouble):
    """A refresh succeeded, and only the refresh token of its response can be used."""

    reason = Reason.PIPEDRIVE_UNAVAILABLE

    def __init__(self, message: str, refresh_token: SecretValue) -> None:
        """Take a sentence that says what is wrong with the rest."""
        super().__init__(message)
        self.refresh_token = refresh_token


class GrantUnstored(Trouble):
    """A refresh succeeded, and Vault has not stored its result yet."""

    reason = Reason.GRANT_ESCROWED


class ConsentRequired(Trouble):
    """Pipedrive refused the refresh token (`invalid_grant`, RFC 6749 section 5.2)."""

    reason = Reason.CONSENT_REQUIRED


class ClientRejected(Trouble):
    """Pipedrive refused the client id or secret (`invalid_client`, RFC 6749 section 5.2)."""

    reason = Reason.CLIENT_REJECTED


class TokenRejected(Trouble):
    """Pipedrive refused an API token or an access token."""

    reason = Reason.TOKEN_REJECTED


class RejectionUnconfirmed(Trouble):
    """Pipedrive refused an API token once. A proxy or a fault can cause that, so the token is verified once more."""

    reason = Reason.PIPEDRIVE_UNAVAILABLE


class AccountNotOpen(Trouble):
    """The company's Pipedrive account is closed or unpaid."""

    reason = Reason.ACCOUNT_NOT_OPEN


class SecretWriteDenied(Trouble):
    """The Secret cannot be written, or the cluster does not keep it as written."""

    reason = Reason.SECRET_WRITE_DENIED


class RepairPostponed(SecretWriteDenied):
    """The namespace has used up its budget of repairs; `retry_after` says when it is this Secret's turn."""


class SecretContended(SecretWriteDenied):
    """Each write finds that another program has changed the Secret since it was read."""


class FenceClosed(OperatorError):
    """Leadership, or the time that an intent reserves, might end before a call that cannot be undone does."""


class CheckAndSetConflict(OperatorError):
    """The document in Vault is not at the version that the write names."""


class SecretExists(OperatorError):
    """A Secret of that name already exists."""


class SecretChanged(OperatorError):
    """The Secret is no longer at the resourceVersion that the write names, or it is gone."""


class NamespaceBeingDeleted(OperatorError):
    """The namespace is being deleted, together with everything in it."""


class WorkloadChanged(OperatorError):
    """The workload is no longer at the resourceVersion that the write names, or it is gone."""


class WorkloadDenied(OperatorError):
    """The API server denied reading or restarting the workload: RBAC or admission."""


class LeaseChanged(OperatorError):
    """The Lease was changed since it was read."""


class ApiServerUnavailable(OperatorError):
    """The API server gave no usable answer."""


class ApiServerNotTrusted(ApiServerUnavailable):
    """The certificate of the API server was not accepted; the message says why."""


class ReportDenied(ApiServerUnavailable):
    """The API server denied or failed to write a status or an Event."""
