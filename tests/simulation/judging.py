"""Runs a judge on events that a test makes up, and the parts of such events."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

from fakes.pipedrive import Send
from pipedrive_operator.core.grant.grant import Grant
from pipedrive_operator.core.grant.terms import Terms
from pipedrive_operator.core.values.secret_value import SecretValue
from simulation.history import History
from simulation.promises import Promises

END = 1000.0
"""When the events happen, unless a test passes time."""
DUE = timedelta(seconds=160)
TERMS = Terms(consent="uid", consent_generation=2, expected=None, over=None)
CANDIDATE_2, CANDIDATE_3 = (Grant(refresh_token=SecretValue(f"refresh-{n}"), terms=TERMS) for n in (2, 3))


class Clock:
    """The time of the events."""

    now: float = END

    def pass_time(self, seconds: float) -> None:
        """Let seconds pass."""
        self.now += seconds


def judged(judge: Callable[[Promises], str | None], clock: Clock | None = None) -> str | None:
    """Return what a judge finds."""
    clock = clock or Clock()

    async def judged() -> str | None:
        asyncio.get_running_loop().time = lambda: clock.now  # type: ignore[method-assign]
        return judge(Promises(History()))

    return asyncio.run(judged())


def spent(token: str, successor: str) -> Send:
    """Return a refresh that was answered."""
    return Send(token, 20, by="a1", ended=21, successor=successor)


def exchanged(code: str, refresh_token: str) -> Send:
    """Return the exchange of a code that was answered."""
    return Send(code, 20, by="a1", ended=21, successor=refresh_token, is_code=True)


def claim(promises: Promises, by: str, number: int = 1) -> None:
    """Let a process write an intent."""
    promises.acknowledges({"refresh_holder": by, "refresh_id": f"{by}-{number}"}, by=by)
