"""The CRD file is up to date."""

from generated import crd_file


def test_the_crd_file_is_up_to_date() -> None:
    """Run `python -m generated --write` if this fails."""
    assert crd_file.PATH.read_text() == crd_file.text()
