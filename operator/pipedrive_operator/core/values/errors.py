"""The errors that adapters raise, and the reason that each one becomes in a credential's status.

    OperatorError
    ├── Trouble                       reaches the status: carries a Reason
    │   ├── InvalidSpec               a field, or a name that the configuration does not know
    │   ├── SourceMissing             a Vault path, version or key is absent
    │   ├── VaultUnavailable          down, sealed, not trusted, too slow
    │   ├── VaultDenied               login or policy
    │   ├── PipedriveUnavailable      nothing was sent, or nothing was changed by it
    │   ├── RateLimited               429, with the pause that Pipedrive asks for
    │   ├── RefreshUncertain          a refresh was sent and its outcome is unknown
    │   ├── TokenResponseUnusable     a refresh succeeded, and of its answer only the refresh token can be used
    │   ├── GrantUnstored             a refresh succeeded and Vault has not taken its result
    │   ├── ConsentRequired           invalid_grant
    │   ├── ClientRejected            invalid_client
    │   ├── TokenRejected             401
    │   ├── RejectionUnconfirmed      401 for the first time
    │   ├── AccountNotOpen            402
    │   └── SecretWriteDenied         quota, admission, RBAC, immutable
    ├── FenceClosed                   this process may not send what cannot be undone
    ├── CheckAndSetConflict           Vault: the document changed since it was read
    ├── SecretExists                  Kubernetes: the name is taken
    ├── SecretChanged                 Kubernetes: the Secret changed since it was read
    ├── NamespaceBeingDeleted         Kubernetes: nothing can be created there any more
    ├── WorkloadChanged               Kubernetes: the workload changed since it was read
    ├── WorkloadDenied                Kubernetes: the workload may not be read or restarted
    ├── LeaseChanged                  Kubernetes: another replica was faster
    └── ApiServerUnavailable          Kubernetes: try again

The message of a Trouble is written for people: what happened, why, what to do next. It never holds a secret value.
"""

from datetime import timedelta
from typing import ClassVar

from pipedrive_operator.core.values.conditions import Reason
from pipedrive_operator.core.values.secret_value import SecretValue


class OperatorError(Exception):
    """Anything that an adapter raises on purpose."""


class Trouble(OperatorError):
    """Something that the status has to tell."""

    reason: ClassVar[Reason]

    def __init__(self, message: str, *, retry_after: timedelta | None = None) -> None:
        """Say what happened in a sentence; `retry_after` is the pause that the other side asked for."""
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after


class InvalidSpec(Trouble):
    """A field of the resource is wrong, or names something that the configuration does not have."""

    reason = Reason.INVALID_SPEC


class SourceMissing(Trouble):
    """A path, a version or a key is absent from Vault."""

    reason = Reason.SOURCE_MISSING


class VaultUnavailable(Trouble):
    """Vault gave no usable answer."""

    reason = Reason.VAULT_UNAVAILABLE


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
    """A refresh succeeded, and of its answer only the refresh token can be used."""

    reason = Reason.PIPEDRIVE_UNAVAILABLE

    def __init__(self, message: str, refresh_token: SecretValue) -> None:
        """Say what is wrong with the rest."""
        super().__init__(message)
        self.refresh_token = refresh_token


class GrantUnstored(Trouble):
    """A refresh succeeded, and Vault has not taken its result yet."""

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
    """The API server does not let the Secret be written."""

    reason = Reason.SECRET_WRITE_DENIED


class FenceClosed(OperatorError):
    """Leadership, or the time that an intent claims, might not outlast a call that cannot be undone."""


class CheckAndSetConflict(OperatorError):
    """The document in Vault is not at the version that the write names."""


class SecretExists(OperatorError):
    """A Secret of that name is there already."""


class SecretChanged(OperatorError):
    """The Secret is no longer at the resourceVersion that the write names, or it is gone."""


class NamespaceBeingDeleted(OperatorError):
    """The namespace is on its way out, and so is everything in it."""


class WorkloadChanged(OperatorError):
    """The workload is no longer at the resourceVersion that the write names, or it is gone."""


class WorkloadDenied(OperatorError):
    """The API server does not let the workload be read or restarted: RBAC, admission."""


class LeaseChanged(OperatorError):
    """The Lease is no longer as it was read."""


class ApiServerUnavailable(OperatorError):
    """The API server gave no usable answer."""
