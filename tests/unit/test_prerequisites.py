"""What a machine lacks is named with its remedy, before anything is set up."""

import pytest

import prerequisites


@pytest.mark.parametrize(
    "said", ["go version go1.26.0 linux/amd64", "go version go1.30rc1 linux/amd64", "go version devel go1.27-1c"]
)
def test_go_from_1_26_on_is_enough(said: str) -> None:
    """A later one is too."""
    assert prerequisites.go_problem(said) is None


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        (None, "Go is missing"),
        ("go version go1.25.9 linux/amd64", "go1.25.9"),
        ("go: download go1.26: toolchain not available", "toolchain not available"),
        ("gccgo", "gccgo"),
    ],
)
def test_another_go_is_refused_with_the_remedy(said: str | None, problem: str) -> None:
    """Both what was found and what to do are named."""
    answer = prerequisites.go_problem(said)

    assert answer is not None
    assert problem in answer
    assert "install" in answer


def test_a_missing_part_of_python_is_named_with_its_package() -> None:
    """Debian and its derivatives package venv separately."""
    assert "-venv" in prerequisites.module_problem("ensurepip")


def test_this_machine_meets_the_prerequisites() -> None:
    """Otherwise it could not run these tests."""
    assert [] == prerequisites.missing()
