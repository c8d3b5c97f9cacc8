"""Answers each request: verifies the key or the state, reads the consent, stores the answer, and chooses the page.

No step depends on an earlier request to this process. Nothing here is logged about a request except what kind of
response it got, because its address contains the key or the code.
"""

from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

from pipedrive_operator.core.resource import consent_link
from pipedrive_operator.core.resource.consent import DEFAULT_LIFETIME, Consent
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.values.secret_value import SecretValue
from pipedrive_operator.front.pages import Pages
from pipedrive_operator.front.progress import Progress, progress_of
from pipedrive_operator.front.rate_limits import RateLimits
from pipedrive_operator.front.requests import (
    Answered,
    Declined,
    Mismatched,
    RequestTarget,
    Unrelated,
    cookie_name,
    read_callback,
    read_cookie,
    read_parameters,
)
from pipedrive_operator.ports import Clock, ConsentAnswers

RELOAD_SECONDS: Final = 3
"""After how many seconds a page that waits for the operator reloads itself."""
_RESULT_PAUSE: Final = 1.0
"""How many seconds a response waits for the operator, which usually needs less."""
_TRUSTED_SITES: Final = frozenset({None, "same-origin", "none"})
"""Accepted values of Sec-Fetch-Site: our own page sent the form, or the browser is too old to send the header."""


class TooBusyError(Exception):
    """The rate limit for requests to the API server is reached."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The parts of a request that the front reads."""

    target: RequestTarget
    cookies: tuple[str, ...] = ()
    site: str | None = None
    """The header Sec-Fetch-Site: how the site that caused the request relates to ours."""

    @property
    def consent(self) -> Key:
        """The consent that the path names. Raises ValueError if the path names none."""
        if self.target.consent is None:
            message = f"the path of {self.target.route} names no consent"
            raise ValueError(message)
        return self.target.consent


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontResponse:
    """A response, without the headers that all responses have."""

    page: str
    """What kind of response it is, for metrics."""
    status: HTTPStatus = HTTPStatus.OK
    body: str = ""
    content_type: str = "text/html"
    headers: dict[str, str] = field(default_factory=dict)


class Views:
    """The front's responses."""

    def __init__(
        self,
        *,
        consents: ConsentAnswers,
        pages: Pages,
        rate_limits: RateLimits,
        clock: Clock,
        prefix: str,
        oauth_url: str,
    ) -> None:
        """Serve pages below the path `prefix`, and redirect to no other site than `oauth_url`."""
        self._consents = consents
        self._pages = pages
        self._rate_limits = rate_limits
        self._clock = clock
        self._prefix = prefix
        self._authorization_page = f"{oauth_url.rstrip('/')}/oauth/authorize?"

    async def landing(self, _: Asked) -> FrontResponse:
        """Explain what this site is. Pipedrive checks the callback URL with a request that gets this page."""
        return self.show("landing")

    async def style(self, _: Asked) -> FrontResponse:
        """Return the style sheet of all pages."""
        return FrontResponse(page="style", body=self._pages.style(), content_type="text/css")

    async def shared(self, _: Asked) -> FrontResponse:
        """Accept and ignore Pipedrive's report that an app was shared with a user."""
        return FrontResponse(page="sharing", status=HTTPStatus.NO_CONTENT)

    def show(self, page: str, status: HTTPStatus = HTTPStatus.OK, **headers: str) -> FrontResponse:
        """Return a page that is not about one consent."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return FrontResponse(page=page, status=status, body=self._pages.render(page), headers=named)

    async def page(self, asked: Asked) -> FrontResponse:
        """Show the page of a link. It changes nothing, because mail scanners open links as well."""
        consent = await self._proven(asked.consent, self._key(asked))
        if consent is None or progress_of(consent) is Progress.ENDED:
            return self.show("unusable", HTTPStatus.NOT_FOUND)
        return self._about(consent)

    async def begin(self, asked: Asked) -> FrontResponse:
        """Send the browser to Pipedrive, with a cookie by which it is recognised when it comes back."""
        if asked.site not in _TRUSTED_SITES:
            return self.show("foreign", HTTPStatus.FORBIDDEN)
        secret = self._key(asked)
        consent = await self._proven(asked.consent, secret)
        if consent is None or secret is None or progress_of(consent) is Progress.ENDED:
            return self.show("unusable", HTTPStatus.NOT_FOUND)
        return self._begin(consent, secret)

    def _begin(self, consent: Consent, secret: SecretValue) -> FrontResponse:
        cookie = self._cookie(consent, secret)
        url = consent.status.url or ""
        if not progress_of(consent).can_continue or not url.startswith(self._authorization_page):
            return self._redirect(self._result_path(consent.key), cookie)
        return self._redirect(
            consent_link.with_state(url, consent_link.state_of(secret, consent.key)).reveal(), cookie, page="redirect"
        )

    async def callback(self, asked: Asked) -> FrontResponse:
        """Store the answer that Pipedrive's redirect brings, and redirect to an address that does not contain it."""
        match read_callback(asked.target.query, asked.cookies):
            case Unrelated():
                return self.show("uninvited" if asked.target.query else "landing")
            case Mismatched():
                return self.show("mismatch", HTTPStatus.BAD_REQUEST)
            case Declined(consent=key):
                return FrontResponse(page="declined", body=self._pages.render("declined", key=key))
            case Answered() as answered:
                return await self._store(answered)

    async def _store(self, answered: Answered) -> FrontResponse:
        consent = await self._proven(answered.consent, answered.key)
        if consent is None:
            return self.show("unusable", HTTPStatus.NOT_FOUND)
        if progress_of(consent).can_continue and not await self._consents.answer(consent, answered.answer):
            return self.show("unusable", HTTPStatus.NOT_FOUND)
        return self._redirect(self._result_path(consent.key))

    async def result(self, asked: Asked) -> FrontResponse:
        """Show the result of an answer. If the operator is still working, wait a little."""
        secret = read_cookie(asked.cookies, asked.consent)
        consent = await self._proven(asked.consent, secret)
        if consent is not None and progress_of(consent) is Progress.WAITING:
            await self._clock.sleep(_RESULT_PAUSE)
            consent = await self._proven(asked.consent, secret)
        return self.show("unusable", HTTPStatus.NOT_FOUND) if consent is None else self._about(consent)

    def _about(self, consent: Consent) -> FrontResponse:
        progress = progress_of(consent)
        headers = {"Refresh": str(RELOAD_SECONDS)} if progress is Progress.WAITING else {}
        return FrontResponse(page=progress.value, body=self._pages.about(progress.value, consent), headers=headers)

    def _key(self, asked: Asked) -> SecretValue | None:
        """Return the key of a link: from its address, or else from the cookie of a person who comes back to it."""
        parameters = read_parameters(asked.target.query, "key")
        if parameters is None:
            return None
        if "key" in parameters:
            return consent_link.read_key(parameters["key"])
        return read_cookie(asked.cookies, asked.consent)

    async def _proven(self, key: Key, secret: SecretValue | None) -> Consent | None:
        """Return the consent if the key is the one of its link. A wrong key and a wrong name give the same None.

        Raises TooBusyError and ApiServerUnavailable.
        """
        if secret is None:
            return None
        state = consent_link.state_of(secret, key)
        if not self._rate_limits.allows(state.digest(), self._clock.monotonic()):
            raise TooBusyError
        consent = await self._consents.read(key)
        if consent is None or not consent_link.proves(state, consent.spec.state_digest):
            return None
        self._rate_limits.remember(state.digest())
        return consent

    def _cookie(self, consent: Consent, secret: SecretValue) -> str:
        seconds = int((consent.spec.lifetime or DEFAULT_LIFETIME).total_seconds())
        attributes = f"Path=/; Max-Age={seconds}; Secure; HttpOnly; SameSite=Lax"
        return f"{cookie_name(consent.key)}={secret.reveal()}; {attributes}"

    def _result_path(self, key: Key) -> str:
        return f"{self._prefix}/consent/{key}/result"

    def _redirect(self, location: str, cookie: str | None = None, *, page: str = "stored") -> FrontResponse:
        headers = {"Location": location, **({} if cookie is None else {"Set-Cookie": cookie})}
        return FrontResponse(page=page, status=HTTPStatus.SEE_OTHER, headers=headers)
