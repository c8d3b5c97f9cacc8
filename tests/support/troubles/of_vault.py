"""Troubles with Vault and its documents."""

import time

from support.troubles.real_parts import FAR, NOWHERE, UNKNOWN_ROLE
from support.troubles.trouble import Actor, Deed, Kind, Trouble

_INTENT_SECONDS = 10.0


def _deny(capabilities: str) -> Deed:
    return lambda actor: actor.stage.allow(actor.path, capabilities)


def _allow(actor: Actor) -> None:
    actor.stage.allow(actor.path, None)


def _write_token(actor: Actor) -> None:
    actor.write(api_token=actor.person.api_token)


def _delete_version(actor: Actor) -> None:
    actor.vault.request("DELETE", f"secret/data/{actor.path}")


def _deny_writes_and_age(actor: Actor) -> None:
    actor.age()
    actor.stage.allow(actor.path, '"read"')


def _deny_writes_in_flight(actor: Actor) -> None:
    """Withdraw the right to write after the intent was written, while Pipedrive processes the refresh."""
    actor.fault("slow", endpoint="token", delay=3)
    actor.age()
    deadline = time.monotonic() + _INTENT_SECONDS
    while "refresh_id" not in actor.read() and time.monotonic() < deadline:
        time.sleep(0.1)
    actor.stage.allow(actor.path, '"read"')


def _store_again(actor: Actor) -> None:
    actor.lift_faults()
    _allow(actor)


def _take_client(actor: Actor) -> None:
    actor.stage.openbao.write_secret(f"{actor.path}-kept", actor.vault.read_secret(actor.app_path) or {})
    actor.erase(actor.app_path)
    actor.age()


def _give_client(actor: Actor) -> None:
    actor.vault.write_secret(actor.app_path, actor.vault.read_secret(f"{actor.path}-kept") or {})


def _take_client_secret(actor: Actor) -> None:
    held = actor.vault.read_secret(actor.app_path) or {}
    actor.vault.write_secret(f"{actor.path}-kept", held)
    actor.vault.write_secret(actor.app_path, {"client_id": held["client_id"], "secret": held["client_secret"]})
    actor.age()


def _use_default(actor: Actor) -> None:
    actor.change(vault=None)


TROUBLES = (
    Trouble(
        name="path-erased",
        reason="SourceMissing",
        says=("Vault has nothing at secret/{actor.path}", "vault kv put -mount=secret {actor.path} api_token=..."),
        strike=lambda actor: actor.erase(actor.path),
        mend=_write_token,
    ),
    Trouble(
        name="version-deleted",
        reason="SourceMissing",
        says=("of secret/{actor.path} in Vault was deleted", "vault kv undelete -mount=secret -versions="),
        strike=_delete_version,
        mend=_write_token,
    ),
    Trouble(
        name="key-renamed",
        reason="SourceMissing",
        says=("no text under key api_token of secret/{actor.path}", "vault kv patch -mount=secret {actor.path}"),
        strike=lambda actor: actor.write(token=actor.person.api_token),
        mend=_write_token,
    ),
    Trouble(
        name="control-characters",
        reason="SourceMissing",
        says=("key api_token of secret/{actor.path}", "holds control characters", "write it again"),
        strike=lambda actor: actor.write(api_token=f"{actor.person.api_token}\x07{actor.person.api_token}"),
        mend=_write_token,
    ),
    Trouble(
        name="reading-denied",
        reason="VaultDenied",
        says=("denies the operator access", 'path "secret/data/{actor.path}" {{ capabilities = ["read"] }}'),
        strike=_deny('"deny"'),
        mend=_allow,
    ),
    Trouble(
        name="writing-denied",
        reason="VaultDenied",
        says=(
            "denies the operator access",
            'path "secret/data/{actor.path}" {{ capabilities = ["create", "update"] }}',
        ),
        kind=Kind.OAUTH2,
        strike=_deny_writes_and_age,
        mend=_allow,
    ),
    Trouble(
        name="escrowed",
        reason="GrantEscrowed",
        says=("Refreshed", "has not stored the new grant", 'capabilities = ["create", "update"]'),
        kind=Kind.OAUTH2,
        strike=_deny_writes_in_flight,
        mend=_store_again,
    ),
    Trouble(
        name="login-denied",
        reason="VaultDenied",
        says=("refuses the login", "role nobody", "vault read auth/kubernetes/role/nobody"),
        spec={"vault": {"connection": UNKNOWN_ROLE}},
        was_fine=False,
        mend=_use_default,
    ),
    Trouble(
        name="sealed",
        reason="VaultUnavailable",
        says=("Vault (far) is sealed", "vault operator unseal"),
        vault=FAR,
        strike=lambda actor: actor.vault.seal(),
        mend=lambda actor: actor.vault.unseal(),
    ),
    Trouble(
        name="nowhere",
        reason="VaultUnavailable",
        says=("cannot be reached", "check vault.connections.nowhere.address"),
        spec={"vault": {"connection": NOWHERE}},
        was_fine=False,
        mend=_use_default,
    ),
    Trouble(
        name="client-erased",
        reason="SourceMissing",
        says=("no client at secret/{actor.app_path}", "write its client_id and client_secret"),
        kind=Kind.OAUTH2,
        strike=_take_client,
        mend=_give_client,
    ),
    Trouble(
        name="client-secret-renamed",
        reason="SourceMissing",
        says=("no text under key client_secret of secret/{actor.app_path}", "vault kv patch"),
        kind=Kind.OAUTH2,
        strike=_take_client_secret,
        mend=_give_client,
    ),
    Trouble(
        name="grant-missing",
        reason="GrantMissing",
        says=("no refresh_token", "consent, or write one"),
        kind=Kind.OAUTH2,
        was_fine=False,
        strike=lambda actor: actor.erase(actor.path),
        mend=Actor.consent,
    ),
    Trouble(
        name="grant-emptied",
        reason="GrantMissing",
        says=("no refresh_token", "consent, or write one"),
        kind=Kind.OAUTH2,
        strike=lambda actor: actor.write(note="moved"),
        mend=Actor.consent,
    ),
)
"""`{actor...}` stands for what the credential's actor says."""
