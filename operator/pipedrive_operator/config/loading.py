"""Loads the settings: the YAML file first, then environment variables, which take precedence.

An environment variable is named for the path of its setting: `controller.pollInterval` is
PIPEDRIVE_OPERATOR_CONTROLLER__POLL_INTERVAL. Nothing else in the operator reads its environment.
"""

import difflib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails
from pydantic_settings import EnvSettingsSource, YamlConfigSettingsSource

from pipedrive_operator.config.settings import Settings

ENVIRONMENT_PREFIX: Final = "PIPEDRIVE_OPERATOR_"
_SERVICE_LINK: Final = re.compile(r"(SERVICE_HOST|SERVICE_PORT\w*|PORT(_\d+_\w+)?)$")
"""Variables that the kubelet sets for a Service named pipedrive-operator; see a pod's enableServiceLinks."""


class SettingsError(Exception):
    """The settings cannot be used. The message names each setting that is wrong, and what it must be."""


def load_settings(config: Path | None) -> Settings:
    """Read the settings from the environment and, if one is given, a YAML file.

    Raises:
        SettingsError: a setting is unknown or wrong; the message names all of them.
    """
    environment = EnvSettingsSource(Settings, env_prefix=ENVIRONMENT_PREFIX, env_nested_delimiter="__")
    try:
        tree = _merged(_file(config), _camel(environment()))
        settings = Settings.model_validate(tree)
    except ValidationError as error:
        raise SettingsError("\n".join(_explained(detail) for detail in error.errors())) from None
    unknown = sorted(_unknown_variables(os.environ))
    if unknown:
        known = ", ".join(f"{ENVIRONMENT_PREFIX}{section.upper()}__..." for section in Settings.model_fields)
        message = f"{', '.join(unknown)}: no such setting; the variables are {known}"
        raise SettingsError(message)
    return settings


def _file(config: Path | None) -> dict[str, Any]:
    if config is None:
        return {}
    try:
        config.open().close()  # the source ignores a file that does not exist
        found = YamlConfigSettingsSource(Settings, yaml_file=config)()
    except FileNotFoundError:
        message = f"{config} does not exist: name another file with --config"
        raise SettingsError(message) from None
    except (OSError, yaml.YAMLError, ValueError, TypeError) as error:
        message = f"{config} cannot be read as YAML: {error}"
        raise SettingsError(message) from error
    return found


def _merged(base: Mapping[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
    """Merge two trees of settings; values of the second replace those of the first."""
    merged = dict(base)
    for key, value in override.items():
        current = merged.get(key)
        both = isinstance(current, Mapping) and isinstance(value, Mapping)
        merged[key] = _merged(current, value) if both else value  # type: ignore[arg-type]  # both are mappings then
    return merged


def _camel(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tree with the names of environment variables in camelCase, as in the file."""
    return {to_camel(key): _camel(value) if isinstance(value, Mapping) else value for key, value in tree.items()}


def _unknown_variables(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield the operator's variables whose section does not exist; validation finds unknown fields of a section."""
    for name in environment:
        rest = name.removeprefix(ENVIRONMENT_PREFIX)
        if (
            rest != name
            and not _SERVICE_LINK.fullmatch(rest)
            and rest.split("__")[0].lower() not in Settings.model_fields
        ):
            yield name


def _explained(detail: ErrorDetails) -> str:
    path = ".".join(str(part) for part in detail["loc"])
    if detail["type"] != "extra_forbidden":
        sentence = detail["msg"].removeprefix("Value error, ")
        return f"{path}: {sentence}" if path else sentence
    wrong = str(detail["loc"][-1])
    near = difflib.get_close_matches(wrong, _names_beside(detail["loc"]), n=1)
    return f"{path}: no such setting" + (f"; did you mean {near[0]}?" if near else "")


def _names_beside(location: tuple[int | str, ...]) -> list[str]:
    """Return the valid names at the location of an unknown name, found by descending the schema."""
    fields = Settings.model_json_schema(by_alias=True)
    node: dict[str, Any] = fields
    for part in location[:-1]:
        entries = [node.get("additionalProperties"), *node.get("patternProperties", {}).values()]
        inner: dict[str, Any] = node.get("properties", {}).get(part) or next((one for one in entries if one), {})
        reference = inner.get("$ref")
        node = fields["$defs"][reference.rsplit("/", 1)[-1]] if reference else inner
    return list(node.get("properties", {}))
