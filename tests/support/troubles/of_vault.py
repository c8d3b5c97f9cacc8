"""Troubles with Vault and its documents."""

import time

from support.troubles.real_parts import FAR, NOWHERE, UNKNOWN_ROLE
from support.troubles.trouble import Change, Kind, Trouble, TroubledCredential

_INTENT_SECONDS = 10.0


def _deny(capabilities: str) -> Change:
    return lambda subject: subject.parts.allow(subject.path, capabilities)


def _allow(subject: TroubledCredential) -> None:
    subject.parts.allow(subject.path, None)


def _write_token(subject: TroubledCredential) -> None:
    subject.write(api_token=subject.person.api_token)


def _delete_version(subject: TroubledCredential) -> None:
    subject.vault.request("DELETE", f"secret/data/{subject.path}")


def _deny_writes_and_age(subject: TroubledCredential) -> None:
    subject.age()
    subject.parts.allow(subject.path, '"read"')


def _deny_writes_in_flight(subject: TroubledCredential) -> None:
    """Withdraw the right to write after the intent was written, while Pipedrive processes the refresh."""
    subject.fault("slow", endpoint="token", delay=3)
    subject.age()
    deadline = time.monotonic() + _INTENT_SECONDS
    while "refresh_id" not in subject.read() and time.monotonic() < deadline:
        time.sleep(0.1)
    subject.parts.allow(subject.path, '"read"')


def _store_again(subject: TroubledCredential) -> None:
    subject.lift_faults()
    _allow(subject)


def _take_client(subject: TroubledCredential) -> None:
    subject.parts.openbao.write_secret(f"{subject.path}-kept", subject.vault.read_secret(subject.app_path) or {})
    subject.erase(subject.app_path)
    subject.age()


def _give_client(subject: TroubledCredential) -> None:
    subject.vault.write_secret(subject.app_path, subject.vault.read_secret(f"{subject.path}-kept") or {})


def _take_client_secret(subject: TroubledCredential) -> None:
    held = subject.vault.read_secret(subject.app_path) or {}
    subject.vault.write_secret(f"{subject.path}-kept", held)
    subject.vault.write_secret(subject.app_path, {"client_id": held["client_id"], "secret": held["client_secret"]})
    subject.age()


def _use_default(subject: TroubledCredential) -> None:
    subject.change(vault=None)


TROUBLES = (
    Trouble(
        name="path-erased",
        reason="SourceMissing",
        says=("Vault has nothing at secret/{subject.path}", "vault kv put -mount=secret {subject.path} api_token=..."),
        cause=lambda subject: subject.erase(subject.path),
        fix=_write_token,
    ),
    Trouble(
        name="version-deleted",
        reason="SourceMissing",
        says=("of secret/{subject.path} in Vault was deleted", "vault kv undelete -mount=secret -versions="),
        cause=_delete_version,
        fix=_write_token,
    ),
    Trouble(
        name="key-renamed",
        reason="SourceMissing",
        says=("no text under key api_token of secret/{subject.path}", "vault kv patch -mount=secret {subject.path}"),
        cause=lambda subject: subject.write(token=subject.person.api_token),
        fix=_write_token,
    ),
    Trouble(
        name="control-characters",
        reason="SourceMissing",
        says=("key api_token of secret/{subject.path}", "holds control characters", "write it again"),
        cause=lambda subject: subject.write(api_token=f"{subject.person.api_token}\x07{subject.person.api_token}"),
        fix=_write_token,
    ),
    Trouble(
        name="reading-denied",
        reason="VaultDenied",
        says=("denies the operator access", 'path "secret/data/{subject.path}" {{ capabilities = ["read"] }}'),
        cause=_deny('"deny"'),
        fix=_allow,
    ),
    Trouble(
        name="writing-denied",
        reason="VaultDenied",
        says=(
            "denies the operator access",
            'path "secret/data/{subject.path}" {{ capabilities = ["create", "update"] }}',
        ),
        kind=Kind.OAUTH2,
        cause=_deny_writes_and_age,
        fix=_allow,
    ),
    Trouble(
        name="escrowed",
        reason="GrantEscrowed",
        says=("Refreshed", "has not stored the new grant", 'capabilities = ["create", "update"]'),
        kind=Kind.OAUTH2,
        cause=_deny_writes_in_flight,
        fix=_store_again,
    ),
    Trouble(
        name="login-denied",
        reason="VaultDenied",
        says=("refuses the login", "role nobody", "vault read auth/kubernetes/role/nobody"),
        spec={"vault": {"connection": UNKNOWN_ROLE}},
        starts_ready=False,
        fix=_use_default,
    ),
    Trouble(
        name="sealed",
        reason="VaultUnavailable",
        says=('Vault connection "far" is sealed', "vault operator unseal"),
        vault=FAR,
        cause=lambda subject: subject.vault.seal(),
        fix=lambda subject: subject.vault.unseal(),
    ),
    Trouble(
        name="nowhere",
        reason="VaultUnavailable",
        says=("cannot be reached", "check vault.connections.nowhere.address"),
        spec={"vault": {"connection": NOWHERE}},
        starts_ready=False,
        fix=_use_default,
    ),
    Trouble(
        name="client-erased",
        reason="SourceMissing",
        says=("no client at secret/{subject.app_path}", "write its client_id and client_secret"),
        kind=Kind.OAUTH2,
        cause=_take_client,
        fix=_give_client,
    ),
    Trouble(
        name="client-secret-renamed",
        reason="SourceMissing",
        says=("no text under key client_secret of secret/{subject.app_path}", "vault kv patch"),
        kind=Kind.OAUTH2,
        cause=_take_client_secret,
        fix=_give_client,
    ),
    Trouble(
        name="grant-missing",
        reason="GrantMissing",
        says=("no refresh_token", "write the refresh_token there with"),
        kind=Kind.OAUTH2,
        starts_ready=False,
        cause=lambda subject: subject.erase(subject.path),
        fix=TroubledCredential.consent,
    ),
    Trouble(
        name="grant-emptied",
        reason="GrantMissing",
        says=("no refresh_token", "write the refresh_token there with"),
        kind=Kind.OAUTH2,
        cause=lambda subject: subject.write(note="moved"),
        fix=TroubledCredential.consent,
    ),
)
"""`{subject...}` stands for what the credential's subject says."""
