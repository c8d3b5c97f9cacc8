"""`check`: what works from the view of a credential's owner, and the first thing that does not."""

from collections.abc import Iterable
from typing import Final

from kubectl_pipedrive import cluster
from kubectl_pipedrive.chain import State, chain, first_broken
from kubectl_pipedrive.cluster import Finding
from kubectl_pipedrive.command_line import Arguments, Command, Invocation
from kubectl_pipedrive.credential import Credential
from kubectl_pipedrive.errors import KubectlFailed
from kubectl_pipedrive.health import Health, deciding, health, next_step
from kubectl_pipedrive.selection import find
from kubectl_pipedrive.surroundings import look_around
from kubectl_pipedrive.terminal import Style

_SUBJECT: Final = 14
_FROM_INSIDE: Final = (
    "This is the view of a credential's owner. For the operator's own view of its settings, permissions and Vault, its "
    "administrator runs `pipedrive-operator check` in the operator's pod."
)


def check(invocation: Invocation, arguments: Arguments) -> int:
    """Print what was found, and return whether nothing is broken."""
    kubectl, namespace = invocation.kubectl, invocation.kubectl.current_namespace()
    api = cluster.served_api(kubectl)
    findings = [api]
    if api.ok:
        findings += cluster.permissions(kubectl, namespace) + cluster.operator(kubectl, invocation.clock.now())
        findings += [] if arguments.names else _credentials(invocation, namespace)
    _print(invocation, findings)
    is_fine = all(finding.ok is not False for finding in findings)
    if api.ok and arguments.names:
        is_fine = _chain(invocation, find(invocation, arguments)[0]) and is_fine
    invocation.terminal.line(f"\n{invocation.terminal.wrap(_FROM_INSIDE, '')}")
    return 0 if is_fine else 1


def _credentials(invocation: Invocation, namespace: str) -> list[Finding]:
    """Return one finding for each credential that needs action, and one for the others together."""
    try:
        found = find(invocation, Arguments())
    except KubectlFailed as failure:
        if failure.is_forbidden:
            return [
                Finding(
                    ok=False, subject="Credentials", text=f"your permissions do not include reading them in {namespace}"
                )
            ]
        raise
    unprocessed = [one for one in found if not one.is_current]
    acting = [one for one in found if health(one) is Health.ACT]
    findings = [
        Finding(
            ok=None,
            subject=one.name,
            text="not processed yet: is the operator running, and does it watch this namespace?",
        )
        for one in unprocessed
    ]
    for one in acting:
        condition = deciding(one)
        reason = condition.reason if condition is not None else ""
        findings.append(Finding(ok=False, subject=one.name, text=f"{reason}: kubectl pipedrive check {one.flags()}"))
    others = len(found) - len(acting) - len(unprocessed)
    return [
        Finding(
            ok=True if others else None,
            subject="Credentials",
            text=f"{others} of {len(found)} in {namespace} need no action",
        ),
        *findings,
    ]


def _chain(invocation: Invocation, credential: Credential) -> bool:
    """Print the parts of the chain of one credential, and return whether none is broken."""
    around = look_around(invocation.kubectl, credential)
    found = chain(credential, around, invocation.clock.now())
    if credential.is_oauth2:
        _print(invocation, cluster.newest_consent(invocation.kubectl, credential))
    invocation.terminal.line(f"\nFrom the spec of {credential} to its workload:")
    _print(invocation, (Finding(ok=_STATES[part.state], subject=part.name, text=part.text) for part in found))
    broken = first_broken(found)
    if broken is None:
        return True
    invocation.terminal.line(f"\nThe first broken part is {broken.name}.")
    step = next_step(credential)
    if step is not None:
        command = f"\n  {invocation.terminal.paint(step.command, Style.STRONG)}" if step.command is not None else ""
        invocation.terminal.line(f"{invocation.terminal.wrap(f'What to do: {step.text}', '')}{command}")
    return False


_STATES: Final = {State.OK: True, State.BROKEN: False, State.UNKNOWN: None}


def _print(invocation: Invocation, findings: Iterable[Finding]) -> None:
    screen, found = invocation.terminal, list(findings)
    width = max((_SUBJECT, *(len(finding.subject) + 1 for finding in found)))
    for finding in found:
        mark = screen.mark(ok=finding.ok) if finding.ok is not None else screen.paint("-", Style.FAINT)
        text = screen.wrap(finding.text, " " * (width + 2))
        screen.line(f"{mark} {finding.subject:<{width}}{text}")


_COMMAND: Final = Command(
    words=("check",),
    arguments="[NAME]",
    most=1,
    summary="Check what a credential depends on, and name the first thing that is broken.",
    description=(
        "It checks whether the operator's CRDs are installed, which permissions you have, and, as far as you can see "
        "that, whether the operator runs. Without a name, it then lists the credentials of the namespace that need "
        "action. With a name, it shows the newest link that `connect` made, with the callback URL that is registered "
        "for the app, and goes through what the credential depends on, one by one: spec, app, Vault, Pipedrive, "
        "Secret, workload. It changes nothing.\n\n"
        f"{_FROM_INSIDE}"
    ),
    examples=(
        ("The operator, and every credential of the namespace", "kubectl pipedrive check -n crm"),
        ("One credential, from its spec to the workload", "kubectl pipedrive check acme -n crm"),
    ),
    exit_codes="0 nothing is broken, 1 something is broken, 2 wrong usage or no access.",
    run=check,
)
COMMANDS: Final = (_COMMAND,)
