"""Troubles with Pipedrive: its responses, missing responses, and what people change there."""

from support.troubles.trouble import Change, Kind, Trouble, TroubledCredential

RETRY_AFTER = 6
_LOST = ("The refresh was sent", "tries again after a pause", "consent again")


def _break_verification(kind: str, **fields: object) -> Change:
    return lambda subject: subject.fault(kind, endpoint="users_me", **fields)


def _break_refresh(kind: str, **fields: object) -> Change:
    def cause(subject: TroubledCredential) -> None:
        subject.fault(kind, endpoint="token", **fields)
        subject.age()

    return cause


def _regenerate(subject: TroubledCredential) -> None:
    subject.parts.pipedrive.command("regenerate-api-token", **subject.person.key)


def _write_present_token(subject: TroubledCredential) -> None:
    users = subject.parts.pipedrive.view("state")["users"]
    present = next(user for user in users if user["company_id"] == subject.person.company_id)
    subject.write(api_token=present["api_token"])


def _write_token_of_another_user(subject: TroubledCredential) -> None:
    subject.write(api_token=subject.parts.person(f"{subject.name}-2").api_token)


def _change_company(**fields: object) -> Change:
    return lambda subject: subject.parts.pipedrive.command(
        "change-company", company_id=subject.person.company_id, **fields
    )


def _new_client_secret(subject: TroubledCredential) -> None:
    subject.parts.pipedrive.command("change-app", client_id=subject.name, client_secret="0123456789" * 4)
    subject.age()


def _write_client_secret(subject: TroubledCredential) -> None:
    subject.vault.write_secret(subject.app_path, {"client_id": subject.name, "client_secret": "0123456789" * 4})


def _spoil_refresh_token(subject: TroubledCredential) -> None:
    """Damage the refresh token only: a revocation would end the access token too, and either could be noticed first."""
    subject.write(**subject.read() | {"refresh_token": "1:1:" + "0" * 40})
    subject.age()


def _move_api(subject: TroubledCredential) -> None:
    _change_company(api_domain="https://pipedrive.example.org")(subject)
    subject.age()


def _move_api_back(subject: TroubledCredential) -> None:
    _change_company(api_domain=subject.parts.pipedrive_url)(subject)


def _let_api_echo(subject: TroubledCredential) -> None:
    """Let the company's own API quote everything that it receives."""
    subject.write(**subject.read() | {"api_domain": subject.parts.echo_url})


def _stop_api_echo(subject: TroubledCredential) -> None:
    subject.write(**subject.read() | {"api_domain": subject.parts.pipedrive_url})


def _add_scope_and_consent(subject: TroubledCredential) -> None:
    subject.parts.pipedrive.command("change-app", client_id=subject.name, scopes=["base", "deals:full"])
    subject.consent()


def _lost(name: str, kind: str, *says: str, **fields: object) -> Trouble:
    return Trouble(
        name=f"refresh-{name}",
        reason="RefreshUncertain",
        says=says or _LOST,
        kind=Kind.OAUTH2,
        cause=_break_refresh(kind, **fields),
        fix=TroubledCredential.lift_faults,
    )


def _unavailable(name: str, says: tuple[str, ...], cause: Change) -> Trouble:
    return Trouble(
        name=f"verify-{name}", reason="PipedriveUnavailable", says=says, cause=cause, fix=TroubledCredential.lift_faults
    )


_INCOMPLETE = ("is not a complete token response", "tries again after a pause", "consent again")
_UNCLEAR = ("does not show whose token it is", "asks again after a pause")
_UNREACHABLE = ("cannot be asked", "asks again after a pause")

TROUBLES = (
    Trouble(
        name="token-replaced",
        reason="TokenRejected",
        says=("Pipedrive refused the token (HTTP 401", "Write the user's current API token to Vault"),
        cause=_regenerate,
        fix=_write_present_token,
        stalled=True,
        stays_ready=False,
    ),
    Trouble(
        name="token-mistyped",
        reason="TokenRejected",
        says=("Pipedrive refused the token (HTTP 401", "Write the user's current API token to Vault"),
        cause=lambda subject: subject.write(api_token="f" * 40),
        fix=_write_present_token,
        stalled=True,
    ),
    Trouble(
        name="token-unsendable",
        reason="TokenRejected",
        says=("holds characters that no token has", "Write the user's current API token to Vault"),
        cause=lambda subject: subject.write(api_token=f"{subject.person.api_token}ü"),
        fix=_write_present_token,
        stalled=True,
    ),
    Trouble(
        name="wrong-company",
        reason="WrongAccount",
        says=("Not published", "wrong-company", "another-one"),
        spec={"account": {"companyDomain": "another-one"}},
        starts_ready=False,
        fix=lambda subject: subject.change(account={"companyDomain": subject.person.domain}),
        stalled=True,
    ),
    Trouble(
        name="company-swapped",
        reason="WrongAccount",
        says=("Not published", "company-swapped-2"),
        spec={"account": {"companyDomain": "company-swapped"}},
        cause=_write_token_of_another_user,
        fix=_write_present_token,
        stalled=True,
    ),
    Trouble(
        name="company-pinned",
        reason="WrongAccount",
        says=("Not published", "company-pinned-2", "To change the company, set spec.account.companyId"),
        cause=_write_token_of_another_user,
        fix=_write_present_token,
        stalled=True,
    ),
    Trouble(
        name="client-secret-wrong",
        reason="ClientRejected",
        says=("refused the app's client id or secret (HTTP 400", "Correct them in Vault", "no new consent is needed"),
        kind=Kind.OAUTH2,
        cause=_new_client_secret,
        fix=_write_client_secret,
        stalled=True,
    ),
    Trouble(
        name="refresh-token-refused",
        reason="ConsentRequired",
        says=(
            "Pipedrive refused the refresh token (HTTP 400",
            "Consent again: ",
            "write the new refresh_token to secret/{subject.path} in Vault",
        ),
        kind=Kind.OAUTH2,
        cause=_spoil_refresh_token,
        fix=TroubledCredential.consent,
        stalled=True,
    ),
    Trouble(
        name="scope-missing",
        reason="ScopeMissing",
        says=("lacks deals:full", "Developer Hub", "write the new refresh_token to {subject.path} in Vault"),
        kind=Kind.OAUTH2,
        spec={"oauth2": {"requiredScopes": ["base", "deals:full"]}},
        starts_ready=False,
        fix=_add_scope_and_consent,
        stalled=True,
    ),
    Trouble(
        name="account-closed",
        reason="AccountNotOpen",
        says=("account is not open (HTTP 402", "Settle the subscription", "recovers by itself"),
        cause=_change_company(is_open=False),
        fix=_change_company(is_open=True),
        stalled=True,
        stays_ready=False,
    ),
    Trouble(
        name="refresh-unpaid",
        reason="AccountNotOpen",
        says=("account is not open (HTTP 402", "Settle the subscription", "recovers by itself"),
        kind=Kind.OAUTH2,
        cause=_break_refresh("payment_required"),
        fix=TroubledCredential.lift_faults,
        stalled=True,
    ),
    Trouble(
        name="verify-limited",
        reason="RateLimited",
        says=("API budget at Pipedrive is used up (HTTP 429", "Reduce other use", "tries again later"),
        cause=_break_verification("burst_limit", retry_after=RETRY_AFTER),
        fix=TroubledCredential.lift_faults,
    ),
    Trouble(
        name="verify-blocked",
        reason="RateLimited",
        says=("edge blocks the operator with a page", "HTTP 403", "Reduce other use"),
        cause=_break_verification("cloudflare"),
        fix=TroubledCredential.lift_faults,
    ),
    Trouble(
        name="refresh-limited",
        reason="RateLimited",
        says=("too many requests (HTTP 429", "tries again later"),
        kind=Kind.OAUTH2,
        cause=_break_refresh("daily_limit", retry_after=RETRY_AFTER),
        fix=TroubledCredential.lift_faults,
    ),
    Trouble(
        name="echoed",
        reason="PipedriveUnavailable",
        says=("HTTP 418", "asks again after a pause"),
        kind=Kind.OAUTH2,
        cause=_let_api_echo,
        fix=_stop_api_echo,
    ),
    Trouble(
        name="refresh-without-error-code",
        reason="RefreshUncertain",
        says=(*_LOST[:1], "HTTP 400", *_LOST[1:]),
        kind=Kind.OAUTH2,
        cause=_break_refresh("no_error"),
        fix=TroubledCredential.lift_faults,
    ),
    Trouble(
        name="api-domain-foreign",
        reason="PipedriveUnavailable",
        says=("api_domain is", "does not match pipedrive.allowedApiDomains", "keeps the refresh token in it"),
        kind=Kind.OAUTH2,
        cause=_move_api,
        fix=_move_api_back,
    ),
    _unavailable("fails", ("HTTP 503", *_UNCLEAR), _break_verification("status", status=503)),
    _unavailable("page", ("HTTP 200", *_UNCLEAR), _break_verification("html")),
    _unavailable("empty", ("HTTP 200", *_UNCLEAR), _break_verification("no_token")),
    _unavailable("dropped", _UNREACHABLE, _break_verification("drop")),
    _unavailable("cut", _UNREACHABLE, _break_verification("cut", effect="after")),
    _unavailable("hangs", ("no answer came in time", *_UNREACHABLE), _break_verification("hang")),
    _lost("dropped-before", "drop"),
    _lost("dropped-after", "drop", effect="after"),
    _lost("cut", "cut", effect="after"),
    _lost("fails", "status", "HTTP 500", *_LOST, status=500, effect="after"),
    _lost("page", "html", "the body is not a JSON object", *_INCOMPLETE),
    _lost("error-page", "html", "HTTP 502", *_LOST, status=502),
    _lost("without-token", "no_token", "refresh_token is missing", *_INCOMPLETE),
)
"""Each strikes one company alone."""
