"""Troubles with names and paths in a spec that the API server cannot check."""

import time
from datetime import UTC, datetime

from support.troubles.trouble import Change, Kind, Trouble, TroubledCredential


def _with_own_client(subject: TroubledCredential) -> None:
    subject.change(oauth2={"client": {"app": None, "path": subject.app_path}})


def _without(field: str) -> Change:
    return lambda subject: subject.change(vault={field: None})


def _share_a_grant(subject: TroubledCredential) -> None:
    """Let an older credential use the grant, with the correct client."""
    subject.spec["oauth2"]["client"] = {"path": subject.app_path}
    older = TroubledCredential(**{**vars(subject), "name": "the-older"})
    older.apply()
    created = older.kubectl("get", "pdc", older.name, "--output=jsonpath={.metadata.creationTimestamp}")
    while f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}" <= created:  # creation timestamps have a resolution of one second
        time.sleep(0.1)
    subject.spec["oauth2"]["client"] = {"path": f"{subject.path}-other"}


def _name_another_client(subject: TroubledCredential) -> None:
    subject.write(**subject.read() | {"client_id": "somebody"})
    subject.age()


TROUBLES = (
    Trouble(
        name="unknown-app",
        reason="InvalidSpec",
        says=("spec.oauth2.client.app", "no app no-such-app", "may use crm-sync"),
        kind=Kind.OAUTH2,
        starts_ready=False,
        cause=lambda subject: subject.spec["oauth2"].update(client={"app": "no-such-app"}),
        fix=_with_own_client,
        stalled=True,
    ),
    Trouble(
        name="app-of-another-namespace",
        reason="InvalidSpec",
        says=("spec.oauth2.client.app", "may not use app", "pipedrive.apps.crm-sync.allowedNamespaces"),
        kind=Kind.OAUTH2,
        namespace_suffix="-stranger",
        starts_ready=False,
        cause=lambda subject: subject.spec["oauth2"].update(client={"app": "crm-sync"}),
        fix=_with_own_client,
        stalled=True,
    ),
    Trouble(
        name="unknown-connection",
        reason="InvalidSpec",
        says=("spec.vault.connection", "no connection elsewhere", "may use default, far"),
        spec={"vault": {"connection": "elsewhere"}},
        starts_ready=False,
        fix=_without("connection"),
        stalled=True,
    ),
    Trouble(
        name="mount-not-listed",
        reason="InvalidSpec",
        says=("spec.vault.mount", "no mount private", "it lists secret"),
        spec={"vault": {"mount": "private"}},
        starts_ready=False,
        fix=_without("mount"),
        stalled=True,
    ),
    Trouble(
        name="path-outside",
        reason="InvalidSpec",
        says=(
            "spec.apiToken.path",
            "outside what namespace {subject.namespace} may use",
            "pipedrive/{subject.namespace}/",
        ),
        spec={"apiToken": {"path": "apps/crm-sync"}},
        starts_ready=False,
        fix=lambda subject: subject.change(apiToken={"path": subject.path}),
        stalled=True,
    ),
    Trouble(
        name="two-clients",
        reason="InvalidSpec",
        says=(
            "spec.oauth2.client",
            "{subject.namespace}/the-older uses the same grant (secret/{subject.path})",
            "Copy",
        ),
        kind=Kind.OAUTH2,
        starts_ready=False,
        cause=_share_a_grant,
        fix=lambda subject: subject.change(oauth2={"client": {"path": subject.app_path}}),
        stalled=True,
    ),
    Trouble(
        name="client-of-another-grant",
        reason="InvalidSpec",
        says=("spec.oauth2.client", "issued to another client", "authorize the app of this one"),
        kind=Kind.OAUTH2,
        cause=_name_another_client,
        fix=lambda subject: subject.write(**subject.read() | {"client_id": subject.name}),
        stalled=True,
        stays_ready=False,
    ),
)
"""`says` is what a person needs: the field, what is wrong with it, and what would be right."""
