"""Reads the environment variables that are settings. Nothing else in the operator reads its environment.

A variable is named for the path of its setting: `controller.pollInterval` is
PIPEDRIVE_OPERATOR_CONTROLLER__POLL_INTERVAL.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic.alias_generators import to_camel

from pipedrive_operator.config.errors import SettingsError
from pipedrive_operator.config.settings import Settings

ENVIRONMENT_PREFIX: Final = "PIPEDRIVE_OPERATOR_"
_SEPARATOR: Final = "__"
_SERVICE_LINK: Final = re.compile(r"(SERVICE_HOST|SERVICE_PORT\w*|PORT(_\d+_\w+)?)$")
"""Variables that the kubelet sets for a Service named pipedrive-operator; see a pod's enableServiceLinks."""


@dataclass(frozen=True, slots=True)
class Variable:
    """An environment variable that is a setting."""

    name: str
    location: tuple[str, ...]
    """Where its setting is, as in the file."""
    tree: Mapping[str, Any]
    """The settings that consist of this one alone."""


def read_variables() -> list[Variable]:
    """Return the variables of this process that are settings.

    Raises:
        SettingsError: a variable names no section, or has a value that must be JSON and is not.
    """
    return [_variable(name, value) for name, value in os.environ.items() if _is_setting(name)]


def _is_setting(name: str) -> bool:
    path = name.removeprefix(ENVIRONMENT_PREFIX)
    return path != name and not _SERVICE_LINK.fullmatch(path)


def _variable(name: str, value: str) -> Variable:
    parts = name.removeprefix(ENVIRONMENT_PREFIX).lower().split(_SEPARATOR)
    if parts[0] not in Settings.model_fields:
        known = ", ".join(f"{ENVIRONMENT_PREFIX}{section.upper()}{_SEPARATOR}..." for section in Settings.model_fields)
        message = f"{name}: no such setting; the variables are {known}"
        raise SettingsError(message)
    return Variable(name=name, location=tuple(map(to_camel, parts)), tree=_camel(_parsed(name, value)))


def _parsed(name: str, value: str) -> dict[str, Any]:
    # Large, and needed only if a variable is set.
    from pydantic_settings import EnvSettingsSource  # noqa: PLC0415
    from pydantic_settings import SettingsError as NotJsonError  # noqa: PLC0415

    source = EnvSettingsSource(
        Settings,  # type: ignore[arg-type]  # declared as BaseSettings, but the source reads only the fields
        env_prefix=ENVIRONMENT_PREFIX,
        env_nested_delimiter=_SEPARATOR,
    )
    source.env_vars = {name.lower(): value}  # one at a time: the library does not say which one is wrong
    try:
        return source()
    except NotJsonError as error:
        message = f'{name}: must be JSON, such as ["a", "b"] for a list'
        raise SettingsError(message) from error


def _camel(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tree with its names in camelCase, as in the file."""
    return {to_camel(key): _camel(value) if isinstance(value, Mapping) else value for key, value in tree.items()}
