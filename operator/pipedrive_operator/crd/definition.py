"""The CustomResourceDefinition around the schema: names, columns, the status subresource, and conditions.

The fields of the resource are described by their types in `core.resource`, not here.
"""

from typing import Any, Final

from pipedrive_operator.core.publication.fields import API_TOKEN_FIELDS, OAUTH2_FIELDS
from pipedrive_operator.core.resource.credential import SPEC, STATUS
from pipedrive_operator.core.resource.names import CATEGORY, GROUP, KIND, PLURAL, SHORT_NAME, VERSION
from pipedrive_operator.crd.cel import ROOT, RULES
from pipedrive_operator.crd.structural import JsonSchema, structural

_DESCRIPTION: Final = (
    "A PipedriveCredential keeps a Kubernetes Secret of its namespace filled with a credential that Pipedrive accepts: "
    "an OAuth2 access token, refreshed in time, or an API token. Vault keeps what it is made from."
)
_FIELDS: Final = f"{', '.join(OAUTH2_FIELDS)} with oauth2, and {', '.join(API_TOKEN_FIELDS)} with apiToken"
_COLUMNS: Final = (
    ("Ready", '.status.conditions[?(@.type=="Ready")].status', "Whether the Secret can be used.", 0),
    (
        "Reason",
        '.status.conditions[?(@.type=="Ready")].reason',
        "Machine-readable cause; docs/reasons.md explains each.",
        0,
    ),
    ("Company", ".status.account.companyDomain", "Company that the token belongs to.", 0),
    # A column of type date shows the age of a time, and a time in the future as invalid.
    ("Expires", ".status.expiresAt", "When the published access token expires.", 0),
    ("Secret", ".status.secretName", "Name of the published Secret.", 1),
)
_CONDITION: Final[JsonSchema] = {
    "description": "One condition as Kubernetes defines it.",
    "type": "object",
    "required": ["lastTransitionTime", "message", "observedGeneration", "reason", "status", "type"],
    "properties": {
        "type": {
            "description": "Ready, Authorized or Stalled.",
            "type": "string",
            "pattern": "^[A-Za-z]([A-Za-z0-9]*[A-Za-z0-9])?$",
            "maxLength": 316,
        },
        "status": {
            "description": "True, False or Unknown.",
            "type": "string",
            "enum": ["True", "False", "Unknown"],
        },
        "reason": {
            "description": "Machine-readable cause; docs/reasons.md explains each.",
            "type": "string",
            "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
            "minLength": 1,
            "maxLength": 1024,
        },
        "message": {
            "description": "What happened and what to do next, for people.",
            "type": "string",
            "maxLength": 32768,
        },
        "observedGeneration": {
            "description": "The metadata.generation that this condition is about.",
            "type": "integer",
            "minimum": 0,
        },
        "lastTransitionTime": {
            "description": "When the status of this condition last changed.",
            "type": "string",
            "format": "date-time",
            "maxLength": 64,
        },
    },
}
"""With the bounds of `metav1.Condition`. An enumeration of reasons would reject the status of a newer operator."""


def custom_resource_definition() -> dict[str, Any]:
    """Return the CustomResourceDefinition, newly built, as a manifest."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": KIND.lower(),
                "shortNames": [SHORT_NAME],
                "categories": [CATEGORY],
            },
            "scope": "Namespaced",
            "versions": [_version()],
        },
    }


def _version() -> dict[str, Any]:
    return {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": resource_schema()},
        "subresources": {"status": {}},
        "additionalPrinterColumns": [_column(*column) for column in _COLUMNS]
        + [{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}],
    }


def _column(name: str, path: str, description: str, priority: int) -> dict[str, Any]:
    column = {"name": name, "type": "string", "jsonPath": path, "description": description}
    return column | ({"priority": priority} if priority else {})


def resource_schema() -> dict[str, Any]:
    """Return the structural schema of the resource, newly built."""
    spec = structural(SPEC.json_schema(by_alias=True), path="spec", rules=RULES)
    templates = spec["properties"]["target"]["properties"]["data"]
    templates["description"] = templates["description"].replace("{fields}", _FIELDS)
    report = STATUS.json_schema(by_alias=True)
    report["$defs"]["Condition"] = _CONDITION
    status = structural(report, path="status", rules=RULES)
    status["properties"]["conditions"] |= {
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
    }
    # The only default; GitOps tools would see one in the spec as drift. Without it, a new object would look finished.
    status["default"] = {"observedGeneration": -1}
    return {
        "description": _DESCRIPTION,
        "type": "object",
        "required": ["spec"],
        "properties": {"spec": spec, "status": status},
        "x-kubernetes-validations": [rule.manifest() for rule in RULES[ROOT]],
    }
