"""The judge of writes without a cause knows which attempts led to a request."""

import asyncio

import pytest

from fakes.pipedrive import Send
from simulation.history import History
from simulation.promises import Promises

CALM = 100.0
END = 1000.0
SENT = 500.0


@pytest.mark.parametrize(
    ("intents", "sends", "broken_at"),
    [
        pytest.param([495.0], [SENT], None, id="an intent before its request"),
        pytest.param([450.0, 472.0, 494.0], [SENT], None, id="two intents that a slow Vault had withdrawn"),
        pytest.param([410.0, 440.0, 470.0, 494.0], [SENT], None, id="three that were withdrawn in 90 s"),
        pytest.param([300.0, 340.0, 380.0, 420.0, 460.0, 494.0], [SENT], 300.0, id="attempts for minutes"),
        pytest.param([400.0, 494.0], [SENT], 400.0, id="an intent long before the attempts"),
        pytest.param([450.0, 472.0, 494.0], [], 450.0, id="attempts that led to no request"),
    ],
)
def test_an_intent_belongs_to_a_request_that_follows_soon(
    intents: list[float], sends: list[float], broken_at: float | None
) -> None:
    """Attempts that a slow Vault ended have a cause; those of an operator that never sends have none."""
    wrong = asyncio.run(_judged(intents, sends))

    assert wrong == (None if broken_at is None else f"(d) nothing changed, but at {broken_at:.3f} a1 wrote the intent")


async def _judged(intents: list[float], sends: list[float]) -> str | None:
    loop = asyncio.get_running_loop()
    promises = Promises(History())
    promises.intents = intents
    promises.writes = [(moment, "a1 wrote the intent") for moment in intents]
    promises.sends = [Send("refresh-1", began=moment) for moment in sends]
    loop.time = lambda: END  # type: ignore[method-assign]
    return promises.wrote_for_nothing(CALM)
