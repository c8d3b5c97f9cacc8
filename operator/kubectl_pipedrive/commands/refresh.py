"""`refresh`: asks the operator for a refresh or a check by an annotation, and reports the outcome."""

from datetime import timedelta
from typing import Final

from kubectl_pipedrive.command_line import Arguments, Command, Invocation, Option
from kubectl_pipedrive.credential import Credential
from kubectl_pipedrive.errors import UsageError
from kubectl_pipedrive.kubectl import CREDENTIALS
from kubectl_pipedrive.outcome import Request, RequestOutcome, outcome
from kubectl_pipedrive.selection import ALL, ALL_NAMESPACES, CHOICE, SELECTOR, by_namespace, find_chosen, nothing_found
from pipedrive_operator.core.resource.names import ANNOTATION_REQUEST, ANNOTATION_REQUESTED_AT
from pipedrive_operator.core.values.times import parse_duration

_POLL_SECONDS: Final = 1.0


def refresh(invocation: Invocation, arguments: Arguments) -> int:
    """Request it, and wait for the outcome if asked to."""
    timeout = _timeout(arguments)
    found = find_chosen(invocation, arguments)
    if not found:
        invocation.terminal.error(nothing_found(invocation, arguments))
        return 0
    suspended = [one for one in found if one.is_suspended]
    for one in suspended:
        invocation.terminal.error(
            f"{one}: suspended, so nothing is done for it: kubectl pipedrive resume {one.flags()}"
        )
    requests = _request(invocation, [one for one in found if not one.is_suspended], arguments)
    if not arguments.switch("wait"):
        for request in requests:
            invocation.terminal.line(f"{request.before}: {'refresh' if request.is_refresh else 'check'} requested")
        return 1 if suspended else 0
    done = _wait(invocation, requests, timeout)
    return 0 if done and not suspended else 1


def _request(invocation: Invocation, found: list[Credential], arguments: Arguments) -> list[Request]:
    """Annotate the credentials. An API token cannot be refreshed: it is read from Vault and verified again."""
    now = invocation.clock.now()
    value = now.isoformat(timespec="microseconds")
    wanted = f"{ANNOTATION_REQUEST}-" if arguments.switch("verify-only") else f"{ANNOTATION_REQUEST}=refresh"
    for namespace, members in by_namespace(found):
        names = [one.name for one in members]
        annotations = ("--overwrite", f"{ANNOTATION_REQUESTED_AT}={value}", wanted)
        invocation.kubectl.within(namespace).run("annotate", CREDENTIALS, *names, *annotations)
    return [
        Request(before=one, value=value, at=now, is_refresh=one.is_oauth2 and not arguments.switch("verify-only"))
        for one in found
    ]


def _wait(invocation: Invocation, requests: list[Request], timeout: timedelta) -> bool:
    """Print the outcome of each request as it becomes known, and return whether all succeeded."""
    waiting = {str(request.before): request for request in requests}
    ok = True
    while waiting:
        for credential in _read([request.before for request in waiting.values()], invocation):
            request, now = waiting[str(credential)], invocation.clock.now()
            ended = outcome(request, credential, now) or _late(request, now - request.at, timeout)
            if ended is not None:
                invocation.terminal.line(f"{invocation.terminal.mark(ok=ended.ok)} {credential}: {ended.text}")
                ok = ok and ended.ok
                del waiting[str(credential)]
        if waiting:
            invocation.clock.sleep(_POLL_SECONDS)
    return ok


def _read(credentials: list[Credential], invocation: Invocation) -> list[Credential]:
    return [
        Credential(body)
        for namespace, members in by_namespace(credentials)
        for body in invocation.kubectl.within(namespace).items(CREDENTIALS, *(one.name for one in members))
    ]


def _late(request: Request, waited: timedelta, timeout: timedelta) -> RequestOutcome | None:
    if waited < timeout:
        return None
    check = f"kubectl pipedrive check {request.before.flags()}"
    return RequestOutcome(
        ok=False, text=f"no outcome after {int(waited.total_seconds())} s: is the operator running? {check}"
    )


def _timeout(arguments: Arguments) -> timedelta:
    given = arguments.value("timeout") or ""
    found = parse_duration(given)
    if found is None:
        message = f"--timeout={given} is not a duration such as 90s or 2m"
        raise UsageError(message)
    return found


_COMMAND: Final = Command(
    words=("refresh",),
    arguments="[NAME...]",
    summary="Refresh credentials now, or only check them, without waiting until they are due.",
    description=(
        "It sets an annotation on each credential, and the operator acts on it within seconds. An OAuth2 credential "
        "gets a new access token; an API token is read from Vault and verified with Pipedrive again. After you have "
        "corrected something in Vault or in Pipedrive, --verify-only is enough: the operator reads and verifies again, "
        "without forcing a refresh.\n\n"
        f"{CHOICE} It needs the permission to change credentials, which the role `edit` has."
    ),
    examples=(
        ("Refresh one credential, and wait for the result", "kubectl pipedrive refresh acme -n crm --wait"),
        (
            "Read and verify again, after you changed the value in Vault",
            "kubectl pipedrive refresh acme -n crm --verify-only --wait",
        ),
        ("All credentials of a team", "kubectl pipedrive refresh -l team=crm"),
        ("Every credential of the cluster", "kubectl pipedrive refresh --all -A"),
    ),
    options=(
        ALL,
        ALL_NAMESPACES,
        SELECTOR,
        Option(name="verify-only", help="Read Vault and verify with Pipedrive, without forcing a refresh."),
        Option(name="wait", help="Wait for the result, and print it."),
        Option(name="timeout", value="DURATION", default="2m", help="How long --wait waits, such as 90s or 2m."),
    ),
    exit_codes=(
        "0 requested (with --wait: all succeeded),\n"
        "1 at least one is suspended (with --wait: or failed, or has no result in time),\n"
        "2 wrong usage or no access."
    ),
    run=refresh,
)
COMMANDS: Final = (_COMMAND,)
