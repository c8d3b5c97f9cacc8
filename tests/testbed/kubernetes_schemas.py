"""Converts the schemas that an API server publishes at /openapi/v3 to JSON schemas for kubeconform.

They reject fields that the API server does not know. One folder contains a file for each kind.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from testbed.control_plane import ControlPlane

Json = dict[str, Any]

LOCATION = "{{ .ResourceKind }}{{ .KindSuffix }}.json"
"""Where kubeconform finds the schema of a kind, below the folder."""
_REFERENCE = "#/components/schemas/"
_GROUP_VERSION_KIND = "x-kubernetes-group-version-kind"


def write_schemas(cluster: ControlPlane, api_versions: Iterable[str], folder: Path) -> None:
    """Write the schemas of all kinds of these API versions, such as `v1` and `apps/v1`. Raises KubectlError."""
    for api_version in api_versions:
        root = f"apis/{api_version}" if "/" in api_version else f"api/{api_version}"
        schemas = json.loads(cluster.kubectl("get", "--raw", f"/openapi/v3/{root}"))["components"]["schemas"]
        definitions = {name: _strict(schema) for name, schema in schemas.items()}
        for name, kind in _kinds(schemas, api_version):
            schema = {"$ref": f"#/definitions/{name}", "definitions": definitions}
            (folder / f"{kind.lower()}{_suffix(api_version)}.json").write_text(json.dumps(schema))


def _kinds(schemas: Json, api_version: str) -> Iterator[tuple[str, str]]:
    for name, schema in schemas.items():
        for one in schema.get(_GROUP_VERSION_KIND, ()):
            if api_version == "/".join(filter(None, (one["group"], one["version"]))):
                yield name, one["kind"]


def _suffix(api_version: str) -> str:
    """Return kubeconform's name of an API version, which uses the first word of its group."""
    group, _, version = api_version.rpartition("/")
    return f"-{group.split('.')[0]}-{version}" if group else f"-{version}"


def _strict(node: Any) -> Any:
    if isinstance(node, list):
        return [_strict(item) for item in node]
    if not isinstance(node, dict):
        return node
    made = {key: _strict(value) for key, value in node.items()}
    if isinstance(node.get("$ref"), str):
        made["$ref"] = node["$ref"].replace(_REFERENCE, "#/definitions/")
    if isinstance(node.get("properties"), dict) and not node.get("x-kubernetes-preserve-unknown-fields"):
        made.setdefault("additionalProperties", False)
    return made
