"""What goes wrong: people, machines and networks, by the seed's chance."""

import asyncio
import contextvars
from base64 import b64encode
from collections.abc import Callable
from typing import TYPE_CHECKING

from simulation.operators import Operator
from simulation.weather import Weather
from support.builders import GRANT_LOCATION

if TYPE_CHECKING:
    from simulation.world import World

BETWEEN_STRIKES = 20.0
"""In seconds, on average."""
AIMED = 0.3
"""How likely a refresh is struck."""
FIRST_COPY = 10.0
"""In seconds: how long the first copy of an answer takes at most, where one place for it can be reached."""


class Storm:
    """Strikes a world now and then."""

    def __init__(self, world: "World") -> None:
        """Take what is to be struck."""
        self.world = world
        self.chance = world.chance
        self.is_over = False
        self.strikes: list[Callable[[], None]] = [
            *(2 * [self.crash]),
            *(2 * [self.freeze]),
            *(2 * [self.darken]),
            *(2 * [self.flicker]),
            self.edit_grant,
            self.edit_secret,
            self.reject_client,
            self.limit,
        ]

    async def rage(self, seconds: float) -> None:
        """Strike for a while."""
        self.world.promises.on_effect = self.aim
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while loop.time() < until:
            await asyncio.sleep(self.chance.expovariate(1 / BETWEEN_STRIKES))
            self.chance.choice(self.strikes)()

    def clear(self) -> None:
        """Let everything be well."""
        self.is_over = True
        self.world.promises.on_effect = lambda _what, _by: None
        for weather in self.world.weathers:
            weather.clear()
        self.world.pipedrive.rejects_client, self.world.pipedrive.limits = False, 0.0
        self.note("everything is calm")

    def aim(self, what: str, by: str) -> None:
        """Strike, now and then, where it hurts most: while a token is under way, and before its successor is stored."""
        operator = self.world.operators.get(by)
        if operator is None:
            return
        if what == "intent" and self.chance.random() < AIMED / 3:
            self._later(0, 1, lambda: self.freeze(operator))
        elif what == "send" and self.chance.random() < AIMED / 3:
            self.consent()
        elif what == "spend":
            self.aim_at_winner(operator)
        elif what == "Secret" and self.chance.random() < AIMED:
            # It sleeps through the next renewal, which another replica makes meanwhile.
            self._later(110, 140, lambda: self.freeze(operator, least=60))

    def aim_at_winner(self, operator: Operator) -> None:
        """Strike whoever has won something, or what would keep it."""
        if self.chance.random() < AIMED:
            self._later(
                0, 2, self.chance.choice([lambda: self.crash(operator), lambda: self.freeze(operator), self.consent])
            )
        elif self.chance.random() < AIMED:
            self._darken(self.world.vault.network)
            if self.chance.random() < 2 * AIMED:
                self._later(0, 40, lambda: self.crash(operator))
            self._later(20, 50, self.chance.choice([self.consent, self.restore_backup, lambda: None]))

    def crash(self, operator: Operator | None = None) -> None:
        """Kill a process; another one starts some time later."""
        operator = operator or self._somebody()
        if operator is not None and not operator.process.crashed and not self.is_over:
            self.kill(operator)
            self._later(0, 40, lambda: self.world.start(operator.cluster))

    def kill(self, operator: Operator) -> None:
        """Kill a process, and excuse what it had won and could not have copied yet."""
        self.world.crash(operator)
        moment = asyncio.get_running_loop().time()
        for send in self.world.promises.sends:
            if (
                send.by != operator.process.name
                or send.ended is None
                or send.successor is None
                or self.world.is_kept(send.successor)
            ):
                continue
            is_in_window = moment - send.ended < FIRST_COPY
            if is_in_window or operator.cluster.network.was_bad_since(send.began) or operator.process.was_frozen:
                self.world.history.excuse(f"{send.by} died before the first copy of {send.successor}")

    def freeze(self, operator: Operator | None = None, *, least: float = 1.0) -> None:
        """Stop a process for a while, perhaps for longer than its Lease."""
        operator = operator or self._somebody()
        if operator is None or operator.process.frozen or operator.process.crashed or self.is_over:
            return
        self.note(f"stops {operator.process.name}")
        operator.process.freeze()
        self._later(least, 120, lambda: self.world.loop.thaw(operator.process))

    def darken(self) -> None:
        """Take a part away for a while."""
        self._darken(self.chance.choice(self.world.weathers))

    def _darken(self, weather: Weather) -> None:
        weather.darken()
        self.note(f"darkens part {self.world.weathers.index(weather)}")
        self._later(1, 60, weather.clear)

    def flicker(self) -> None:
        """Lose requests and answers of a part for a while."""
        weather = self.chance.choice(self.world.weathers)
        weather.flicker(self.chance.uniform(0, 0.3), self.chance.uniform(0, 0.3))
        self._later(1, 60, weather.clear)

    def consent(self) -> None:
        """Let a person consent anew, now and then."""
        if self.is_over:
            return
        self.world.promises.consents += 1
        self.note("consents")
        self.world.vault.put(GRANT_LOCATION, refresh_token=self.world.pipedrive.consent())

    def restore_backup(self) -> None:
        """Let a person restore Vault from a backup, while the living refresh token is in escrow alone."""
        kept = self.world.escrowed()
        alive = self.world.pipedrive.alive
        if not self.is_over and kept & alive and self.world.promises.newest not in alive:
            self.world.vault.restore(GRANT_LOCATION)

    def edit_grant(self) -> None:
        """Let a person add a key of their own to the grant."""
        held = self.world.vault.documents[GRANT_LOCATION]
        self.world.vault.put(GRANT_LOCATION, **(dict(held.values) | {"note": "mine"}))

    def edit_secret(self) -> None:
        """Let a person spoil a Secret."""
        cluster = self.chance.choice(self.world.clusters)
        if cluster.secrets:
            key = self.chance.choice(sorted(cluster.secrets))
            secret = cluster.secrets[key]
            data = secret["data"] | {"access_token": b64encode(b"spoilt").decode()}
            self.note(f"spoils Secret {key}")
            cluster.put_secret(secret | {"data": data})

    def reject_client(self) -> None:
        """Let the app's secret be wrong for a while."""
        self.world.pipedrive.rejects_client = True
        self._later(1, 60, self._accept_client)

    def limit(self) -> None:
        """Let Pipedrive answer 429 for a while."""
        self.world.pipedrive.limits = 0.7
        self._later(1, 30, self._stop_limiting)

    def note(self, what: str) -> None:
        """Write into the history what was done from outside."""
        self.world.history.note("world", what)

    def _accept_client(self) -> None:
        self.world.pipedrive.rejects_client = False

    def _stop_limiting(self) -> None:
        self.world.pipedrive.limits = 0.0

    def _somebody(self) -> Operator | None:
        alive = [operator for operator in self.world.operators.values() if not operator.process.crashed]
        return self.chance.choice(alive) if alive else None

    def _later(self, least: float, most: float, do: Callable[[], object]) -> None:
        # Outside of any process: what is planned while one acts must not stop, or die, with it.
        self.world.loop.call_later(self.chance.uniform(least, most), do, context=contextvars.Context())
