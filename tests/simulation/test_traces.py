"""Which lines have gone from Vault, and which of their tokens have returned."""

import pytest

from simulation.traces import Traces

SPENT, NEWER, OTHER = "line-1: spent", "line-1: newer", "line-2: token"


def _line(token: str | None) -> str | None:
    return token.partition(":")[0] if token is not None else None


def _no_ancestors(_: str) -> set[str]:
    return set()


def _seen(*versions: tuple[set[str], bool]) -> Traces:
    """Let Vault hold the tokens of each version, one after the other."""
    traces, before = Traces(), set[str]()
    for after, is_meant in versions:
        traces.see(before, after, _line, ancestors=_no_ancestors, is_meant=is_meant)
        before = after
    return traces


@pytest.mark.parametrize("is_meant", [True, False])
def test_a_line_has_gone_if_a_person_or_a_consent_has_removed_it(*, is_meant: bool) -> None:
    """If the operator itself writes over it, it knows what it did."""
    traces = _seen(({NEWER}, False), ({OTHER}, is_meant))

    assert traces.explain(SPENT, "line-1") is is_meant


def test_a_token_of_such_a_line_may_return() -> None:
    """Nothing else in Vault shows that it is spent."""
    traces = _seen(({NEWER}, False), ({OTHER}, True), ({OTHER, SPENT}, False), ({SPENT}, False))

    assert traces.explain(SPENT, "line-1")


@pytest.mark.parametrize("held", [{NEWER}, {SPENT, NEWER}])
def test_a_returned_token_is_spent_once_vault_holds_something_else_of_its_line(held: set[str]) -> None:
    """Its process has to know that, even after Vault holds the token again."""
    traces = _seen(({NEWER}, False), ({OTHER}, True), ({SPENT}, False), (held, False), ({SPENT}, False))

    assert not traces.explain(SPENT, "line-1")


@pytest.mark.parametrize("is_ancestor", [True, False])
def test_a_returned_token_is_not_spent_because_a_mark_names_the_one_that_it_was_refreshed_from(
    *, is_ancestor: bool
) -> None:
    """A candidate that is set aside once more leaves such a mark."""
    traces = _seen(({NEWER}, False), ({OTHER}, True), ({OTHER, SPENT}, False))
    marked, ancestors = "line-1: marked", {"line-1: marked"} if is_ancestor else set()

    traces.see({OTHER, SPENT}, {OTHER, marked}, _line, ancestors=lambda _: ancestors, is_meant=False)

    assert traces.explain(SPENT, "line-1") is is_ancestor


def test_a_line_that_was_put_back_goes_once_more_when_the_operator_replaces_it() -> None:
    """It was refused. Another cluster sees nothing of it in Vault any more, and has an older copy."""
    traces = _seen(({NEWER}, False), ({OTHER}, True), ({NEWER}, False), ({OTHER}, False))
    assert traces.explain(SPENT, "line-1")

    went_on = _seen(({SPENT}, False), ({OTHER}, True), ({SPENT}, False), ({NEWER}, False), ({OTHER}, False))
    assert not went_on.explain(SPENT, "line-1")


@pytest.mark.parametrize("refused", [NEWER, OTHER])
def test_a_line_has_gone_if_an_old_copy_has_replaced_its_refused_grant(refused: str) -> None:
    """Nothing in Vault shows another cluster that its own copy of that line was spent."""
    traces = _seen(({NEWER}, False))
    traces.see({NEWER}, {OTHER}, _line, ancestors=_no_ancestors, is_meant=False, refused=refused)

    assert traces.explain(SPENT, "line-1") is (refused == NEWER)


def test_the_promotion_of_a_candidate_removes_only_the_line_that_it_replaces() -> None:
    """Its own line stays in Vault."""
    traces = _seen(({OTHER, NEWER}, False), ({NEWER}, True))

    assert traces.explain(OTHER, "line-2")
    assert not traces.explain(NEWER, "line-1")


def test_a_candidate_that_replaces_its_own_descendant_is_no_token_that_returns() -> None:
    """Vault has held something of its line all the time."""
    traces = _seen(({OTHER, NEWER}, False), ({OTHER, SPENT}, False))

    assert not traces.explain(SPENT, "line-1")
