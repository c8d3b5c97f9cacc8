"""Reads what a browser sends: paths, keys and cookies, and the parameters of Pipedrive's redirect.

Nothing is decided about a consent here, and nothing is sent.

All of it comes from strangers. A path must match as it was sent, without decoding. Host and X-Forwarded headers are
never read. A parameter or a cookie that occurs twice counts as absent, because two readers could choose differently.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final
from urllib.parse import parse_qsl

from pipedrive_operator.core.resource import consent_link
from pipedrive_operator.core.resource.consent import Answer
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.values.secret_value import SecretValue

_COOKIE: Final = "__Host-consent"
"""A browser accepts a cookie of this prefix only from this very host, over TLS, and for all its paths
(https://httpwg.org/http-extensions/draft-ietf-httpbis-rfc6265bis.html#name-the-__host-prefix)."""
_NAMESPACE: Final = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_NAME: Final = r"[a-z0-9](?:[-a-z0-9.]{0,61}[a-z0-9])?"
_PATH: Final = re.compile(
    rf"/?|(?P<style>/style\.css)|(?P<callback>/callback)|/consent/(?P<namespace>{_NAMESPACE})/(?P<name>{_NAME})"
    r"(?P<result>/result)?"
)
_CODE: Final = re.compile(r"[!-~]{1,2048}")
_MOST_PARAMETERS: Final = 20


class Route(Enum):
    """What a path leads to."""

    LANDING = "landing"
    STYLE = "style"
    CALLBACK = "callback"
    PAGE = "page"
    RESULT = "result"


@dataclass(frozen=True, slots=True)
class RequestTarget:
    """What a request asks for."""

    route: Route
    query: str
    consent: Key | None = None


def read_request_target(raw: str, prefix: str) -> RequestTarget | None:
    """Return what a request target (RFC 9112, section 3.2) asks for below a path prefix; None if nothing is there."""
    path, _, query = raw.partition("?")
    match = _PATH.fullmatch(path.removeprefix(prefix)) if path.startswith(prefix) and path else None
    if match is None:
        return None
    if match["style"]:
        return RequestTarget(Route.STYLE, query)
    if match["callback"]:
        return RequestTarget(Route.CALLBACK, query)
    if match["namespace"]:
        consent = Key(namespace=match["namespace"], name=match["name"])
        return RequestTarget(Route.RESULT if match["result"] else Route.PAGE, query, consent)
    return RequestTarget(Route.LANDING, query)


def read_parameters(query: str, *names: str) -> Mapping[str, str] | None:
    """Return the parameters of these names that a query has; None if one occurs twice, or if there are too many."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=_MOST_PARAMETERS)
    except ValueError:
        return None
    found = [(name, value) for name, value in pairs if name in names]
    return dict(found) if len(found) == len(dict(found)) else None


def cookie_name(consent: Key) -> str:
    """Return the name of a consent's cookie: each has its own, so that two tabs work. A namespace contains no dot."""
    return f"{_COOKIE}.{consent.namespace}.{consent.name}"


def read_cookie(headers: Iterable[str], consent: Key) -> SecretValue | None:
    """Return the key that the browser keeps for a consent, or None if it has none or sends two."""
    cookies = (part.strip().partition("=") for header in headers for part in header.split(";"))
    values = [value for name, _, value in cookies if name == cookie_name(consent)]
    return consent_link.read_key(values[0]) if len(values) == 1 else None


@dataclass(frozen=True, slots=True)
class Unrelated:
    """A callback without state: a probe of Pipedrive, or an installation from its marketplace. Nothing is exchanged."""


@dataclass(frozen=True, slots=True)
class Mismatched:
    """A callback that does not belong to a link that was opened in this browser."""


@dataclass(frozen=True, slots=True)
class Declined:
    """The person did not accept, or Pipedrive reported another error."""

    consent: Key


@dataclass(frozen=True, slots=True)
class Answered:
    """The person accepted. That the key belongs to the consent is not verified yet."""

    consent: Key
    key: SecretValue
    answer: Answer


Callback = Unrelated | Mismatched | Declined | Answered


def read_callback(query: str, cookies: Iterable[str]) -> Callback:
    """Return what Pipedrive's redirect says, if the browser's cookies prove that it belongs to this browser.

    The state must be the one that follows from the key in the browser's cookie (RFC 6749, section 10.12). The text of
    an error is not used at all.
    """
    parameters = read_parameters(query, "code", "state", "error")
    if parameters is None or ("code" in parameters and "error" in parameters):
        return Mismatched()
    if "state" not in parameters:
        return Unrelated()
    stated = consent_link.read_state(parameters["state"])
    key = stated and read_cookie(cookies, stated[0])
    if stated is None or key is None or consent_link.state_of(key, stated[0]) != stated[1]:
        return Mismatched()
    return _read_outcome(parameters, *stated, key)


def _read_outcome(parameters: Mapping[str, str], consent: Key, state: SecretValue, key: SecretValue) -> Callback:
    if "error" in parameters:
        return Declined(consent)
    code = parameters.get("code", "")
    if _CODE.fullmatch(code) is None:
        return Mismatched()
    return Answered(consent, key, Answer(code=SecretValue(code), state=state))
