"""Follows a link until its consent has ended: shows what the operator reports, and hands each answer on.

Nothing is created or deleted here.
"""

import json
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kubectl_pipedrive.command_line import Invocation
from kubectl_pipedrive.consent import (
    Consent,
    NoCode,
    ReceivedCode,
    answer_patch,
    read_address,
    read_query,
)
from kubectl_pipedrive.errors import ConnectFailed, KubectlFailed, PortTaken
from kubectl_pipedrive.kubectl import CONSENTS
from pipedrive_operator.core.resource.consent_link import (
    Mode,
)
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.values.consent_reasons import ConsentReason, Stage
from pipedrive_operator.core.values.secret_value import SecretValue

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kubectl_pipedrive.machine import Callback, Machine

POLL_SECONDS: Final = 1.0
_PROGRESS: Final = {ConsentReason.CODE_RECEIVED: " code received …", ConsentReason.VERIFYING: " verifying …"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A consent that was created, with what only this command knows about it."""

    consent: Consent
    name: Key
    state: SecretValue
    address: SecretValue
    """What the person opens."""
    mode: Mode


@contextmanager
def listening(machine: "Machine", found: Link) -> "Iterator[Callback | None]":
    """Listen at the redirect URI if it is on loopback, before the link is shown. Raises ConnectFailed."""
    try:
        with machine.callback(found.consent.redirect_uri) if found.mode is Mode.LOOPBACK else nullcontext() as callback:
            yield callback
    except PortTaken as taken:
        message = (
            f"{taken}, where the app's redirect arrives, is used by another program: stop it, or use --paste and copy "
            "the address from the browser"
        )
        raise ConnectFailed(message) from None


def follow(invocation: Invocation, machine: "Machine", found: Link, callback: "Callback | None") -> None:
    """Wait until the account is connected, and show what happens. Raises ConnectFailed."""
    if found.mode is not Mode.PASTE:
        invocation.terminal.part("Waiting …")
    shown: tuple[object, ...] = (ConsentReason.WAITING, 1)
    is_answered = False
    while True:
        consent = read_consent(invocation, found.name)
        seen = (consent.reason, consent.status.get("observedGeneration"))
        if seen != shown:
            shown, is_answered = seen, is_answered and _is_busy(consent)
            _report(invocation, consent, found)
        if consent.has_ended:
            return
        if found.mode is Mode.PASTE and not is_answered:
            is_answered = _ask(invocation, machine, found)
        elif callback is not None:
            _hand_on(invocation, found, callback.take(POLL_SECONDS))
        else:
            invocation.clock.sleep(POLL_SECONDS)


def _report(invocation: Invocation, consent: Consent, found: Link) -> None:
    """Show a new state. Raises ConnectFailed if the link has ended without a connection."""
    screen, effect = invocation.terminal, consent.effect
    if consent.reason in _PROGRESS:
        screen.part(_PROGRESS[consent.reason])
    if effect is None or effect.stage is Stage.BUSY or consent.is_connected:
        return
    screen.line()
    if effect.stage is Stage.ENDED:
        raise ConnectFailed(why_ended(consent))
    if consent.reason is not ConsentReason.WAITING:
        screen.line(f"{screen.mark(ok=False)} {screen.wrap(f'{consent.reason}: {consent.message}', '  ')}")
        if effect.remedy.lower() not in consent.message.lower():
            screen.line(f"  {screen.wrap(f'What to do: {effect.remedy}', '  ')}")
        if found.mode is not Mode.PASTE:
            screen.part("Waiting …")


def _ask(invocation: Invocation, machine: "Machine", found: Link) -> bool:
    """Ask for the address of the redirect, hand its code on, and return whether it had one. Raises ConnectFailed."""
    redirect = found.consent.redirect_uri
    invocation.terminal.line(
        f"After you accept, the browser shows an address that begins with {redirect}.\n"
        "The page may be an error. Copy the whole address, paste it here, and press Enter; it is not shown:"
    )
    try:
        pasted = machine.ask_hidden("> ")
    except EOFError:
        raise ConnectFailed("no address was pasted") from None
    read = read_address(pasted, redirect, found.state)
    return _patch(invocation, found, read)


def _hand_on(invocation: Invocation, found: Link, query: str | None) -> None:
    if query is not None:
        _patch(invocation, found, read_query(query, found.state))


def _patch(invocation: Invocation, found: Link, read: ReceivedCode | NoCode) -> bool:
    """Hand a code to the operator, in a file that only kubectl's standard input is."""
    if isinstance(read, NoCode):
        invocation.terminal.line(
            f"\n{invocation.terminal.mark(ok=False)} {read.why}. Open the link above again, or press Ctrl-C."
        )
        return False
    patch = json.dumps(answer_patch(read.code, found.state))
    invocation.kubectl.run("patch", CONSENTS, found.name.name, "--type=merge", "--patch-file=/dev/stdin", stdin=patch)
    return True


def read_consent(invocation: Invocation, name: Key) -> Consent:
    """Read the consent. Raises ConnectFailed if somebody has deleted it."""
    try:
        return Consent(invocation.kubectl.get("get", CONSENTS, name.name))
    except KubectlFailed as failure:
        if failure.is_not_found:
            raise ConnectFailed("the link was deleted by someone else") from failure
        raise


def _is_busy(consent: Consent) -> bool:
    return consent.effect is not None and consent.effect.stage is Stage.BUSY


def why_ended(consent: Consent) -> str:
    """Return why a consent has ended, and what to do about it."""
    remedy = consent.effect.remedy if consent.effect is not None else ""
    return f"{consent.reason}: {consent.message}. What to do: {remedy}"
