"""Injects faults of people, machines and networks at random moments that the seed chooses."""

import asyncio
import contextvars
from base64 import b64encode
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

from simulation.faulty_network import Weather
from simulation.operators import Operator
from support.builders import GRANT_LOCATION

if TYPE_CHECKING:
    from simulation.simulated_world import World

BETWEEN_STRIKES = 20.0
"""In seconds, on average."""
AIMED = 0.3
"""The probability that a fault hits a refresh."""
LONGER_THAN_INTENTS = 75.0
"""In seconds: of a process that is frozen for so long, another one takes the intent over."""
LONGEST_STEP = 300.0
"""In seconds: the longest step of a wall clock, longer than an access token lives."""
BY_PATCH = 0.4
"""The share of consents by hand that replace the refresh token alone, as `vault kv patch` does."""


class Storm:
    """Injects faults into a world."""

    def __init__(self, world: "World") -> None:
        """Take the world."""
        self.world = world
        self.chance = world.chance
        self.is_over = False
        self.strikes: list[Callable[[], None]] = [
            *(2 * [self.crash]),
            *(2 * [self.freeze]),
            self.stop,
            *(2 * [self.darken]),
            *(2 * [self.flicker]),
            self.edit_grant,
            self.edit_secret,
            *(3 * [self.world.people.connect]),
            self.step_clock,
            self.reject_client,
            self.limit,
            *self.world.rare_weather.strikes(),
        ]

    async def rage(self, seconds: float) -> None:
        """Inject faults for some time."""
        self.world.promises.on_effect = self.aim
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while loop.time() < until:
            await asyncio.sleep(self.chance.expovariate(1 / BETWEEN_STRIKES))
            self.chance.choice(self.strikes)()

    def clear(self) -> None:
        """End all faults."""
        self.is_over = True
        self.world.promises.on_effect = lambda _what, _by: None
        for weather in self.world.weathers:
            weather.clear()
        self.world.rare_weather.clear()
        pipedrive = self.world.pipedrive
        pipedrive.rejects_client, pipedrive.limits = False, 0.0
        self.world.vault.delays_writes = self.world.vault.lags = 0.0
        pipedrive.spoils_answers = pipedrive.begins_late = pipedrive.breaks_off = 0.0
        self.note("everything is calm")

    def aim(self, what: str, by: str) -> None:
        """Sometimes inject a fault where it does most harm: during a request, or before its result is stored."""
        operator = self.world.operators.get(by)
        if operator is None:
            return
        if what == "intent" and self.chance.random() < 2 * AIMED and (late := self._holder_of_result(by)) is not None:
            self._let_another_store(late, operator)
        elif what == "intent" and self.chance.random() < AIMED / 3:
            self._later(0, 1, lambda: self.freeze(operator, least=LONGER_THAN_INTENTS, most=2 * LONGER_THAN_INTENTS))
        elif what == "send" and self.chance.random() < AIMED / 3:
            self._later(0, 3, self.rewind) if self.chance.random() < AIMED else self.consent()
        elif what == "spend":
            self.aim_at_result(operator)
        elif what == "Secret" and self.chance.random() < AIMED:
            # The process is frozen during the next renewal, which another replica makes in the meantime.
            self._later(110, 140, lambda: self.freeze(operator, least=60))

    def aim_at_result(self, operator: Operator) -> None:
        """Inject a fault into a process that has a result, or into Vault, which would store it."""
        if self.chance.random() < AIMED:
            self._later(
                0, 2, self.chance.choice([lambda: self.crash(operator), lambda: self.freeze(operator), self.consent])
            )
        elif self.chance.random() < AIMED / 3:
            self._later(0, 0.05, lambda: self.freeze(operator, least=LONGER_THAN_INTENTS))
        elif self.chance.random() < AIMED / 2:
            self.stop(operator)
            if self.chance.random() < 2 * AIMED:  # so long that a Lease which is not renewed expires
                self._darken(self.world.vault.network, least=35)
        elif self.chance.random() < AIMED:
            self._darken(self.world.vault.network)
            if self.chance.random() < 2 * AIMED:
                self._later(0, 40, lambda: self.crash(operator))
            self._later(20, 50, self.chance.choice([self.consent, self.restore_backup, lambda: None]))

    def _holder_of_result(self, by: str) -> Operator | None:
        """Return another process that has the result of a refresh in memory only."""
        others = (operator for name, operator in self.world.operators.items() if name != by)
        living = (operator for operator in others if not operator.process.crashed)
        return next((one for one in living if self.world.unkept(one.process.name) is not None), None)

    def _let_another_store(self, late: Operator, operator: Operator) -> None:
        """Let a process store its result, and freeze the one that has just written an intent until then."""
        self.world.loop.thaw(late.process)
        self.world.vault.network.clear()
        self.note(f"thaws {late.process.name}")
        self._later(0, 0.01, lambda: self.freeze(operator, least=7, most=9))

    def crash(self, operator: Operator | None = None) -> None:
        """Kill a process. Another one starts later."""
        operator = operator or self._somebody()
        if operator is not None and not operator.process.crashed and not self.is_over:
            self.kill(operator)
            self._later(0, 40, lambda: self.world.start(operator.cluster))

    def kill(self, operator: Operator) -> None:
        """Kill a process, and excuse the loss of a result that it could not have copied yet."""
        self.world.crash(operator)
        for token in self.world.uncopied(operator):
            self.world.history.lose(token, "died before the first copy", f"{operator.process.name}, of {token}")

    def stop(self, operator: Operator | None = None) -> None:
        """Ask a process to end in order. Another one starts later."""
        operator = operator or self._somebody()
        if operator is None or operator.process.crashed or operator.process.frozen or self.is_over:
            return
        if not operator.stop_requested.is_set():
            self.world.stop(operator)
            self._later(0, 40, lambda: self.world.start(operator.cluster))

    def freeze(self, operator: Operator | None = None, *, least: float = 1.0, most: float = 120.0) -> None:
        """Freeze a process, possibly for longer than its Lease."""
        operator = operator or self._somebody()
        if operator is None or operator.process.frozen or operator.process.crashed or self.is_over:
            return
        self.note(f"freezes {operator.process.name}")
        operator.process.freeze()
        self._later(least, most, lambda: self.world.loop.thaw(operator.process))

    def step_clock(self) -> None:
        """Turn the wall clock of a process, forwards or backwards."""
        operator = self._somebody()
        if operator is not None:
            step = timedelta(seconds=self.chance.uniform(-LONGEST_STEP, LONGEST_STEP))
            operator.clock.turn(step)
            self.note(f"turns the clock of {operator.process.name} by {step.total_seconds():.0f} s")

    def darken(self) -> None:
        """Make a part unreachable for some time."""
        self._darken(self.chance.choice(self.world.weathers))

    def _darken(self, weather: Weather, *, least: float = 1.0) -> None:
        weather.darken()
        self.note(f"makes part {self.world.weathers.index(weather)} unreachable")
        self._later(least, 60, weather.clear)

    def flicker(self) -> None:
        """Lose some requests and answers of a part for some time."""
        weather = self.chance.choice(self.world.weathers)
        weather.flicker(self.chance.uniform(0, 0.3), self.chance.uniform(0, 0.3))
        self._later(1, 60, weather.clear)

    def consent(self) -> None:
        """Consent again, as a person; all other keys of the document may stay."""
        if self.is_over:
            return
        held = self.world.vault.documents[GRANT_LOCATION].values
        kept = held if self.chance.random() < BY_PATCH else {}
        self.note(f"consents{' by patch' if kept else ''}")
        self.world.vault.edit(GRANT_LOCATION, **(dict(kept) | {"refresh_token": self.world.pipedrive.consent()}))

    def restore_backup(self) -> None:
        """Restore Vault from a backup while the only living refresh token is in escrow."""
        kept = self.world.escrowed()
        alive = self.world.needed()
        is_settled = self.world.candidate() is None  # a candidate would be lost, as an acknowledged write
        if not self.is_over and is_settled and kept & alive and self.world.promises.newest not in alive:
            self.world.vault.restore(GRANT_LOCATION)

    def rewind(self) -> None:
        """Restore Vault's storage as it was before the last write, and consent: the consent gets the same number."""
        if not self.is_over:
            self.world.vault.rewind(GRANT_LOCATION)
            self.consent()

    def edit_grant(self) -> None:
        """Add a foreign key to the grant, as a person."""
        held = self.world.vault.documents[GRANT_LOCATION]
        self.world.vault.put(GRANT_LOCATION, **(dict(held.values) | {"note": "mine"}))

    def edit_secret(self) -> None:
        """Change a Secret, as a person."""
        cluster = self.chance.choice(self.world.clusters)
        if cluster.secrets:
            key = self.chance.choice(sorted(cluster.secrets))
            secret = cluster.secrets[key]
            data = secret["data"] | {"access_token": b64encode(b"changed").decode()}
            self.note(f"changes Secret {key}")
            cluster.put_secret(secret | {"data": data})

    def reject_client(self) -> None:
        """Make the app's secret wrong for some time."""
        self.world.pipedrive.rejects_client = True
        self._later(1, 60, self._accept_client)

    def limit(self) -> None:
        """Answer 429 for some time."""
        self.world.pipedrive.limits = 0.7
        self._later(1, 30, self._stop_limiting)

    def note(self, what: str) -> None:
        """Add a fault to the history."""
        self.world.history.note("world", what)

    def _accept_client(self) -> None:
        self.world.pipedrive.rejects_client = False

    def _stop_limiting(self) -> None:
        self.world.pipedrive.limits = 0.0

    def _somebody(self) -> Operator | None:
        alive = [operator for operator in self.world.operators.values() if not operator.process.crashed]
        return self.chance.choice(alive) if alive else None

    def _later(self, least: float, most: float, do: Callable[[], object]) -> None:
        # In a context of its own: a planned fault must not freeze or die with the process that acts now.
        self.world.loop.call_later(self.chance.uniform(least, most), do, context=contextvars.Context())
