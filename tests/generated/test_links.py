"""Links between the pages, and to files of the repository, lead somewhere."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    page
    for folder in (".", "docs", "docs/runbooks", "crds", "charts/pipedrive-operator")
    for page in (ROOT / folder).glob("*.md")
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """To a file that is there, and to a heading in it."""
    targets = re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text())

    dead = [target for target in targets if not is_there(page, target)]

    assert [] == dead


def is_there(page: Path, target: str) -> bool:
    """Tell whether a link's file has its heading."""
    name, _, heading = target.partition("#")
    file = (page.parent / name).resolve() if name else page
    if not file.exists() or not heading:
        return file.exists()
    headings = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
    return heading in {re.sub(r"[^a-z0-9 _-]", "", one.lower()).replace(" ", "-") for one in headings}
