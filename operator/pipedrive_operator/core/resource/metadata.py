"""The metadata of an object in Kubernetes, and maps of strings, read strictly.

The API server validates metadata, so an object that cannot be read comes from a broken proxy or a mistake in this
code. It is an unusable response, which is retried, and not a defect in the middle of a pass.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Final, TypeVar

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel

from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.values.errors import ApiServerUnavailable
from pipedrive_operator.core.values.times import parse_time

T = TypeVar("T")


def _null_is_empty(value: object) -> object:
    return () if value is None else value


def _null_is_empty_map(value: object) -> object:
    return {} if value is None else value


def _parse_time(value: object) -> object:
    return parse_time(value) if isinstance(value, str) else None


def _require_uid_and_name(owner: dict[str, Any]) -> dict[str, Any]:
    if not all(isinstance(owner.get(key), str) for key in ("uid", "name")):
        message = "must have a uid and a name"
        raise ValueError(message)
    return {sys.intern(key): sys.intern(value) if type(value) is str else value for key, value in owner.items()}


Interned = Annotated[str, AfterValidator(sys.intern)]
"""A string that many objects have, of which one copy is kept: this halves the memory of a Secret in the cache."""
ResourceVersion = Annotated[str, Field(pattern="^[0-9]{1,20}$")]
"""Compared as a number (https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions)."""
StringMap = Annotated[dict[Interned, str], BeforeValidator(_null_is_empty_map)]
InternedMap = Annotated[dict[Interned, Interned], BeforeValidator(_null_is_empty_map)]
OwnerReference = Annotated[dict[str, Any], AfterValidator(_require_uid_and_name)]
"""Kept as it is, because a patch has to write back the references to other owners."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """What the operator reads of `ObjectMeta`."""

    __pydantic_config__ = ConfigDict(alias_generator=to_camel, extra="ignore")
    namespace: Interned
    name: Interned
    uid: Interned
    resource_version: ResourceVersion
    generation: int = 0
    creation_timestamp: Annotated[datetime | None, BeforeValidator(_parse_time)] = None
    deletion_timestamp: str | None = None
    labels: InternedMap = field(default_factory=dict)
    annotations: InternedMap = field(default_factory=dict)
    owner_references: Annotated[tuple[OwnerReference, ...], BeforeValidator(_null_is_empty)] = ()
    managed_fields: Annotated[tuple[dict[str, Any], ...], BeforeValidator(_null_is_empty)] = ()

    @property
    def key(self) -> Key:
        """The namespace and name."""
        return Key(namespace=self.namespace, name=self.name)

    @property
    def being_deleted(self) -> bool:
        """Whether the object is being deleted."""
        return self.deletion_timestamp is not None


_METADATA: Final = TypeAdapter(Metadata)
_STRING_MAP: Final = TypeAdapter(StringMap)


def read_key(body: Mapping[str, Any]) -> Key:
    """Return the namespace and name of an object without reading the rest of it. Raises ApiServerUnavailable."""
    match body:
        case {"metadata": {"namespace": str(namespace), "name": str(name)}}:
            return Key(namespace=namespace, name=name)
        case _:
            raise ApiServerUnavailable("the API server returned an object without a namespace or a name")


def read_metadata(body: Mapping[str, Any]) -> Metadata:
    """Return the metadata of an object. Raises ApiServerUnavailable."""
    return _read(_METADATA, body, "metadata")


def read_strings(body: Mapping[str, Any], field_name: str) -> Mapping[str, str]:
    """Return a field of an object that maps strings to strings; empty if it is absent. Raises ApiServerUnavailable."""
    return _read(_STRING_MAP, body, field_name)


def _read(adapter: TypeAdapter[T], body: Mapping[str, Any], field_name: str) -> T:
    try:
        return adapter.validate_python(body.get(field_name))
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        path = ".".join(str(part) for part in (field_name, *first["loc"]))
        message = f"the API server returned an object that cannot be read: {path}: {first['msg']}"
        raise ApiServerUnavailable(message) from None
