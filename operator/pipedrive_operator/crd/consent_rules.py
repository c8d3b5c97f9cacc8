"""The validation rules of PipedriveConsent in CEL, each with the message that people see when it fails.

What a consent asks for must not change after it was created: the person has read it on the page before accepting.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from pipedrive_operator.core.resource.consent import DEFAULT_LIFETIME, LONGEST_LIFETIME, SHORTEST_LIFETIME
from pipedrive_operator.core.values.times import DURATION, format_duration
from pipedrive_operator.crd.cel import ROOT, Rule, matches

_DEFAULT, _SHORTEST, _LONGEST = (
    format_duration(value) for value in (DEFAULT_LIFETIME, SHORTEST_LIFETIME, LONGEST_LIFETIME)
)


def _is_fixed(field: str, default: str | None = None) -> Rule:
    """Return the rule that a field of the spec keeps its value; leaving it out and its default are the same."""
    now, before = (_value(root, field, default) for root in ("self", "oldSelf"))
    return Rule(
        rule=f"{now} == {before}",
        message=f"{field} cannot change: delete this consent and create another",
        field_path=f".{field}",
        reason="FieldValueForbidden",
    )


def _value(root: str, field: str, default: str | None) -> str:
    return f"{root}.{field}" if default is None else f"(has({root}.{field}) ? {root}.{field} : {default})"


CONSENT_RULES: Final[Mapping[str, Sequence[Rule]]] = MappingProxyType(
    {
        ROOT: (
            Rule(
                rule="size(self.metadata.name) <= 63",
                message="metadata.name must have at most 63 characters, because it becomes part of a cookie's name: "
                "choose a shorter name",
            ),
        ),
        "spec": (
            _is_fixed("credential"),
            _is_fixed("stateDigest"),
            _is_fixed("lifetime", f"'{_DEFAULT}'"),
            _is_fixed("allowAccountChange", "false"),
        ),
        "spec.lifetime": (
            Rule(
                rule=f"size(self) >= 2 && {matches(DURATION)} && duration(self) >= duration('{_SHORTEST}') "
                f"&& duration(self) <= duration('{_LONGEST}')",
                message=f"must be a duration between {_SHORTEST} and {_LONGEST}, such as {_DEFAULT}",
            ),
        ),
    }
)
