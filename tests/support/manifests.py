"""The manifests that tests send to a real API server. Nothing of the operator is imported here."""

import base64
from typing import Any

Json = dict[str, Any]

API_VERSION = "pipedrive-operator.io/v1alpha1"
KIND = "PipedriveCredential"
LABEL_CREDENTIAL = "pipedrive-operator.io/credential"
TOKEN = "v1u-AQIBAHj-this-is-the-token"


def credential(name: str, spec: Json, **metadata: Any) -> Json:
    """Build a credential; `metadata` adds a namespace, annotations and the like."""
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": name, **metadata}, "spec": spec}


def secret(name: str, **changes: Any) -> Json:
    """Build a Secret; `changes` replace whole fields."""
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": "Opaque"} | changes


def published_secret(namespace: str, name: str = "pipedrive", **changes: Any) -> Json:
    """Build a Secret with a token and the operator's label; `changes` replace whole fields."""
    metadata = {"namespace": namespace, "name": name, "labels": {LABEL_CREDENTIAL: "acme"}}
    return secret(name, metadata=metadata, data={"access_token": encoded(TOKEN)}) | changes


def workload(kind: str, name: str, **annotations: str) -> Json:
    """Build a workload; `annotations` are its own, not those of its pod template."""
    labels = {"app": name}
    containers = [{"name": "web", "image": "example.com/web", "env": [{"name": "A", "value": "1"}]}]
    spec: Json = {
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": containers}},
    }
    if kind == "StatefulSet":
        spec["serviceName"] = name
    metadata = {"name": name, "annotations": annotations}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": metadata, "spec": spec}


def encoded(text: str) -> str:
    """Encode a value as in the data of a Secret."""
    return base64.b64encode(text.encode()).decode()


def decoded(secret: Json) -> dict[str, str]:
    """Return the data of a Secret as text."""
    return {key: base64.b64decode(value).decode() for key, value in (secret.get("data") or {}).items()}
