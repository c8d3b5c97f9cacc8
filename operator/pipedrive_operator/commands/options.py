"""The options that commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import click

from pipedrive_operator.config.errors import SettingsError
from pipedrive_operator.config.loading import load_settings
from pipedrive_operator.config.settings import Settings

config_option: Final[Callable[[Callable[..., None]], Callable[..., None]]] = click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The settings, a YAML file. Environment variables PIPEDRIVE_OPERATOR_SECTION__FIELD win over it.",
)


def settings_or_exit(config: Path | None) -> Settings:
    """Read the settings, or end with exit code 2 and what is wrong with them."""
    try:
        return load_settings(config)
    except SettingsError as error:
        click.echo(f"The settings cannot be used:\n{error}\nAll settings: docs/configuration.md", err=True)
        raise SystemExit(2) from None
