"""Links between the pages, and from pages to files of the repository, have a target."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    page
    for folder in (".", "docs", "docs/decisions", "docs/runbooks", "crds", "tests", "charts/pipedrive-operator")
    for page in (ROOT / folder).glob("*.md")
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_has_a_target(page: Path) -> None:
    """The file exists, and so does the heading in it."""
    targets = re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text())

    broken = [target for target in targets if not target_exists(page, target)]

    assert [] == broken


def target_exists(page: Path, target: str) -> bool:
    """Return whether a link's file exists and has its heading."""
    name, _, heading = target.partition("#")
    file = (page.parent / name).resolve() if name else page
    if not file.exists() or not heading:
        return file.exists()
    headings = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
    return heading in {re.sub(r"[^a-z0-9 _-]", "", one.lower()).replace(" ", "-") for one in headings}
