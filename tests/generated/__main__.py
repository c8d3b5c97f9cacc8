"""Brings the generated files in step with the code (`--write`), or names those that are not."""

import sys

import click

from generated import (
    api_page,
    chart_crd,
    chart_readme,
    chart_schema,
    configuration_page,
    crd_file,
    metrics_page,
    readme_page,
    reasons_page,
)

PAGES = (
    crd_file,
    api_page,
    configuration_page,
    reasons_page,
    metrics_page,
    readme_page,
    chart_crd,
    chart_schema,
    chart_readme,
)


@click.command()
@click.option("--write", is_flag=True, help="Write the files; without it, only check them.")
def main(*, write: bool) -> None:
    """Check the generated files, and write them if asked."""
    stale = [page for page in PAGES if not page.PATH.exists() or page.PATH.read_text() != page.text()]
    for page in stale:
        if write:
            page.PATH.write_text(page.text())
        click.echo(f"{page.PATH} {'written' if write else 'is not in step with the code'}")
    sys.exit(1 if stale and not write else 0)


if __name__ == "__main__":
    main()
