"""Loads the settings: the YAML file first, then environment variables, which take precedence."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipedrive_operator.config.environment import Variable, read_variables
from pipedrive_operator.config.errors import Location, SettingsError, explain
from pipedrive_operator.config.settings import Settings
from pipedrive_operator.config.yaml_file import read_settings_file


def load_settings(config: Path | None) -> Settings:
    """Read the settings from the environment and, if one is given, a YAML file.

    Raises:
        SettingsError: a setting is unknown or wrong, or the file cannot be read.
    """
    tree = {} if config is None else read_settings_file(config)
    variables = read_variables()
    for variable in variables:
        tree = _merged(tree, variable.tree)
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        lines = (f"{_origin(detail['loc'], variables, config)}: {explain(detail)}" for detail in error.errors())
        raise SettingsError("\n".join(lines)) from None


def _merged(base: Mapping[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
    """Merge two trees of settings; values of the second replace those of the first."""
    merged = dict(base)
    for key, value in override.items():
        current = merged.get(key)
        both = isinstance(current, Mapping) and isinstance(value, Mapping)
        merged[key] = _merged(current, value) if both else value  # type: ignore[arg-type]  # both are mappings then
    return merged


def _origin(location: Location, variables: Sequence[Variable], config: Path | None) -> str:
    """Return where a wrong setting comes from: a variable, the file, or the variables together."""
    names = (variable.name for variable in variables if location[: len(variable.location)] == variable.location)
    return next(names, str(config or "environment variables"))
