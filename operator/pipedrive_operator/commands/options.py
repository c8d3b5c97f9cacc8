"""Options that several commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import click

from pipedrive_operator.config.errors import SettingsError
from pipedrive_operator.config.loading import load_settings
from pipedrive_operator.config.settings import Settings

config_option: Final[Callable[[Callable[..., None]], Callable[..., None]]] = click.option(
    "--config",
    type=click.Path(path_type=Path, readable=False),
    help="YAML file with the settings. Environment variables PIPEDRIVE_OPERATOR_SECTION__FIELD take precedence.",
)


def settings_or_exit(config: Path | None) -> Settings:
    """Load the settings. If they cannot be used, print why and exit with code 2."""
    try:
        return load_settings(config)
    except SettingsError as error:
        click.echo(
            f"The settings cannot be used:\n{error}\nAll settings are described in docs/configuration.md.", err=True
        )
        raise SystemExit(2) from None
