"""Reading the evidence from the logs."""

from chaos.evidence import Kind, read_publications, read_writes
from testbed.api_audit_log import ApiRequest
from testbed.audit_log import KvAnswer


def answer(at: float, *, by: str = "pair-0", ok: bool = True, **values: str) -> KvAnswer:
    """Answer a write to a grant."""
    return KvAnswer(at=at, operation="update", path="grant", display_name=by, ok=ok, values=values)


def test_the_content_of_a_write_shows_its_kind() -> None:
    """A refused write does not count, and only a new refresh token is a result."""
    answers = [
        answer(1, by="root", refresh_token="a"),
        answer(2, refresh_token="a", refresh_id="1"),
        answer(3, ok=False, refresh_token="b"),
        answer(4, refresh_token="a"),
        answer(5, refresh_token="a", refresh_id="2"),
        answer(6, refresh_token="b"),
    ]

    kinds = [write.kind for write in read_writes(answers)]

    assert [Kind.CONSENT, Kind.INTENT, Kind.MARK, Kind.INTENT, Kind.STORED] == kinds


def test_only_an_accepted_write_is_a_publication() -> None:
    """Publications are in chronological order over all users."""

    def asked(at: float, verb: str, status: int, resource: str = "secrets") -> ApiRequest:
        return ApiRequest(verb=verb, resource=resource, namespace="acme", name="grant", uri="", status=status, at=at)

    requests = {
        "pair-0": [asked(3, "patch", 200), asked(4, "patch", 409), asked(5, "get", 200)],
        "pair-1": [asked(1, "create", 201), asked(2, "patch", 200, "pipedrivecredentials/status")],
    }

    found = read_publications(requests)

    assert [(1, True, False), (2, False, True), (3, True, False)] == [
        (one.at, one.is_secret, one.is_status) for one in found
    ]
