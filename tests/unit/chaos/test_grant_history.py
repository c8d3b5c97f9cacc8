"""The history of a grant lists all that happened to it, in order."""

from dataclasses import replace

from chaos.evidence import Answer, Death, Evidence, Exchange, Kind, Publication, Trouble, Write, escrow_name
from chaos.grant_history import histories
from support.chaos_evidence import PATH, REFRESH

SPENT = replace(REFRESH, token="0123456789", issued="abcdefghij", answered=100.5, delivered=False)
ANSWER = Answer(path=PATH, name="acme/x", code="code", belongs=True, reported="Uncertain", ended=104.0)
EXCHANGE = Exchange(
    path=PATH,
    consent="",
    token="code",
    issued=None,
    accepted=False,
    taken=103.0,
    answered=None,
    delivered=False,
    answer=ANSWER,
)
ESCROW = f"{escrow_name(PATH)}-7"
EVIDENCE = Evidence(
    refreshes=(SPENT,),
    exchanges=(EXCHANGE,),
    answers=(ANSWER,),
    writes=(
        Write(path=PATH, by="pair-0", at=99.9, kind=Kind.INTENT, tokens={"refresh_token": "hmac-sha256:fedcba9876"}),
        Write(path="another", by="pair-0", at=99.9, kind=Kind.INTENT),
    ),
    publications=(
        Publication(by="pair-0", resource="secrets", namespace="acme", name=ESCROW, at=101.0),
        Publication(by="pair-1", resource="secrets", namespace="acme", name="target", at=102.0),
    ),
)


def test_a_history_lists_requests_writes_and_faults_in_the_order_of_time() -> None:
    """It leaves out what happened to other grants."""
    found = histories(
        EVIDENCE,
        {PATH: ("acme", "target")},
        deaths=[Death(replica="pair-0", at=101.5, gone_at=101.6)],
        troubles=[Trouble(what="vault", began=98.0, ended=105.0)],
    )

    assert found == {
        PATH: [
            "00:01:38.000 fault begins: vault of all",
            "00:01:39.900 pair-0 wrote intent, refresh_token fedcba98",
            "00:01:40.000 refresh 01234567 of grant-1 arrived, by pair-0",
            "00:01:40.500 refresh 01234567 of grant-1 issued abcdefgh, not delivered",
            f"00:01:41.000 pair-0 wrote escrow {ESCROW}",
            "00:01:41.500 pair-0 was killed",
            "00:01:42.000 pair-1 wrote secrets acme/target",
            "00:01:43.000 exchange code of no consent arrived, by pair-0, of a candidate",
            "00:01:44.000 consent acme/x was seen to end as Uncertain",
            "00:01:45.000 fault ends: vault of all",
        ]
    }
