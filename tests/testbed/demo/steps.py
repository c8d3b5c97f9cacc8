"""The steps of the tour: an action on the environment, and a check that the operator reacted to it.

A check compares two snapshots, and does not know where they come from.
"""

from pathlib import Path
from typing import Final

from testbed.demo.environment import TOKEN_PATH, DemoEnvironment
from testbed.demo.snapshot import Snapshot
from testbed.demo.tour import NotSeenError, Step

API_TOKEN = "acme-token"
OAUTH2 = "acme"
_TIME = "%H:%M:%SZ"
CREDENTIALS = Path(__file__).with_name("credentials.yaml")
_EDIT = '{"stringData": {"api_token": "edited by hand"}}'


def apply_credentials(environment: DemoEnvironment) -> None:
    """Apply the two sample credentials."""
    environment.kubectl("apply", f"--filename={CREDENTIALS}")


def one_is_published(_: Snapshot, now: Snapshot) -> str | None:
    """Wait until the API token is published, and the other credential says that nobody has consented."""
    waiting = now.credentials.get(OAUTH2)
    if not _is_ready(now, API_TOKEN) or waiting is None or waiting.reason != "GrantMissing":
        return None
    token = now.secrets[API_TOKEN].digest
    return f"Secret {API_TOKEN} holds token {token} (a digest, never the token); {OAUTH2}: GrantMissing"


def connect(environment: DemoEnvironment) -> None:
    """Create a link, and open it in place of the person if there is none."""
    link = environment.create_link(OAUTH2)
    if environment.accepts:
        environment.accept(link)
        return
    environment.say(
        f"Open this link in a browser on this machine, continue to Pipedrive, and press Accept:\n\n  {link}\n"
    )


def is_connected(_: Snapshot, now: Snapshot) -> str | None:
    """Wait until the Secret of the connected account exists."""
    if not _is_ready(now, OAUTH2):
        return None
    return f"company {now.credentials[OAUTH2].company} is connected; Secret {OAUTH2} holds {now.secrets[OAUTH2].digest}"


def nothing(_: DemoEnvironment) -> None:
    """Do nothing: the step only needs time."""


def was_refreshed_in_time(before: Snapshot, now: Snapshot) -> str | None:
    """Wait for another access token with a later expiry. Raises NotSeenError if the old one expires first."""
    old, new = before.credentials[OAUTH2].expires_at, now.credentials[OAUTH2].expires_at
    was, became = before.secrets[OAUTH2].digest, now.secrets[OAUTH2].digest
    if old is None or new is None:
        message = f"credential {OAUTH2} does not report when its token expires"
        raise NotSeenError(message)
    if now.at >= old:
        message = f"token {was} expired at {old:{_TIME}} before it was replaced"
        raise NotSeenError(message)
    if new <= old or was == became:
        return None
    spare = (old - now.at).total_seconds()
    replaced = f"was replaced {spare:.0f} s early by {became}"
    return f"token {was}, valid until {old:{_TIME}}, {replaced}, valid until {new:{_TIME}}"


def edit_secret(environment: DemoEnvironment) -> None:
    """Edit the Secret by hand: write another token into it."""
    environment.kubectl("patch", "secret", API_TOKEN, f"--patch={_EDIT}")


def is_repaired(before: Snapshot, now: Snapshot) -> str | None:
    """Wait until the Secret has been written again and holds its previous token."""
    was, found = before.secrets[API_TOKEN], now.secrets.get(API_TOKEN)
    if found is None or found.digest != was.digest or found.version == was.version:
        return None
    return f"Secret {API_TOKEN} was repaired, and holds token {was.digest} again"


def revoke_token(environment: DemoEnvironment) -> None:
    """Regenerate the user's API token at Pipedrive without changing Vault."""
    environment.pipedrive.regenerate_api_token()


def is_reported_as_rejected(before: Snapshot, now: Snapshot) -> str | None:
    """Wait for the condition. Raises NotSeenError if the Secret does not keep the last accepted value."""
    found, secret = now.credentials[API_TOKEN], now.secrets.get(API_TOKEN)
    if secret is None or secret.digest != before.secrets[API_TOKEN].digest:
        message = f"Secret {API_TOKEN} does not keep its value, although no newer one was accepted"
        raise NotSeenError(message)
    if (found.ready, found.reason) != ("False", "TokenRejected"):
        return None
    return f"Ready=False, TokenRejected: {found.message}"


def write_new_token(environment: DemoEnvironment) -> None:
    """Do what the condition asks for: write the user's new token to Vault."""
    environment.openbao.write_secret(TOKEN_PATH, {"api_token": environment.pipedrive.api_token()})


def is_recovered(before: Snapshot, now: Snapshot) -> str | None:
    """Wait until the Secret holds another token and the credential is ready."""
    was, found = before.secrets[API_TOKEN], now.secrets.get(API_TOKEN)
    if found is None or found.digest == was.digest or not _is_ready(now, API_TOKEN):
        return None
    return f"Ready=True, and Secret {API_TOKEN} holds token {found.digest} instead of {was.digest}"


def _is_ready(snapshot: Snapshot, name: str) -> bool:
    return name in snapshot.secrets and name in snapshot.credentials and snapshot.credentials[name].ready == "True"


PERSON_SECONDS: Final = 1800
"""How long the demo waits for a person, and the link is valid."""


def steps(*, accepts: bool) -> tuple[Step[DemoEnvironment, Snapshot], ...]:
    """Return the steps of the tour; a person takes longer to accept than the demo itself."""
    within = 60 if accepts else PERSON_SECONDS
    return (
        Step(
            name="publish",
            sees=f"two credentials are applied: one is published, and {OAUTH2} waits for somebody who consents",
            do=apply_credentials,
            check=one_is_published,
            within=20,
        ),
        Step(
            name="connect",
            sees="`kubectl pipedrive connect` prints a link; somebody opens it and presses Accept on Pipedrive's page",
            do=connect,
            check=is_connected,
            within=within,
        ),
        *_AFTERWARDS,
    )


_AFTERWARDS: tuple[Step[DemoEnvironment, Snapshot], ...] = (
    Step(
        name="refresh",
        sees="the access token, which is valid for a minute, is replaced before it expires (about 40 s)",
        do=nothing,
        check=was_refreshed_in_time,
        within=75,
    ),
    Step(
        name="repair",
        sees=f"Secret {API_TOKEN} is edited by hand and repaired",
        do=edit_secret,
        check=is_repaired,
        within=10,
    ),
    Step(
        name="revoke",
        sees="the API token is revoked at Pipedrive; the next verification notices (every 15 s here, 1 h by default)",
        do=revoke_token,
        check=is_reported_as_rejected,
        within=40,
    ),
    Step(
        name="recover",
        sees="the new API token is written to Vault; the next poll finds it (every 5 s here, 5 min by default)",
        do=write_new_token,
        check=is_recovered,
        within=30,
    ),
)
