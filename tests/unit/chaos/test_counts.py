"""Counting the requests of a fleet, and the seconds with expired tokens."""

import pytest

from chaos import counts
from chaos.counts import Place, Value
from chaos.evidence import Evidence, Kind, Publication, Read, Refresh, Trouble, Write

PLACE = Place(path="grant", client_path="client", target=("fleet", "acme"))


def write(at: float, kind: Kind) -> Write:
    """Write to the grant."""
    return Write(path="grant", by="fleet-0", at=at, kind=kind)


def written(at: float, resource: str = "secrets") -> Publication:
    """Write to the API server."""
    return Publication(by="fleet-0", resource=resource, namespace="fleet", name="acme", at=at)


def test_a_cycle_contains_the_requests_between_two_stored_refreshes() -> None:
    """The write that ends the cycle belongs to it; the one that begins it does not."""
    evidence = Evidence(
        refreshes=tuple(
            Refresh(
                path="grant",
                consent="1",
                token=f"{at}",
                issued="x",
                accepted=True,
                taken=at,
                answered=at,
                delivered=True,
            )
            for at in (9.5, 39.5)
        ),
        writes=(write(9, Kind.INTENT), write(10, Kind.STORED), write(39, Kind.INTENT), write(40, Kind.STORED)),
        reads=tuple(Read(path=path, by="fleet-0", at=at) for at in (8, 38) for path in ("grant", "client")),
        publications=(written(11), written(12, "pipedrivecredentials/status"), written(41)),
    )

    (cycle,) = counts.cycles(evidence, [PLACE], [], slack=0)

    expected = {"refreshes": 1, "vault_writes": 2, "vault_reads": 2, "secret_writes": 1, "status_writes": 1}
    assert expected == counts.worst([cycle])
    assert (30, True) == (cycle.seconds, cycle.calm)
    (hindered,) = counts.cycles(evidence, [PLACE], [Trouble(what="vault", began=15, ended=20)], slack=0)
    assert not hindered.calm


@pytest.mark.parametrize(
    ("values", "end", "expected"),
    [
        ([(0, 60), (30, 90)], 80, 0),
        ([(0, 60), (65, 125)], 80, 5),
        ([(0, 60)], 80, 20),
        ([(0, 60), (65, 62)], 70, 5 + 5),
        ([], 80, 0),
    ],
)
def test_a_secret_counts_the_seconds_after_expiry_until_its_replacement(
    values: list[tuple[float, float]], end: float, expected: float
) -> None:
    """A value that is never replaced counts until the end of the run."""
    held = [Value(seen_at=seen_at, expires_at=expires_at) for seen_at, expires_at in values]
    assert expected == counts.expired_seconds(held, end=end)
