"""Everything about one credential, as `status NAME` prints it. Pure, except for the terminal's width and colours."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from kubectl_pipedrive.credential import Credential, map_at, text_at
from kubectl_pipedrive.health import Health, deciding, health, next_step, what_happens
from kubectl_pipedrive.moments import ago, ahead, length
from kubectl_pipedrive.overview import STYLES
from kubectl_pipedrive.surroundings import Event, Surroundings, Unreadable
from kubectl_pipedrive.table import Cell, Table
from kubectl_pipedrive.terminal import Style, Terminal
from pipedrive_operator.core.values.conditions import ConditionType
from pipedrive_operator.core.values.times import format_time

_LABEL: Final = 15
_INDENT: Final = " " * _LABEL
_EVENT: Final = "  "
_SHOWN_EVENTS: Final = 10


def details(credential: Credential, around: Surroundings, now: datetime, terminal: Terminal) -> Iterator[str]:
    """Yield the lines about a credential."""
    yield _headline(credential, terminal)
    yield ""
    yield from _conditions(credential, now, terminal)
    yield _field("Account", _account(credential))
    yield _field("Source", terminal.wrap(_source(credential), _INDENT))
    yield _field("Secret", terminal.wrap(_secret(credential, around.keys), _INDENT))
    yield from _uses(around, terminal)
    yield from _times(credential, now)
    yield ""
    yield from _events(around.events, now, terminal)
    yield ""
    yield from _next(credential, now, terminal)


def _field(label: str, value: str) -> str:
    return f"{f'{label}:':<{_LABEL}}{value}"


def _headline(credential: Credential, terminal: Terminal) -> str:
    state, condition = health(credential), deciding(credential)
    cause = f" ({condition.reason})" if condition is not None and state is Health.ACT else ""
    return terminal.paint(f"{credential}: {state.value}{cause}", Style.STRONG, STYLES[state])


def _conditions(credential: Credential, now: datetime, terminal: Terminal) -> Iterator[str]:
    """Yield each condition; a message that several conditions share is printed once."""
    known = [one for kind in ConditionType if (one := credential.conditions.get(kind)) is not None]
    unknown = [one for kind, one in credential.conditions.items() if kind not in set(ConditionType)]
    printed: set[str] = set()
    for one in (*known, *unknown):
        since = f", for {length(now - one.since)}" if one.since is not None else ""
        yield _field(one.type, f"{one.status}, {one.reason}{since}")
        if one.message not in printed:
            yield f"{_INDENT}{terminal.wrap(one.message, _INDENT)}"
        printed.add(one.message)


def _account(credential: Credential) -> str:
    account = map_at(credential.status, "account")
    if not credential.company:
        return "not known yet"
    return f"{credential.company}.pipedrive.com (company {account.get('companyId')}), user {account.get('userId')}"


def _source(credential: Credential) -> str:
    spec, vault = credential.spec, map_at(credential.spec, "vault")
    mount = text_at(vault, "mount")
    account = text_at(vault, "auth", "serviceAccountRef", "name")
    where = f" in Vault, connection {text_at(vault, 'connection') or 'default'}" + (f", mount {mount}" if mount else "")
    who = f", read as ServiceAccount {account}" if account else ""
    if not credential.is_oauth2:
        key = text_at(spec, "apiToken", "key") or "api_token"
        return f"API token at {text_at(spec, 'apiToken', 'path')}, key {key}{where}{who}"
    client = map_at(spec, "oauth2", "client")
    app = text_at(client, "app")
    which = f"app {app}" if app else f"the client at {text_at(client, 'path')}"
    return f"OAuth2 grant at {text_at(spec, 'oauth2', 'grant', 'path')} of {which}{where}{who}"


def _secret(credential: Credential, keys: Sequence[str] | Unreadable | None) -> str:
    match keys:
        case None:
            return f"{credential.secret_name}, which does not exist yet"
        case Unreadable():
            published = "published" if text_at(credential.status, "secretName") else "not published yet"
            return f"{credential.secret_name}, {published} (your permissions do not include reading Secrets)"
        case _:
            return f"{credential.secret_name} with the keys {', '.join(keys)}"


def _uses(around: Surroundings, terminal: Terminal) -> Iterator[str]:
    match around.uses:
        case Unreadable():
            yield _field("Used by", "not shown: your permissions do not include listing pods")
        case []:
            yield _field("Used by", "no pod of this namespace")
        case found:
            phrases = [terminal.wrap(str(use), _INDENT) for use in found]
            yield _field("Used by", f"\n{_INDENT}".join(phrases))


def _times(credential: Credential, now: datetime) -> Iterator[str]:
    if credential.expires_at is not None:
        yield _field("Expires", f"{ahead(credential.expires_at, now)} ({format_time(credential.expires_at)})")
    if credential.renewal_at is not None:
        yield _field("Next renewal", f"{ahead(credential.renewal_at, now)} ({format_time(credential.renewal_at)})")
    if credential.refreshed_at is not None:
        yield _field("Last refresh", f"{ago(credential.refreshed_at, now)} ({format_time(credential.refreshed_at)})")


def _events(events: Sequence[Event] | Unreadable, now: datetime, terminal: Terminal) -> Iterator[str]:
    match events:
        case Unreadable():
            yield _field("Events", "not shown: your permissions do not include listing Events")
        case []:
            yield _field("Events", "none; Kubernetes keeps them for an hour")
        case found:
            rows = [
                [
                    Cell(length(now - event.at) if event.at else "-"),
                    Cell(event.type),
                    Cell(event.reason),
                    Cell(event.message),
                ]
                for event in found[-_SHOWN_EVENTS:]
            ]
            yield "Events:"
            for line in Table(("AGE", "TYPE", "REASON", "MESSAGE"), rows).lines(terminal.narrower(len(_EVENT))):
                yield f"{_EVENT}{line}"


def _next(credential: Credential, now: datetime, terminal: Terminal) -> Iterator[str]:
    yield _field("What happens", terminal.wrap(what_happens(credential, now), _INDENT))
    step = next_step(credential)
    yield _field("What to do", terminal.wrap(step.text, _INDENT) if step is not None else "nothing")
    if step is not None and step.command is not None:
        yield f"{_INDENT}{terminal.paint(step.command, Style.STRONG)}"
