"""Reading the evidence from the logs."""

from dataclasses import replace

from chaos.evidence import (
    Answer,
    Evidence,
    Kind,
    Publication,
    escrow_name,
    read_companies,
    read_exchanges,
    read_listings,
    read_publications,
    read_refreshes,
    read_writes,
)
from testbed.api_audit_log import ApiRequest
from testbed.audit_log import KvAnswer
from testbed.pipedrive.faults import Endpoint, Subject
from testbed.pipedrive.ledger import Call, Outcome


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


def kinds_of(*answers: KvAnswer) -> list[Kind]:
    """Return the kinds of some writes."""
    return [write.kind for write in read_writes(answers)]


def test_a_candidate_is_stored_beside_the_grant_and_becomes_it() -> None:
    """A promotion is not the result of a refresh."""
    kinds = kinds_of(
        answer(1, by="root", refresh_token="a"),
        answer(2, refresh_token="a", refresh_id="1", refresh_consent="uid"),
        answer(3, refresh_token="a", consent_candidate="b"),
        answer(4, refresh_token="a", consent_candidate="b", refresh_id="2", refresh_consent="uid"),
        answer(5, refresh_token="a", consent_candidate="c"),
        answer(6, refresh_token="c"),
    )

    assert [Kind.CONSENT, Kind.INTENT, Kind.CANDIDATE, Kind.INTENT, Kind.CANDIDATE, Kind.PROMOTED] == kinds


def test_a_candidate_that_is_dropped_leaves_the_grant_as_it_was() -> None:
    """Its last write removes the candidate only."""
    kinds = kinds_of(
        answer(1, refresh_token="a", consent_candidate="b"),
        answer(2, refresh_token="a"),
    )

    assert [Kind.CANDIDATE, Kind.DROPPED] == kinds


def test_a_candidate_that_is_stored_under_an_intent_is_a_candidate() -> None:
    """A refresh beside it changes the refresh token, and keeps the candidate."""
    kinds = kinds_of(
        answer(1, refresh_token="a", refresh_id="1"),
        answer(2, refresh_token="a", refresh_id="1", consent_candidate="c"),
        answer(3, refresh_token="b", consent_candidate="c"),
    )

    assert [Kind.INTENT, Kind.CANDIDATE, Kind.STORED] == kinds


def test_what_is_written_beside_the_intent_of_another_holder_is_no_intent() -> None:
    """A result that is stored late, a promotion and a drop leave that intent alone; so does a mark."""

    def beside(at: float, *, by: str = "pair-0", **values: str) -> KvAnswer:
        return replace(answer(at, by=by), values={"refresh_id": "2", "refresh_consent": "uid", **values})

    writes = read_writes(
        [
            answer(1, refresh_token="a", refresh_id="1"),
            beside(2, by="pair-1", refresh_token="a"),
            beside(3, refresh_token="b"),
            beside(4, refresh_token="b", consent_candidate="c"),
            beside(5, refresh_token="c"),
            beside(6, refresh_token="c", consent_candidate="d"),
            beside(7, refresh_token="c"),
            beside(8, refresh_token="c"),
        ]
    )

    late = [Kind.STORED, Kind.CANDIDATE, Kind.PROMOTED, Kind.CANDIDATE, Kind.DROPPED, Kind.MARK]
    assert [Kind.INTENT, Kind.INTENT, *late] == [write.kind for write in writes]
    assert [False, True, *([False] * 6)] == [write.for_consent for write in writes]


def test_an_intent_that_marks_the_candidate_is_an_intent() -> None:
    """The intent of a refresh of a candidate records in it that an earlier one went unanswered."""
    kinds = kinds_of(
        answer(1, refresh_id="1", refresh_token="a"),
        answer(2, refresh_id="1", refresh_token="a", consent_candidate="b"),
        answer(3, refresh_id="2", refresh_token="a", consent_candidate="b, marked"),
    )

    assert [Kind.INTENT, Kind.CANDIDATE, Kind.INTENT] == kinds


def test_a_first_consent_begins_without_a_refresh_token() -> None:
    """Its intent creates the document."""
    writes = read_writes(
        [
            answer(1, refresh_id="1", refresh_consent="uid"),
            answer(2, consent_candidate="a"),
            answer(3, refresh_token="a"),
            answer(4, refresh_token="a", refresh_id="2"),
        ]
    )

    assert [Kind.INTENT, Kind.CANDIDATE, Kind.PROMOTED, Kind.INTENT] == [write.kind for write in writes]
    assert [True, False, False, False] == [write.for_consent for write in writes]


ANSWER = Answer(path="grant", name="acme/x", code="code", belongs=True, reported="Connected", ended=9)


def call(number: int, credential: str, digest: str, **fields: object) -> Call:
    """Call the token endpoint."""
    subject = Subject(
        endpoint=Endpoint.TOKEN,
        credential=credential,
        digest=digest,
        company_id=7,
        grant_id="grant-1" if credential == "refresh_token" else None,
    )
    return Call(number=number, subject=subject, opened=number, started_at=number, **fields)  # type: ignore[arg-type]


def test_the_ledger_shows_what_a_code_was_exchanged_for() -> None:
    """A code that is sent again is refused, and belongs to no grant; a code of somebody else is left out."""
    issued = {"issued": "first", "issued_access": "access", "issued_grant": "grant-1"}
    calls = [
        call(1, "authorization_code", "code", outcome=Outcome.ACCEPTED, **issued),
        call(2, "authorization_code", "code", outcome=Outcome.REFUSED),
        call(3, "authorization_code", "another", outcome=Outcome.ACCEPTED),
        call(4, "refresh_token", "first", outcome=Outcome.ACCEPTED, issued="second", issued_access="later"),
    ]

    exchanges = read_exchanges(calls, [ANSWER])

    assert [("grant-1", "first", True), ("", None, False)] == [
        (one.consent, one.issued, one.accepted) for one in exchanges
    ]
    assert ["first"] == [one.token for one in read_refreshes(calls, {"grant-1": "grant"})]
    assert {"access": 7, "later": 7} == read_companies(calls)


def test_each_refresh_of_a_grant_has_an_escrow_of_its_own() -> None:
    """The names begin alike."""
    names = [f"{escrow_name('grant')}-{refresh:024}" for refresh in (1, 2)] + [escrow_name("another")]
    written = tuple(
        Publication(by="pair-0", resource="secrets", namespace="pair", name=name, at=at)
        for at, name in enumerate(names)
    )

    escrowed = Evidence(publications=written).escrowed

    assert [0, 1] == [one.at for one in escrowed[escrow_name("grant")]]


def test_a_list_of_escrows_is_known_by_its_label() -> None:
    """A list of other Secrets, a failed one and a watch show nothing."""

    def asked(at: float, verb: str, label: str, status: int = 200) -> ApiRequest:
        uri = f"/api/v1/namespaces/pair/secrets?labelSelector=pipedrive-operator.io{label}&limit=500"
        return ApiRequest(verb=verb, resource="secrets", namespace="pair", name="", uri=uri, status=status, at=at)

    requests = {
        "pair-1": [asked(3, "list", "/escrow"), asked(4, "list", "/credential")],
        "pair-0": [asked(1, "list", "%2Fescrow"), asked(2, "watch", "/escrow"), asked(5, "list", "/escrow", 500)],
    }

    assert [("pair-0", "pair", 1), ("pair-1", "pair", 3)] == [
        (one.by, one.namespace, one.at) for one in read_listings(requests)
    ]


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
