"""The CustomResourceDefinition around the schema: names, columns, subresource, and what no model says.

No field of the resource is described here; `core.credential` does that.
"""

from typing import Any, Final

from pipedrive_operator.core.publication.fields import API_TOKEN_FIELDS, OAUTH2_FIELDS
from pipedrive_operator.core.resource.credential import SPEC, STATUS
from pipedrive_operator.core.resource.names import CATEGORY, GROUP, KIND, PLURAL, SHORT_NAME, VERSION
from pipedrive_operator.crd.cel import ROOT, RULES
from pipedrive_operator.crd.schema import Schema, structural

_DESCRIPTION: Final = (
    "A PipedriveCredential keeps a Kubernetes Secret of its namespace filled with a credential that Pipedrive accepts: "
    "an OAuth2 access token, refreshed in time, or an API token. Vault keeps what it is made from."
)
_FIELDS: Final = f"{', '.join(OAUTH2_FIELDS)} with oauth2, and {', '.join(API_TOKEN_FIELDS)} with apiToken"
_COLUMNS: Final = (
    ("Ready", '.status.conditions[?(@.type=="Ready")].status', "Whether the Secret can be used.", 0),
    ("Reason", '.status.conditions[?(@.type=="Ready")].reason', "Why; docs/reasons.md explains each.", 0),
    ("Company", ".status.account.companyDomain", "The company whose token it is.", 0),
    # A date column shows how long ago a time was, and one that lies ahead as invalid.
    ("Expires", ".status.expiresAt", "When the published access token expires.", 0),
    ("Secret", ".status.secretName", "The Secret that is published.", 1),
)
_CONDITION: Final[Schema] = {
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
            "description": "Why, in one word for programs; docs/reasons.md explains each.",
            "type": "string",
            "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
            "minLength": 1,
            "maxLength": 1024,
        },
        "message": {
            "description": "Why, in a sentence for people: what happened, and what to do next.",
            "type": "string",
            "maxLength": 32768,
        },
        "observedGeneration": {
            "description": "The metadata.generation that this condition speaks of.",
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
"""The bounds of `metav1.Condition`. A list of the reasons here would refuse the status of a newer operator."""


def crd() -> dict[str, Any]:
    """Build the CustomResourceDefinition."""
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
        "schema": {"openAPIV3Schema": _schema()},
        "subresources": {"status": {}},
        "additionalPrinterColumns": [_column(*column) for column in _COLUMNS]
        + [{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}],
    }


def _column(name: str, path: str, description: str, priority: int) -> dict[str, Any]:
    column = {"name": name, "type": "string", "jsonPath": path, "description": description}
    return column | ({"priority": priority} if priority else {})


def _schema() -> dict[str, Any]:
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
    # The only default: with one in the spec, GitOps tools would see drift. It keeps a new object from looking finished.
    status["default"] = {"observedGeneration": -1}
    return {
        "description": _DESCRIPTION,
        "type": "object",
        "required": ["spec"],
        "properties": {"spec": spec, "status": status},
        "x-kubernetes-validations": [rule.manifest() for rule in RULES[ROOT]],
    }
