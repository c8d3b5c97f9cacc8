"""Troubles with Pipedrive: its responses, missing responses, and what people change there."""

from support.troubles.trouble import Actor, Deed, Kind, Trouble

RETRY_AFTER = 6
_LOST = ("The refresh was sent", "tries again after a pause", "consent again")


def _verify_meets(kind: str, **fields: object) -> Deed:
    return lambda actor: actor.fault(kind, endpoint="users_me", **fields)


def _refresh_meets(kind: str, **fields: object) -> Deed:
    def strike(actor: Actor) -> None:
        actor.fault(kind, endpoint="token", **fields)
        actor.age()

    return strike


def _regenerate(actor: Actor) -> None:
    actor.stage.pipedrive.command("regenerate-api-token", **actor.person.key)


def _write_present_token(actor: Actor) -> None:
    users = actor.stage.pipedrive.view("state")["users"]
    present = next(user for user in users if user["company_id"] == actor.person.company_id)
    actor.write(api_token=present["api_token"])


def _write_token_of_another(actor: Actor) -> None:
    actor.write(api_token=actor.stage.person(f"{actor.name}-2").api_token)


def _change_company(**fields: object) -> Deed:
    return lambda actor: actor.stage.pipedrive.command("change-company", company_id=actor.person.company_id, **fields)


def _new_client_secret(actor: Actor) -> None:
    actor.stage.pipedrive.command("change-app", client_id=actor.name, client_secret="0123456789" * 4)
    actor.age()


def _write_client_secret(actor: Actor) -> None:
    actor.vault.write_secret(actor.app_path, {"client_id": actor.name, "client_secret": "0123456789" * 4})


def _spoil_refresh_token(actor: Actor) -> None:
    """Damage the refresh token only: a revocation would end the access token too, and either could be noticed first."""
    actor.write(**actor.read() | {"refresh_token": "1:1:" + "0" * 40})
    actor.age()


def _move_api(actor: Actor) -> None:
    _change_company(api_domain="https://pipedrive.example.org")(actor)
    actor.age()


def _move_api_back(actor: Actor) -> None:
    _change_company(api_domain=actor.stage.pipedrive_url)(actor)


def _echo_meets(actor: Actor) -> None:
    """Let the company's own API quote everything that it receives."""
    actor.write(**actor.read() | {"api_domain": actor.stage.echo_url})


def _no_echo(actor: Actor) -> None:
    actor.write(**actor.read() | {"api_domain": actor.stage.pipedrive_url})


def _add_scope_and_consent(actor: Actor) -> None:
    actor.stage.pipedrive.command("change-app", client_id=actor.name, scopes=["base", "deals:full"])
    actor.consent()


def _lost(name: str, kind: str, *says: str, **fields: object) -> Trouble:
    return Trouble(
        name=f"refresh-{name}",
        reason="RefreshUncertain",
        says=says or _LOST,
        kind=Kind.OAUTH2,
        strike=_refresh_meets(kind, **fields),
        mend=Actor.lift_faults,
    )


def _unavailable(name: str, says: tuple[str, ...], strike: Deed) -> Trouble:
    return Trouble(
        name=f"verify-{name}", reason="PipedriveUnavailable", says=says, strike=strike, mend=Actor.lift_faults
    )


_INCOMPLETE = ("is not a complete token response", "tries again after a pause", "consent again")
_UNTOLD = ("does not show whose token it is", "asks again after a pause")
_UNASKED = ("cannot be asked", "asks again after a pause")

TROUBLES = (
    Trouble(
        name="token-replaced",
        reason="TokenRejected",
        says=("Pipedrive refused the token (HTTP 401", "Write the user's current API token to Vault"),
        strike=_regenerate,
        mend=_write_present_token,
        stalled=True,
        stays_ready=False,
    ),
    Trouble(
        name="token-mistyped",
        reason="TokenRejected",
        says=("Pipedrive refused the token (HTTP 401", "Write the user's current API token to Vault"),
        strike=lambda actor: actor.write(api_token="f" * 40),
        mend=_write_present_token,
        stalled=True,
    ),
    Trouble(
        name="token-unsendable",
        reason="TokenRejected",
        says=("holds characters that no token has", "Write the user's current API token to Vault"),
        strike=lambda actor: actor.write(api_token=f"{actor.person.api_token}ü"),
        mend=_write_present_token,
        stalled=True,
    ),
    Trouble(
        name="wrong-company",
        reason="WrongAccount",
        says=("Not published", "wrong-company", "another-one"),
        spec={"account": {"companyDomain": "another-one"}},
        was_fine=False,
        mend=lambda actor: actor.change(account={"companyDomain": actor.person.domain}),
        stalled=True,
    ),
    Trouble(
        name="company-swapped",
        reason="WrongAccount",
        says=("Not published", "company-swapped-2"),
        spec={"account": {"companyDomain": "company-swapped"}},
        strike=_write_token_of_another,
        mend=_write_present_token,
        stalled=True,
    ),
    Trouble(
        name="company-pinned",
        reason="WrongAccount",
        says=("Not published", "company-pinned-2", "To change the company, set spec.account.companyId"),
        strike=_write_token_of_another,
        mend=_write_present_token,
        stalled=True,
    ),
    Trouble(
        name="client-secret-wrong",
        reason="ClientRejected",
        says=("refused the app's client id or secret (HTTP 400", "Correct them in Vault", "no new consent is needed"),
        kind=Kind.OAUTH2,
        strike=_new_client_secret,
        mend=_write_client_secret,
        stalled=True,
    ),
    Trouble(
        name="refresh-token-refused",
        reason="ConsentRequired",
        says=(
            "Pipedrive refused the refresh token (HTTP 400",
            "Consent again: ",
            "write the new refresh_token to secret/{actor.path} in Vault",
        ),
        kind=Kind.OAUTH2,
        strike=_spoil_refresh_token,
        mend=Actor.consent,
        stalled=True,
    ),
    Trouble(
        name="scope-missing",
        reason="ScopeMissing",
        says=("lacks deals:full", "Developer Hub", "write the new refresh_token to {actor.path} in Vault"),
        kind=Kind.OAUTH2,
        spec={"oauth2": {"requiredScopes": ["base", "deals:full"]}},
        was_fine=False,
        mend=_add_scope_and_consent,
        stalled=True,
    ),
    Trouble(
        name="account-closed",
        reason="AccountNotOpen",
        says=("account is not open (HTTP 402", "Settle the subscription", "recovers by itself"),
        strike=_change_company(is_open=False),
        mend=_change_company(is_open=True),
        stalled=True,
        stays_ready=False,
    ),
    Trouble(
        name="refresh-unpaid",
        reason="AccountNotOpen",
        says=("account is not open (HTTP 402", "Settle the subscription", "recovers by itself"),
        kind=Kind.OAUTH2,
        strike=_refresh_meets("payment_required"),
        mend=Actor.lift_faults,
        stalled=True,
    ),
    Trouble(
        name="verify-limited",
        reason="RateLimited",
        says=("API budget at Pipedrive is used up (HTTP 429", "Reduce other use", "tries again later"),
        strike=_verify_meets("burst_limit", retry_after=RETRY_AFTER),
        mend=Actor.lift_faults,
    ),
    Trouble(
        name="verify-blocked",
        reason="RateLimited",
        says=("edge blocks the operator with a page", "HTTP 403", "Reduce other use"),
        strike=_verify_meets("cloudflare"),
        mend=Actor.lift_faults,
    ),
    Trouble(
        name="refresh-limited",
        reason="RateLimited",
        says=("too many requests (HTTP 429", "tries again later"),
        kind=Kind.OAUTH2,
        strike=_refresh_meets("daily_limit", retry_after=RETRY_AFTER),
        mend=Actor.lift_faults,
    ),
    Trouble(
        name="echoed",
        reason="PipedriveUnavailable",
        says=("HTTP 418", "asks again after a pause"),
        kind=Kind.OAUTH2,
        strike=_echo_meets,
        mend=_no_echo,
    ),
    Trouble(
        name="refresh-without-error-code",
        reason="RefreshUncertain",
        says=(*_LOST[:1], "HTTP 400", *_LOST[1:]),
        kind=Kind.OAUTH2,
        strike=_refresh_meets("no_error"),
        mend=Actor.lift_faults,
    ),
    Trouble(
        name="api-domain-foreign",
        reason="PipedriveUnavailable",
        says=("api_domain is", "does not match pipedrive.allowedApiDomains", "keeps its refresh token"),
        kind=Kind.OAUTH2,
        strike=_move_api,
        mend=_move_api_back,
    ),
    _unavailable("fails", ("HTTP 503", *_UNTOLD), _verify_meets("status", status=503)),
    _unavailable("page", ("HTTP 200", *_UNTOLD), _verify_meets("html")),
    _unavailable("empty", ("HTTP 200", *_UNTOLD), _verify_meets("no_token")),
    _unavailable("dropped", _UNASKED, _verify_meets("drop")),
    _unavailable("cut", _UNASKED, _verify_meets("cut", effect="after")),
    _unavailable("hangs", ("no answer came in time", *_UNASKED), _verify_meets("hang")),
    _lost("dropped-before", "drop"),
    _lost("dropped-after", "drop", effect="after"),
    _lost("cut", "cut", effect="after"),
    _lost("fails", "status", "HTTP 500", *_LOST, status=500, effect="after"),
    _lost("page", "html", "the body is not a JSON object", *_INCOMPLETE),
    _lost("error-page", "html", "HTTP 502", *_LOST, status=502),
    _lost("without-token", "no_token", "refresh_token is missing", *_INCOMPLETE),
)
"""Each strikes one company alone."""
