"""Derives the rules for credentials from the settings: which connections, paths and apps a credential may name.

Nothing is decided here; `core.decision.sources` applies the rules.
"""

from pipedrive_operator.config.settings import Settings
from pipedrive_operator.core.decision.sources import AppRules, ConnectionRules, Rules
from pipedrive_operator.core.grant.client import ClientSource
from pipedrive_operator.core.grant.document import OPERATOR, VaultLocation


def rules_of(settings: Settings) -> Rules:
    """Return the part of the settings that decides what a credential may name."""
    return Rules(
        connections={
            name: ConnectionRules(
                mounts=connection.mounts,
                path_prefixes=connection.path_prefixes,
                allowed_namespaces=connection.allowed_namespaces,
                takes_tenants=connection.tenant_auth.enabled,
            )
            for name, connection in settings.vault.connections.items()
        },
        apps={
            name: AppRules(
                source=ClientSource(
                    location=VaultLocation(connection=app.connection, mount=app.mount, path=app.path),
                    identity=OPERATOR,
                    id_key=app.id_key,
                    secret_key=app.secret_key,
                ),
                allowed_namespaces=app.allowed_namespaces,
            )
            for name, app in settings.pipedrive.apps.items()
        },
        cluster=settings.kubernetes.cluster_name or "",
    )
