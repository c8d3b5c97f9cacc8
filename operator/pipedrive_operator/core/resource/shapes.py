"""The types of strings in the resource: each has one pattern for operator and API server, and a sentence for people.

The patterns are RE2, which pydantic and the API server interpret alike: no look-around, and `$` is the very end.
"""

from datetime import datetime, timedelta
from typing import Annotated, Final

from pydantic import BeforeValidator, ConfigDict, Field, GetPydanticSchema, PlainSerializer, WithJsonSchema
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo
from pydantic_core import core_schema

from pipedrive_operator.core.values.secret_value import SecretValue
from pipedrive_operator.core.values.times import DURATION, format_duration, format_time, parse_duration

_LABEL: Final = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN: Final = rf"{_LABEL}([.]{_LABEL})*"
_VAULT_SEGMENT: Final = r"[.]{0,2}[A-Za-z0-9_@=+-][A-Za-z0-9_.@=+-]*"

CONFIG: Final = ConfigDict(
    alias_generator=to_camel, populate_by_name=True, extra="ignore", use_attribute_docstrings=True
)
"""How each type of the resource is read and written: in camelCase, with its docstrings as descriptions."""
SENTENCE: Final = "x-sentence"
"""In the JSON schema of a type with a pattern: the sentence that people read instead of the pattern."""


def _matching(pattern: str, sentence: str, *, at_least: int | None = 1, at_most: int) -> FieldInfo:
    """Constrain a string; the API server refuses any other with the sentence."""
    field: FieldInfo = Field(
        pattern=pattern, min_length=at_least, max_length=at_most, json_schema_extra={SENTENCE: sentence}
    )
    return field


Name = Annotated[
    str,
    _matching(f"^{_LABEL}$", "must be lower-case letters, digits and inner dashes, such as crm-sync", at_most=63),
]
ObjectName = Annotated[
    str,
    _matching(f"^{_SUBDOMAIN}$", "must be a Kubernetes name: lower-case letters, digits, inner - and .", at_most=253),
]
CompanyDomain = Annotated[
    str,
    _matching(
        f"^{_LABEL}$",
        "must be the company's domain alone, in lower case: write acme, not acme.pipedrive.com",
        at_most=63,
    ),
]
VaultPath = Annotated[
    str,
    _matching(
        f"^{_VAULT_SEGMENT}(/{_VAULT_SEGMENT})*$",
        "must be a path such as pipedrive/crm/acme: letters, digits and _ . @ = + - between single slashes, "
        "with no slash at either end and no segment of dots alone",
        at_most=512,
    ),
]
DataKey = Annotated[
    str,
    _matching(
        "^[.]?[-_a-zA-Z0-9][-._a-zA-Z0-9]*$",
        "must be letters, digits, - _ and ., not begin with two dots and not be a dot alone",
        at_most=253,
    ),
]
Scope = Annotated[
    str,
    _matching(
        "^[a-z0-9-]+(:[a-z]+)?$", "must be a scope as Pipedrive writes it, such as base or deals:full", at_most=63
    ),
]
QualifiedName = Annotated[
    str,
    _matching(
        rf"^({_SUBDOMAIN}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{{0,61}}[A-Za-z0-9])?$",
        "must be a Kubernetes name, such as team or example.com/team",
        at_most=317,
    ),
]
LabelValue = Annotated[
    str,
    _matching(
        "^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$",
        "must be a Kubernetes label value: letters, digits, inner - _ and ., or empty",
        at_least=None,
        at_most=63,
    ),
]
StateDigest = Annotated[
    str, _matching("^sha256:[0-9a-f]{64}$", "must be sha256: and 64 digits in lower-case hexadecimal", at_most=71)
]
CodeDigest = Annotated[str, _matching("^[0-9a-f]{64}$", "must be 64 digits in lower-case hexadecimal", at_most=64)]
ShortText = Annotated[str, Field(min_length=1, max_length=253)]
Template = Annotated[str, Field(max_length=8192)]
AnnotationValue = Annotated[str, Field(max_length=4096)]


def _hidden(pattern: str, sentence: str, *, at_most: int) -> tuple[GetPydanticSchema, FieldInfo]:
    """Constrain a string as `_matching` does, and read it into a type that does not print."""
    text = core_schema.str_schema(pattern=pattern, min_length=1, max_length=at_most)
    read = core_schema.no_info_after_validator_function(SecretValue, text)
    return GetPydanticSchema(lambda _type, _handler: read), Field(json_schema_extra={SENTENCE: sentence})


AuthorizationCode = Annotated[
    SecretValue,
    *_hidden(
        "^[!-~]+$",
        "must be the authorization code of Pipedrive's redirect: printable ASCII without spaces",
        at_most=2048,
    ),
]
State = Annotated[
    SecretValue,
    *_hidden(
        f"^{_LABEL}:{_SUBDOMAIN}:[A-Za-z0-9_-]{{43}}$",
        "must be the state of Pipedrive's redirect: namespace, name and 43 characters, separated by colons",
        at_most=361,
    ),
]


def _duration(value: object) -> object:
    if isinstance(value, timedelta):
        return value
    found = parse_duration(value) if isinstance(value, str) else None
    if found is None:
        message = "is not a duration such as 90s, 20m or 1h30m"
        raise ValueError(message)
    return found


Duration = Annotated[
    timedelta,
    BeforeValidator(_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": DURATION, "minLength": 2, "maxLength": 18}),
]
Time = Annotated[
    datetime,
    PlainSerializer(format_time, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time", "maxLength": 64}),
]
