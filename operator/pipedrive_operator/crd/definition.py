"""The CustomResourceDefinitions around the schemas: names, columns, the status subresource, and conditions.

The fields of the resources are described by their types in `core.resource`, not here.
"""

from collections.abc import Sequence
from typing import Any, Final

from pipedrive_operator.core.publication.fields import API_TOKEN_FIELDS, OAUTH2_FIELDS
from pipedrive_operator.core.resource.consent import CONSENT_SPEC, CONSENT_STATUS
from pipedrive_operator.core.resource.credential import SPEC, STATUS
from pipedrive_operator.core.resource.names import (
    CATEGORY,
    CONSENT_KIND,
    CONSENT_PLURAL,
    CONSENT_SHORT_NAME,
    GROUP,
    KIND,
    PLURAL,
    SHORT_NAME,
    VERSION,
)
from pipedrive_operator.crd.cel import ROOT, RULES
from pipedrive_operator.crd.consent_rules import CONSENT_RULES
from pipedrive_operator.crd.structural import JsonSchema, RulesByPath, structural

_DESCRIPTION: Final = (
    "A PipedriveCredential keeps a Kubernetes Secret of its namespace filled with a credential that Pipedrive accepts: "
    "an OAuth2 access token, refreshed in time, or an API token. Vault keeps what it is made from."
)
_CONSENT_DESCRIPTION: Final = (
    "A PipedriveConsent asks a person to connect a PipedriveCredential of its namespace to an account, by a link that "
    "opens in a browser. A command creates it and prints the link. It is deleted an hour after it ended; one that "
    "allows a change of company stays until its credential has made that change, for four weeks at most. Do not keep "
    "it in Git."
)
_FIELDS: Final = f"{', '.join(OAUTH2_FIELDS)} with oauth2, and {', '.join(API_TOKEN_FIELDS)} with apiToken"
_Column = tuple[str, str, str, int]
_COLUMNS: Final[Sequence[_Column]] = (
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
_CONSENT_COLUMNS: Final[Sequence[_Column]] = (
    ("Credential", ".spec.credential", "PipedriveCredential to connect.", 0),
    ("Complete", '.status.conditions[?(@.type=="Complete")].status', "Whether the account is connected.", 0),
    (
        "Reason",
        '.status.conditions[?(@.type=="Complete")].reason',
        "Machine-readable cause; docs/reasons.md explains each.",
        0,
    ),
    ("Company", ".status.account.companyDomain", "Company that the person accepted for.", 0),
    ("Expires", ".status.expiresAt", "When the link expires.", 0),
)
_CONDITION: Final[JsonSchema] = {
    "description": "One condition as Kubernetes defines it.",
    "type": "object",
    "required": ["lastTransitionTime", "message", "observedGeneration", "reason", "status", "type"],
    "properties": {
        "type": {
            "description": "Ready, Authorized or Stalled; of a consent, Ready or Complete.",
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
    """Return the CustomResourceDefinition of PipedriveCredential, newly built, as a manifest."""
    return _definition(KIND, PLURAL, SHORT_NAME, resource_schema(), _COLUMNS)


def consent_definition() -> dict[str, Any]:
    """Return the CustomResourceDefinition of PipedriveConsent, newly built, as a manifest."""
    return _definition(CONSENT_KIND, CONSENT_PLURAL, CONSENT_SHORT_NAME, consent_schema(), _CONSENT_COLUMNS)


def _definition(
    kind: str, plural: str, short_name: str, schema: dict[str, Any], columns: Sequence[_Column]
) -> dict[str, Any]:
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": kind.lower(),
                "shortNames": [short_name],
                "categories": [CATEGORY],
            },
            "scope": "Namespaced",
            "versions": [_version(schema, columns)],
        },
    }


def _version(schema: dict[str, Any], columns: Sequence[_Column]) -> dict[str, Any]:
    return {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}},
        "additionalPrinterColumns": [_column(*column) for column in columns]
        + [{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}],
    }


def _column(name: str, path: str, description: str, priority: int) -> dict[str, Any]:
    column = {"name": name, "type": "string", "jsonPath": path, "description": description}
    return column | ({"priority": priority} if priority else {})


def resource_schema() -> dict[str, Any]:
    """Return the structural schema of PipedriveCredential, newly built."""
    spec = structural(SPEC.json_schema(by_alias=True), path="spec", rules=RULES)
    templates = spec["properties"]["target"]["properties"]["data"]
    templates["description"] = templates["description"].replace("{fields}", _FIELDS)
    return _schema(_DESCRIPTION, spec, _status(STATUS.json_schema(by_alias=True), "Condition", RULES), RULES)


def consent_schema() -> dict[str, Any]:
    """Return the structural schema of PipedriveConsent, newly built."""
    spec = structural(CONSENT_SPEC.json_schema(by_alias=True), path="spec", rules=CONSENT_RULES)
    status = _status(CONSENT_STATUS.json_schema(by_alias=True), "ConsentCondition", CONSENT_RULES)
    return _schema(_CONSENT_DESCRIPTION, spec, status, CONSENT_RULES)


def _status(document: dict[str, Any], condition: str, rules: RulesByPath) -> dict[str, Any]:
    document["$defs"][condition] = _CONDITION
    status = structural(document, path="status", rules=rules)
    status["properties"]["conditions"] |= {
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
    }
    # The only default; GitOps tools would see one in the spec as drift. Without it, a new object would look finished.
    status["default"] = {"observedGeneration": -1}
    return status


def _schema(description: str, spec: dict[str, Any], status: dict[str, Any], rules: RulesByPath) -> dict[str, Any]:
    return {
        "description": description,
        "type": "object",
        "required": ["spec"],
        "properties": {"spec": spec, "status": status},
        "x-kubernetes-validations": [rule.manifest() for rule in rules[ROOT]],
    }
