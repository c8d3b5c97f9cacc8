"""The canonical CRD is the one that the code generates."""

from generated import crd_file


def test_the_crd_file_is_what_the_models_say() -> None:
    """`python -m generated --write` mends it."""
    assert crd_file.PATH.read_text() == crd_file.text()
