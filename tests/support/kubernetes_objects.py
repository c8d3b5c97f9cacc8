"""Manifests, as tests give them to a real API server."""

import base64
from typing import Any

from pipedrive_operator.core.resource.names import LABEL_CREDENTIAL, Key

TOKEN = "v1u-AQIBAHj-this-is-the-token"
ABSENT = Key(namespace="default", name="absent")


def resource(namespace: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    """Build a credential's manifest."""
    return {
        "apiVersion": "pipedrive-operator.io/v1alpha1",
        "kind": "PipedriveCredential",
        "metadata": {"namespace": namespace, "name": name},
        "spec": spec,
    }


def manifest(namespace: str, name: str = "pipedrive", **changes: Any) -> dict[str, Any]:
    """Build a Secret's manifest."""
    metadata = {"namespace": namespace, "name": name, "labels": {LABEL_CREDENTIAL: "acme"}}
    data = {"access_token": encoded(TOKEN)}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata,
        "type": "Opaque",
        "data": data,
    } | changes


def encoded(text: str) -> str:
    """Encode a value as a Secret's data."""
    return base64.b64encode(text.encode()).decode()
