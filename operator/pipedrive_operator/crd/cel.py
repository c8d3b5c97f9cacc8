"""The validation rules in CEL that types cannot express, each with the message that people see when it fails.

A rule is listed under the path of the field that it sees as `self`. Bounds and patterns belong to the types.
https://kubernetes.io/docs/reference/using-api/cel/
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from pipedrive_operator.core.grant.keys import NO_API_TOKEN, NO_CLIENT_ID, NO_CLIENT_SECRET
from pipedrive_operator.core.publication import reserved
from pipedrive_operator.core.publication.fields import API_TOKEN_FIELDS, OAUTH2_FIELDS
from pipedrive_operator.core.publication.filters import FILTERS, summary
from pipedrive_operator.core.resource.names import GROUP
from pipedrive_operator.core.resource.spec import SHORTEST_RENEW_BEFORE
from pipedrive_operator.core.values.times import DURATION, format_duration

ROOT: Final = ""
_SHORTEST: Final = format_duration(SHORTEST_RENEW_BEFORE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One entry of `x-kubernetes-validations`.

    The message is constant: a `messageExpression` that quotes a key has an unbounded cost, because schemas cannot bound
    the length of keys.
    """

    rule: str
    message: str
    field_path: str | None = None
    reason: str | None = None

    def manifest(self) -> dict[str, Any]:
        """Return the entry for the CRD."""
        entries = {
            "rule": self.rule,
            "message": self.message,
            "fieldPath": self.field_path,
            "reason": self.reason,
        }
        return {name: entry for name, entry in entries.items() if entry is not None}


def matches(pattern: str, of: str = "self") -> str:
    """Return the expression that requires a string to match a pattern."""
    return f"{of}.matches(r'{pattern}')"


def keys_match(pattern: str, *, at_most: int) -> str:
    """Return the expression that requires each key of a map to match a pattern, and bounds its length."""
    return f"self.all(key, size(key) <= {at_most} && {matches(pattern, of='key')})"


def _target_type_is_fixed() -> Rule:
    """Return the rule that the type of the Secret can only change together with its name, given or by default.

    It uses no optionals (`.?`), because the API server estimates their cost as unbounded.
    """
    name, old_name = (_target_field(root, "name", f"{root}.metadata.name") for root in ("self", "oldSelf"))
    type_, old_type = (_target_field(root, "type", "'Opaque'") for root in ("self", "oldSelf"))
    return Rule(
        rule=f"{name} != {old_name} || {type_} == {old_type}",
        message="the type cannot change while the Secret keeps its name, because the type of a Secret is immutable: "
        "change spec.target.name too",
        field_path=".spec.target.type",
        reason="FieldValueForbidden",
    )


def _target_field(root: str, field: str, default: str) -> str:
    target = f"{root}.spec.target"
    return f"(has({target}) && has({target}.{field}) ? {target}.{field} : {default})"


def template_pattern(fields: Collection[str]) -> str:
    """Return the pattern of a template: any sequence of text without `$(`, escapes `$$(` and references.

    It does not match an unclosed `$(`.
    """
    known = "|".join(_references(fields))
    return rf"^([^$]|[$]+[^$(]|[$]{{2,}}[(]|[$][(]({known})[)])*[$]*$"


def _references(fields: Collection[str]) -> Iterator[str]:
    """Yield patterns that together match every reference: fields with common filters, then filters of some fields."""
    general = "|".join(name for name, one in FILTERS.items() if one.only_for is None)
    yield f"({'|'.join(fields)})([|]({general}))?"
    for name, one in FILTERS.items():
        yield from (f"{field}[|]{name}" for field in one.only_for or () if field in fields)


def _known_fields_only(kind: str, fields: Collection[str]) -> Rule:
    """Return the rule that the templates of a kind of credential refer only to its fields."""
    template = template_pattern(fields)
    data = "self.target.data"
    return Rule(
        rule=f"!has(self.{kind}) || !has(self.target) || !has({data}) || "
        f"{data}.all(key, {matches(template, of=f'{data}[key]')})",
        message=f"each $( in a template must be closed and name a field of {kind}: {summary(fields)}; "
        "write $$( for a literal $(",
        field_path=".target.data",
    )


def _no_reserved_keys(kind: str) -> Rule:
    """Return the rule that forbids labels or annotations that control Kubernetes or the operator."""
    return Rule(
        rule=f"self.all(key, key.startsWith('{reserved.EXEMPT}') || !{matches(reserved.NAME_PATTERN, of='key')})",
        message=f"{kind} under kubernetes.io, k8s.io and {GROUP} are reserved, except app.kubernetes.io: remove them",
        reason="FieldValueForbidden",
    )


def _other_key(taken: Collection[str], what: str) -> Rule:
    """Return the rule that refuses the keys that hold something else."""
    names = ", ".join(f"'{key}'" for key in taken)
    return Rule(
        rule=f"!(self in [{names}])",
        message=(
            f"must not be a key that holds something else: name the key of {what}, or leave the field out for the "
            "default"
        ),
        reason="FieldValueForbidden",
    )


RULES: Final[Mapping[str, Sequence[Rule]]] = MappingProxyType(
    {
        ROOT: (
            Rule(
                rule="size(self.metadata.name) <= 63",
                message="metadata.name must have at most 63 characters, because it becomes the value of a label: "
                "choose a shorter name",
            ),
            _target_type_is_fixed(),
        ),
        "spec": (
            Rule(
                rule="has(self.oauth2) != has(self.apiToken)",
                message="exactly one of oauth2 and apiToken must be set",
            ),
            _known_fields_only("oauth2", OAUTH2_FIELDS),
            _known_fields_only("apiToken", API_TOKEN_FIELDS),
        ),
        "spec.oauth2.client": (
            Rule(
                rule="has(self.app) != has(self.path)",
                message="exactly one of app and path must be set: app for a client in the operator's settings, "
                "path for a document in Vault",
            ),
            Rule(
                rule="has(self.path) || !has(self.idKey) && !has(self.secretKey)",
                message="idKey and secretKey are keys of the document at path: remove them, or set path",
            ),
            Rule(
                rule="!has(self.idKey) || !has(self.secretKey) || self.idKey != self.secretKey",
                message="idKey and secretKey must differ: name the key of each",
            ),
        ),
        "spec.oauth2.client.idKey": (_other_key(NO_CLIENT_ID, "the client id"),),
        "spec.oauth2.client.secretKey": (_other_key(NO_CLIENT_SECRET, "the client secret"),),
        "spec.apiToken.key": (_other_key(NO_API_TOKEN, "the API token"),),
        "spec.oauth2.renewBefore": (
            Rule(
                rule=f"size(self) >= 2 && {matches(DURATION)} && duration(self) >= duration('{_SHORTEST}')",
                message=f"must be a duration of at least {_SHORTEST}, such as 90s, 20m or 1h30m",
            ),
        ),
        "spec.account": (
            Rule(
                rule="has(self.companyDomain) || has(self.companyId) || has(self.userId)",
                message="at least one of companyDomain, companyId and userId must be set: to keep to the company of "
                "the first token, remove account",
            ),
        ),
        "spec.target.type": (
            Rule(
                rule=f"!{matches(reserved.TYPE_PATTERN)}",
                message="must not be a type of Kubernetes itself, because Kubernetes fills or validates such Secrets: "
                "leave it out for Opaque, or choose a name of your own such as example.com/pipedrive",
                reason="FieldValueForbidden",
            ),
        ),
        "spec.target.labels": (_no_reserved_keys("labels"),),
        "spec.target.annotations": (_no_reserved_keys("annotations"),),
    }
)
