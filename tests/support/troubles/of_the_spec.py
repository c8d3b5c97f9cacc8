"""Troubles with names and paths in a spec that the API server cannot check."""

import time
from datetime import UTC, datetime

from support.troubles.trouble import Actor, Deed, Kind, Trouble


def _with_own_client(actor: Actor) -> None:
    actor.change(oauth2={"client": {"app": None, "path": actor.app_path}})


def _without(field: str) -> Deed:
    return lambda actor: actor.change(vault={field: None})


def _share_a_grant(actor: Actor) -> None:
    """Let an older credential use the grant, with the correct client."""
    actor.spec["oauth2"]["client"] = {"path": actor.app_path}
    older = Actor(**{**vars(actor), "name": "the-older"})
    older.apply()
    created = older.kubectl("get", "pdc", older.name, "--output=jsonpath={.metadata.creationTimestamp}")
    while f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}" <= created:  # creation timestamps have a resolution of one second
        time.sleep(0.1)
    actor.spec["oauth2"]["client"] = {"path": f"{actor.path}-other"}


def _name_another_client(actor: Actor) -> None:
    actor.write(**actor.read() | {"client_id": "somebody"})
    actor.age()


TROUBLES = (
    Trouble(
        name="unknown-app",
        reason="InvalidSpec",
        says=("spec.oauth2.client.app", "no app no-such-app", "may use none"),
        kind=Kind.OAUTH2,
        was_fine=False,
        strike=lambda actor: actor.spec["oauth2"].update(client={"app": "no-such-app"}),
        mend=_with_own_client,
        stalled=True,
    ),
    Trouble(
        name="app-of-another-namespace",
        reason="InvalidSpec",
        says=("spec.oauth2.client.app", "may not use app", "pipedrive.apps.crm-sync.allowedNamespaces"),
        kind=Kind.OAUTH2,
        room="-stranger",
        was_fine=False,
        strike=lambda actor: actor.spec["oauth2"].update(client={"app": "crm-sync"}),
        mend=_with_own_client,
        stalled=True,
    ),
    Trouble(
        name="unknown-connection",
        reason="InvalidSpec",
        says=("spec.vault.connection", "no connection elsewhere", "may use default, far"),
        spec={"vault": {"connection": "elsewhere"}},
        was_fine=False,
        mend=_without("connection"),
        stalled=True,
    ),
    Trouble(
        name="mount-not-listed",
        reason="InvalidSpec",
        says=("spec.vault.mount", "no mount private", "it lists secret"),
        spec={"vault": {"mount": "private"}},
        was_fine=False,
        mend=_without("mount"),
        stalled=True,
    ),
    Trouble(
        name="path-outside",
        reason="InvalidSpec",
        says=("spec.apiToken.path", "outside what namespace {actor.namespace} may use", "pipedrive/{actor.namespace}/"),
        spec={"apiToken": {"path": "apps/crm-sync"}},
        was_fine=False,
        mend=lambda actor: actor.change(apiToken={"path": actor.path}),
        stalled=True,
    ),
    Trouble(
        name="two-clients",
        reason="InvalidSpec",
        says=("spec.oauth2.client", "{actor.namespace}/the-older uses the same grant (secret/{actor.path})", "Copy"),
        kind=Kind.OAUTH2,
        was_fine=False,
        strike=_share_a_grant,
        mend=lambda actor: actor.change(oauth2={"client": {"path": actor.app_path}}),
        stalled=True,
    ),
    Trouble(
        name="client-of-another-grant",
        reason="InvalidSpec",
        says=("spec.oauth2.client", "issued to another client", "authorize the app of this one"),
        kind=Kind.OAUTH2,
        strike=_name_another_client,
        mend=lambda actor: actor.write(**actor.read() | {"client_id": actor.name}),
        stalled=True,
        stays_ready=False,
    ),
)
"""`says` is what a person needs: the field, what is wrong with it, and what would be right."""
