"""Checks that the generated files are up to date, or rewrites them with `--write`."""

import sys

import click

from generated import (
    api_page,
    chart_consent_crd,
    chart_crd,
    chart_readme,
    chart_schema,
    cli_image,
    cli_page,
    configuration_page,
    consent_api_page,
    consent_crd_file,
    crd_file,
    metrics_page,
    readme_page,
    reasons_page,
)

PAGES = (
    crd_file,
    consent_crd_file,
    api_page,
    consent_api_page,
    configuration_page,
    reasons_page,
    metrics_page,
    cli_page,
    *cli_image.PICTURES,
    readme_page,
    chart_crd,
    chart_consent_crd,
    chart_schema,
    chart_readme,
)


@click.command()
@click.option("--write", is_flag=True, help="Rewrite the files that are out of date. Without it, only list them.")
def main(*, write: bool) -> None:
    """Check the generated files, and rewrite them if asked to. Exit with 1 if any is out of date."""
    stale = [page for page in PAGES if not page.PATH.exists() or page.PATH.read_text() != page.text()]
    for page in stale:
        if write:
            page.PATH.write_text(page.text())
        click.echo(f"{page.PATH} {'written' if write else 'is out of date'}")
    sys.exit(1 if stale and not write else 0)


if __name__ == "__main__":
    main()
