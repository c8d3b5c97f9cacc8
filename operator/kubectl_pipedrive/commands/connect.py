"""`connect`: connects a credential to an account of Pipedrive, by a link that a person opens in a browser."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from kubectl_pipedrive.command_line import Arguments, Command, Invocation, Option
from kubectl_pipedrive.consent import (
    Consent,
    manifest,
    name_for,
)
from kubectl_pipedrive.credential import Credential
from kubectl_pipedrive.errors import ConnectFailed, KubectlFailed, UsageError
from kubectl_pipedrive.health import deciding, is_ready
from kubectl_pipedrive.kubectl import CONSENTS, CREDENTIALS
from kubectl_pipedrive.moments import length
from kubectl_pipedrive.progress import POLL_SECONDS, Link, follow, listening, read_consent, why_ended
from kubectl_pipedrive.selection import find
from kubectl_pipedrive.terminal import Style
from pipedrive_operator.core.resource.consent_link import (
    KEY_BYTES,
    Mode,
    digest_of,
    key_from,
    link,
    state_of,
    with_state,
)
from pipedrive_operator.core.resource.names import CONSENT_SHORT_NAME, Key
from pipedrive_operator.core.values.secret_value import SecretValue
from pipedrive_operator.core.values.times import parse_duration

if TYPE_CHECKING:
    from kubectl_pipedrive.machine import Machine

_PREPARED_WITHIN: Final = timedelta(seconds=30)
_PUBLISHED_WITHIN: Final = timedelta(seconds=60)
SHORTEST: Final = timedelta(minutes=1)
LONGEST: Final = timedelta(hours=24)
"""The limits of a lifetime, as the operator has them: its own model is slow to import."""
_STAYS: Final = (
    "the redirect of this app ends on your machine, so this command must wait: leave out --print and --no-wait"
)
_SUFFIX_LENGTH: Final = 6
_WITHOUT_QUESTION: Final = "--interactive=false"
"""A kuberc file can make kubectl ask before it deletes. kubectl 1.28 knows neither that file nor this flag.

https://kubernetes.io/docs/reference/kubectl/kuberc/
"""
_HALF_A_MINUTE: Final = timedelta(seconds=30)
"""Rounds a length of time, which is cut otherwise: the operator has used up some seconds."""
_WARNINGS: Final = {
    Mode.HOSTED: "Anyone who has it can connect an account:",
    Mode.LOOPBACK: "Open it on this machine:",
    Mode.PASTE: "Open it in a browser:",
}


def connect(invocation: Invocation, arguments: Arguments) -> int:
    """Create a consent, show its link, and wait until the account is connected and the Secret is published."""
    _check_options(arguments)
    machine = invocation.machine or _local_machine()
    credential = _connectable(invocation, arguments.names[0])
    key = key_from(machine.random_bytes(KEY_BYTES))
    name = Key(namespace=credential.namespace, name=name_for(credential, machine.random_name(_SUFFIX_LENGTH)))
    invocation = replace(invocation, kubectl=invocation.kubectl.within(credential.namespace), machine=machine)
    stays = arguments.switch("print") or arguments.switch("no-wait")
    with _removed_unless_connected(invocation, machine, name) as keep:
        try:
            _create(invocation, arguments, credential, name, digest_of(state_of(key, name)))
        except KubectlFailed as failure:
            if failure.is_forbidden:
                keep.append(name)  # nothing was created, so there is nothing to remove
            raise
        found = _link(_prepared(invocation, name), name, key, paste=arguments.switch("paste"))
        if stays and found.mode is not Mode.HOSTED:
            raise UsageError(_STAYS)
        with listening(machine, found) as callback:
            _show(invocation, arguments, credential, found)
            if not stays:
                follow(invocation, machine, found, callback)
        keep.append(name)
    if stays:
        return 0
    return _published(invocation, credential, found)


def _check_options(arguments: Arguments) -> None:
    """Raise UsageError for what cannot lead to a link, before one is created."""
    if arguments.switch("paste") and (arguments.switch("print") or arguments.switch("no-wait")):
        raise UsageError("--paste waits for an address: leave out --print and --no-wait")
    given = arguments.value("lifetime")
    lifetime = None if given is None else parse_duration(given)
    if given is not None and (lifetime is None or not SHORTEST <= lifetime <= LONGEST):
        message = f"--lifetime={given} is not a duration from 1m to 24h, such as 30m or 4h"
        raise UsageError(message)


def _local_machine() -> "Machine":
    from kubectl_pipedrive.machine import LocalMachine  # noqa: PLC0415  slow to import, and not needed for --help

    return LocalMachine()


def _connectable(invocation: Invocation, name: str) -> Credential:
    """Return the credential. Raises ConnectFailed if no account can be connected to it."""
    (found,) = find(invocation, Arguments(names=(name,)))
    if not found.is_oauth2:
        message = f"{found} publishes an API token, which has to be written to Vault: there is no account to connect"
        raise ConnectFailed(message)
    if found.is_suspended:
        message = f"{found} is suspended. First: kubectl pipedrive resume {found.flags()}"
        raise ConnectFailed(message)
    return found


@contextmanager
def _removed_unless_connected(invocation: Invocation, machine: "Machine", name: Key) -> Iterator[list[Key]]:
    """Delete the consent, however this ends, unless it is in the list: an interrupted command leaves no usable link."""
    keep: list[Key] = []
    was_interrupted = False
    try:
        yield keep
    except KeyboardInterrupt:
        was_interrupted = True
        raise
    finally:
        if name not in keep:
            with machine.uninterrupted():
                is_removed = _remove(invocation, name)
            if was_interrupted and is_removed:
                invocation.terminal.error("\nThe link was removed.")


def _remove(invocation: Invocation, name: Key) -> bool:
    """Delete the consent, and return whether that worked; if not, say how to do it."""
    # Nobody can interrupt this, so it ends by itself; a --request-timeout of the person's own follows, and counts.
    arguments = ("delete", CONSENTS, name.name, "--ignore-not-found", "--wait=false", "--request-timeout=20s")
    try:
        try:
            invocation.kubectl.run(*arguments, _WITHOUT_QUESTION)
        except KubectlFailed as failure:
            if not failure.is_unknown_flag:
                raise
            invocation.kubectl.run(*arguments)
    except KubectlFailed as failure:
        remove = f"kubectl delete {CONSENT_SHORT_NAME} {name.name} -n {name.namespace}"
        invocation.terminal.error(f"The link could not be removed: {failure}\nRemove it: {remove}")
        return False
    return True


def _create(invocation: Invocation, arguments: Arguments, credential: Credential, name: Key, digest: str) -> None:
    body = manifest(
        credential,
        name,
        digest=digest,
        lifetime=arguments.value("lifetime"),
        allow_account_change=arguments.switch("allow-account-change"),
    )
    invocation.kubectl.run("create", "--filename=-", "--validate=false", stdin=json.dumps(body))


def _prepared(invocation: Invocation, name: Key) -> Consent:
    """Return the consent once the operator has prepared its link. Raises ConnectFailed."""
    begun = invocation.clock.now()
    while True:
        consent = read_consent(invocation, name)
        if consent.has_ended:
            raise ConnectFailed(why_ended(consent))
        if consent.url:
            return consent
        if invocation.clock.now() - begun >= _PREPARED_WITHIN:
            why = consent.message or (
                "the operator did not react. Its setting consent.enabled may be false, or it may not be running: "
                f"kubectl pipedrive check -n {name.namespace}"
            )
            message = f"no link was prepared: {why}"
            raise ConnectFailed(message)
        invocation.clock.sleep(POLL_SECONDS)


def _link(consent: Consent, name: Key, key: SecretValue, *, paste: bool) -> Link:
    state = state_of(key, name)
    mode = Mode.PASTE if paste else consent.mode
    address = link(consent.page_url, key) if mode is Mode.HOSTED else with_state(consent.url, state)
    return Link(consent=consent, name=name, state=state, address=address, mode=mode)


def _show(invocation: Invocation, arguments: Arguments, credential: Credential, found: Link) -> None:
    """Print the link, and open it unless the person does not want that or has to send it to someone."""
    screen, consent = invocation.terminal, found.consent
    if arguments.switch("print"):
        screen.line(found.address.reveal())
        return
    expires = consent.expires_at
    valid = f", valid for {length(expires - invocation.clock.now() + _HALF_A_MINUTE)}" if expires is not None else ""
    screen.line(screen.wrap(f"Link for {credential} (app {consent.app}){valid}. {_WARNINGS[found.mode]}", ""))
    screen.line(f"  {screen.paint(found.address.reveal(), Style.STRONG)}")
    if found.mode is not Mode.HOSTED and consent.expected:  # the front shows it on its page
        screen.line(f"Accept as {consent.expected}; any other account is refused.")
    machine = invocation.machine or _local_machine()
    if (
        not arguments.switch("no-browser")
        and not arguments.switch("no-wait")
        and machine.open_browser(found.address.reveal())
    ):
        screen.line("Your browser opens it.")


def _published(invocation: Invocation, credential: Credential, found: Link) -> int:
    """Report the connection, and wait until the Secret is published."""
    screen, begun = invocation.terminal, invocation.clock.now()
    consent = read_consent(invocation, found.name)
    while True:
        now = Credential(invocation.kubectl.get("get", CREDENTIALS, credential.name))
        is_late = invocation.clock.now() - begun >= _PUBLISHED_WITHIN
        if is_ready(now) or is_late:
            break
        invocation.clock.sleep(POLL_SECONDS)
    screen.line(f"\n{screen.mark(ok=True)} Connected to {consent.account}. {_secret(now)}")
    return 0 if is_ready(now) else 1


def _secret(credential: Credential) -> str:
    if is_ready(credential):
        return f"Secret {credential.namespace}/{credential.secret_name} is published."
    condition = deciding(credential)
    why = f" ({condition.reason}: {condition.message})" if condition is not None else ""
    return f"The Secret is not published yet{why}: kubectl pipedrive status {credential.flags()}"


_COMMAND: Final = Command(
    words=("connect",),
    arguments="NAME",
    least=1,
    most=1,
    summary="Connect a credential to an account of Pipedrive, in a browser.",
    description=(
        "Use it for an OAuth2 credential that is new, or that `status` shows with ConsentRequired. It creates a link, "
        "opens it in your browser, and waits until a person has accepted there and the Secret is published. That "
        "person needs no access to the cluster. An earlier connection stays in use until the new one is verified and "
        "belongs to the right company. Ctrl-C removes the link.\n\n"
        "After the person accepts, Pipedrive sends the browser to the callback URL that is registered for the app. "
        "If that is a page of the operator, the link works on any machine. If it is an address on localhost, this "
        "command receives the answer: open the link on this machine. If it is any other address, copy the address from "
        "the browser, and paste it when the command asks for it.\n\n"
        "It needs the permission to create, read, patch and delete PipedriveConsents, which the role `edit` has. The "
        "operator must have the setting consent.enabled."
    ),
    examples=(
        ("Connect, in the browser of this machine", "kubectl pipedrive connect acme -n crm"),
        (
            "Print a link that you send to the account's owner",
            "kubectl pipedrive connect acme -n crm --print --lifetime 4h",
        ),
        ("On a machine without a browser", "kubectl pipedrive connect acme -n crm --no-browser"),
        ("Over SSH, when the callback URL is on localhost", "kubectl pipedrive connect acme -n crm --paste"),
        ("Move the credential to another company", "kubectl pipedrive connect acme -n crm --allow-account-change"),
    ),
    options=(
        Option(
            name="print",
            help="Print only the link, and do not wait. This needs a callback URL that is a page of the operator.",
        ),
        Option(name="no-browser", help="Do not open a browser: open the link yourself, or send it to someone."),
        Option(
            name="no-wait",
            help="Show the link, open no browser, and do not wait. The link stays valid. This needs a callback URL "
            "that is a page of the operator.",
        ),
        Option(
            name="paste", help="Ask for the address that the browser shows at the end, whatever the callback URL is."
        ),
        Option(name="lifetime", value="DURATION", help="How long the link is valid, from 1m to 24h. By default 30m."),
        Option(name="allow-account-change", help="Accept a company other than the one that is connected now."),
    ),
    exit_codes=(
        "0 connected and the Secret published (with --print or --no-wait: link created),\n"
        "1 not connected or the Secret not published, 2 wrong usage or no access, 130 Ctrl-C."
    ),
    run=connect,
)
COMMANDS: Final = (_COMMAND,)
