"""Compares the CRD that the cluster serves with the one that this version of the operator needs.

With an older CRD, the API server drops the fields that it does not know. The status would then differ after each write,
and would be written forever. If only rules or bounds are older, everything works, but the API server accepts
mistakes that the operator must refuse. The rules themselves are compared: an annotation about them could be wrong.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Any, Final

from pipedrive_operator.adapters.kubernetes.api import Api
from pipedrive_operator.adapters.kubernetes.endpoints import DEFINITIONS
from pipedrive_operator.adapters.kubernetes.refusal import Refusal
from pipedrive_operator.core.resource.names import GROUP, PLURAL, VERSION

CRD_NAME: Final = f"{PLURAL}.{GROUP}"
UPGRADE: Final = "pipedrive-operator crd | kubectl apply --server-side -f -"
"""The command that installs or upgrades the CRD, for people."""
_BOUNDS: Final = ("enum", "pattern", "minimum", "maxLength", "minLength", "maxItems", "maxProperties", "minProperties")
_NAMED_MISSING: Final = 5
"""How many fields a message lists."""

Schema = Mapping[str, Any]


class SchemaState(StrEnum):
    """How the served CRD compares with ours."""

    CURRENT = "Current"
    ABSENT = "Absent"
    NOT_ESTABLISHED = "NotEstablished"
    OLDER = "Older"
    OUTDATED_RULES = "OutdatedRules"
    UNREADABLE = "Unreadable"


@dataclass(frozen=True, slots=True)
class ServedSchema:
    """How the served CRD compares with ours, and a message about it for people."""

    state: SchemaState
    message: str


async def read_schema(api: Api, expected: Schema) -> ServedSchema:
    """Compare the served CRD with `expected`, our own `openAPIV3Schema`. Raises ApiServerUnavailable."""
    try:
        definition = await api.get(DEFINITIONS.named(CRD_NAME))
    except Refusal as refusal:
        if refusal.code != HTTPStatus.FORBIDDEN:
            raise
        message = f"RBAC denies reading the CRD {CRD_NAME}: {refusal.message}"
        return ServedSchema(SchemaState.UNREADABLE, message)
    return judge(definition, expected)


def judge(definition: Schema | None, expected: Schema) -> ServedSchema:
    """Compare a served CRD, or None if it is not installed, with our own schema."""
    if definition is None:
        return ServedSchema(SchemaState.ABSENT, f"the CRD {CRD_NAME} is not installed; install it: {UPGRADE}")
    if not _is_established(definition):
        return ServedSchema(SchemaState.NOT_ESTABLISHED, f"the CRD {CRD_NAME} is installed but not established yet")
    served = _served_version(definition)
    if served is None:
        message = f"the CRD {CRD_NAME} does not serve {VERSION} with a status subresource; upgrade it: {UPGRADE}"
        return ServedSchema(SchemaState.OLDER, message)
    missing = tuple(missing_fields(expected, served["schema"]["openAPIV3Schema"]))
    if missing:
        names = ", ".join(missing[:_NAMED_MISSING])
        message = f"the CRD {CRD_NAME} is older than the operator and lacks {names}; upgrade it: {UPGRADE}"
        return ServedSchema(SchemaState.OLDER, message)
    outdated = tuple(outdated_rules(expected, served["schema"]["openAPIV3Schema"]))
    if outdated:
        names = ", ".join(outdated[:_NAMED_MISSING])
        message = (
            f"the CRD {CRD_NAME} is of another version than the operator: its rules for {names} differ, so the API "
            f"server accepts mistakes that the operator then reports; upgrade it: {UPGRADE}"
        )
        return ServedSchema(SchemaState.OUTDATED_RULES, message)
    return ServedSchema(SchemaState.CURRENT, f"the CRD {CRD_NAME} is current")


def missing_fields(expected: Schema, served: Schema, path: str = "") -> Iterator[str]:
    """Yield the path of each field of `expected` that `served` would drop; of a missing object, only its own path."""
    if served.get("x-kubernetes-preserve-unknown-fields"):
        return
    for name, schema in expected.get("properties", {}).items():
        inner = f"{path}.{name}" if path else name
        if name in served.get("properties", {}):
            yield from missing_fields(schema, served["properties"][name], inner)
        else:
            yield inner
    for kind, suffix in (("items", "[]"), ("additionalProperties", ".*")):
        if isinstance(expected.get(kind), Mapping) and isinstance(served.get(kind), Mapping):
            yield from missing_fields(expected[kind], served[kind], f"{path}{suffix}")
        elif isinstance(expected.get(kind), Mapping):
            yield f"{path}{suffix}"


def outdated_rules(expected: Schema, served: Schema, path: str = "") -> Iterator[str]:
    """Yield the path of each field for which `served` lacks a rule or has another bound than `expected`."""
    rules = {rule["rule"] for rule in expected.get("x-kubernetes-validations", ())}
    known = {rule.get("rule") for rule in served.get("x-kubernetes-validations") or ()}
    if rules - known or any(expected.get(bound) != served.get(bound) for bound in _BOUNDS):
        yield path or "the resource"
    for name, schema in expected.get("properties", {}).items():
        yield from outdated_rules(schema, served.get("properties", {}).get(name, {}), f"{path}.{name}".lstrip("."))
    for kind, suffix in (("items", "[]"), ("additionalProperties", ".*")):
        if isinstance(expected.get(kind), Mapping):
            inner = served.get(kind)
            yield from outdated_rules(expected[kind], inner if isinstance(inner, Mapping) else {}, f"{path}{suffix}")


def _is_established(definition: Schema) -> bool:
    conditions = definition.get("status", {}).get("conditions") or ()
    return any(item["type"] == "Established" and item["status"] == "True" for item in conditions)


def _served_version(definition: Schema) -> Schema | None:
    for version in definition["spec"]["versions"]:
        if version["name"] == VERSION and version["served"] and "status" in version.get("subresources", {}):
            return dict(version)
    return None
