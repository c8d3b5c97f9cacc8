"""Each error that the status reports has a reason of the table."""

from datetime import timedelta

import pytest

from pipedrive_operator.core.values import errors
from pipedrive_operator.core.values.conditions import EFFECTS, Reason
from pipedrive_operator.core.values.errors import (
    InvalidSpec,
    OperatorError,
    RateLimited,
    TokenResponseUnusable,
    Trouble,
)
from pipedrive_operator.core.values.secret_value import SecretValue

TROUBLES = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Trouble)]


@pytest.mark.parametrize("kind", [kind for kind in TROUBLES if kind is not Trouble], ids=lambda kind: kind.__name__)
def test_a_trouble_has_a_reason(kind: type[Trouble]) -> None:
    """Otherwise it could not be reported."""
    assert kind.reason in EFFECTS
    assert issubclass(kind, OperatorError)


def test_every_error_is_in_the_tree_of_the_docstring() -> None:
    """The module docstring shows the tree of all errors."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, OperatorError)]

    assert errors.__doc__ is not None
    assert [] == [
        kind.__name__ for kind in kinds if f" {kind.__name__} " not in f"{errors.__doc__} ".replace("\n", " ")
    ]


def test_a_trouble_keeps_its_message_and_its_pause() -> None:
    """The status shows the message; the pause delays the next attempt."""
    trouble = RateLimited("the budget is used up", retry_after=timedelta(seconds=30))

    assert ("the budget is used up", timedelta(seconds=30)) == (trouble.message, trouble.retry_after)
    assert "the budget is used up" == str(trouble)
    assert InvalidSpec("x").retry_after is None


def test_an_unusable_response_keeps_its_refresh_token_hidden() -> None:
    """It is the only copy."""
    trouble = TokenResponseUnusable("no access token", SecretValue("hush-hush"))

    assert "hush-hush" == trouble.refresh_token.reveal()
    assert Reason.PIPEDRIVE_UNAVAILABLE is trouble.reason
    assert "hush" not in f"{trouble!r} {vars(trouble)}"
