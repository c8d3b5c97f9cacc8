"""Which failures together concern a server, and when a failure counts again."""

import pytest

from pipedrive_operator.adapters.vault.http.suspicion import SILENCE, SUSPECT_PATHS, Access, Suspicion

NOW = 1000.0
"""In seconds, on a monotonic clock."""


def access(number: int) -> Access:
    """Return the read of a document; neighbours are in different namespaces."""
    return Access(namespace=f"tenant-{number % 2}", caller="", method="GET", path=f"/v1/secret/data/{number}")


@pytest.fixture
def suspicion() -> Suspicion:
    """Return what is known after both namespaces have used the server."""
    made = Suspicion()
    for number in range(2):
        made.note_use(access(number).namespace)
    return made


def concern_server(suspicion: Suspicion, *failing: Access, now: float = NOW) -> bool:
    """Note failures, and return whether the last one shows that the server is at fault."""
    return [suspicion.note_failure(each, now) for each in failing][-1]


def test_what_keeps_failing_counts_once(suspicion: Suspicion) -> None:
    """Bad documents of several namespaces accuse the server once, and not after each request that succeeds."""
    failing = [access(number) for number in range(SUSPECT_PATHS)]
    assert concern_server(suspicion, *failing)

    for _ in range(10):
        suspicion.note_success(access(100), NOW)
        assert not concern_server(suspicion, *failing)


def test_what_has_succeeded_since_counts_again(suspicion: Suspicion) -> None:
    """A second outage is noticed as soon as the first."""
    failing = [access(number) for number in range(SUSPECT_PATHS)]
    assert concern_server(suspicion, *failing)
    for each in failing:
        suspicion.note_success(each, NOW)

    assert concern_server(suspicion, *failing)


@pytest.mark.parametrize("other", [{"namespace": "tenant-9"}, {"caller": "denied"}, {"method": "POST"}])
def test_a_success_at_the_path_of_a_bad_document_lets_no_other_failure_count(
    suspicion: Suspicion, other: dict[str, str]
) -> None:
    """Otherwise a tenant could read what Vault cannot write, or be refused with another identity, and count again."""
    failing = [access(number) for number in range(SUSPECT_PATHS)]
    assert concern_server(suspicion, *failing)
    for each in failing:
        suspicion.note_success(each._replace(**other), NOW)

    assert not concern_server(suspicion, *failing)


def test_a_path_counts_for_each_namespace_that_uses_it(suspicion: Suspicion) -> None:
    """One namespace may fail first at all the paths that are shared."""
    failing = [access(0)._replace(path=str(number)) for number in range(SUSPECT_PATHS)]
    assert not concern_server(suspicion, *failing)

    assert concern_server(suspicion, failing[0]._replace(namespace="tenant-1"))


def test_a_document_keeps_failing_when_another_has_succeeded_since(suspicion: Suspicion) -> None:
    """In an outage nothing succeeds, so that what began to fail in it may be good."""
    suspicion.note_failure(access(0), NOW)
    assert not suspicion.keeps_failing(access(0))

    suspicion.note_success(access(100), NOW)
    suspicion.note_failure(access(0), NOW)
    suspicion.note_failure(access(1), NOW)

    assert suspicion.keeps_failing(access(0))
    assert not suspicion.keeps_failing(access(1))


def test_the_memory_of_what_has_counted_is_bounded(suspicion: Suspicion, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest is forgotten, and counts again."""
    monkeypatch.setattr("pipedrive_operator.adapters.vault.http.suspicion.MOST_COUNTED", 2)
    concern_server(suspicion, *(access(number) for number in range(3)))

    assert [False, True, True] == [suspicion.has_counted(access(number)) for number in range(3)]


@pytest.mark.parametrize(("silence", "concerns"), [(SILENCE - 1, False), (SILENCE, True)])
def test_what_keeps_failing_counts_again_after_nothing_has_succeeded_for_a_while(
    suspicion: Suspicion, silence: float, *, concerns: bool
) -> None:
    """A success in the middle of an outage must not hide the rest of it."""
    failing = [access(number) for number in range(SUSPECT_PATHS)]
    assert concern_server(suspicion, *failing)
    suspicion.note_success(access(100), NOW)

    assert concern_server(suspicion, *failing, now=NOW + silence) is concerns
