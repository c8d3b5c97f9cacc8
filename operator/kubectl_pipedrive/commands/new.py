"""`new`: prints a manifest to start from, with the steps that make it work."""

from collections.abc import Callable
from functools import partial
from typing import Final

from kubectl_pipedrive import manifests
from kubectl_pipedrive.command_line import Arguments, Command, Invocation, Option
from kubectl_pipedrive.manifests import Outline, checked, checked_name

_PATH: Final = Option(
    name="path",
    value="PATH",
    help="Where the token is in Vault. By default pipedrive/NAMESPACE/NAME. Ask the operator's administrator which "
    "paths are allowed.",
)
_COMPANY: Final = Option(
    name="company", value="DOMAIN", help="Publish only tokens of this company: write acme for acme.pipedrive.com."
)
_SECRET: Final = Option(
    name="secret", value="NAME", help="Name of the Secret to publish. By default the name of the credential."
)
_APP: Final = Option(
    name="app",
    value="NAME",
    default="crm-sync",
    help="The app to connect with. Ask the operator's administrator for its name in the settings.",
)


Steps = Callable[[Outline, str], tuple[str, ...]]
"""Writes what to do with the manifest of an outline in a namespace."""


def _new(invocation: Invocation, arguments: Arguments, *, write: Callable[[Outline], str], steps: Steps) -> int:
    name = checked_name("the name", arguments.names[0])
    namespace = checked("the namespace", invocation.kubectl.current_namespace())
    secret = arguments.value("secret")
    outline = Outline(
        name=name,
        namespace=invocation.kubectl.namespace,
        path=_optional(arguments, "path") or f"pipedrive/{namespace}/{name}",
        app=_optional(arguments, "app"),
        company=_optional(arguments, "company"),
        secret=None if secret is None else checked_name("--secret", secret),
    )
    comments = "".join(f"# {line}\n" for line in steps(outline, namespace))
    invocation.terminal.line(f"{comments}{write(outline)}".rstrip())
    return 0


def _optional(arguments: Arguments, option: str) -> str | None:
    given = arguments.value(option)
    return None if given is None else checked(f"--{option}", given)


def _steps_for_api_token(outline: Outline, namespace: str) -> tuple[str, ...]:
    return (
        "1. Write the api_token to Vault. The dash reads it from standard input, so that your shell does not keep it:",
        f"     vault kv put -mount=secret {outline.path} api_token=-",
        f"2. Apply this manifest: kubectl apply -n {namespace} -f FILE",
        f"3. See whether it is well: kubectl pipedrive status {outline.name} -n {namespace}",
    )


def _steps_for_oauth2(outline: Outline, namespace: str) -> tuple[str, ...]:
    return (
        f"1. Apply this manifest: kubectl apply -n {namespace} -f FILE",
        f"2. Connect a Pipedrive account, in a browser: kubectl pipedrive connect {outline.name} -n {namespace}",
        "   If the operator does not offer that, write a refresh_token to Vault; the dash reads standard input:",
        f"     vault kv put -mount=secret {outline.path} refresh_token=-",
        f"3. See whether it is well: kubectl pipedrive status {outline.name} -n {namespace}",
    )


_RESULT: Final = (
    "It prints YAML with comments that say what to do next. It creates nothing, and does not contact the cluster."
)
_NEW_API_TOKEN: Final = Command(
    words=("new", "api-token"),
    arguments="NAME",
    least=1,
    most=1,
    summary="Print the manifest of a credential for an API token.",
    description=_RESULT,
    examples=(
        (
            "A manifest that publishes only tokens of one company",
            "kubectl pipedrive new api-token acme -n crm --company acme > acme.yaml",
        ),
        (
            "Create the credential at once, without a file",
            "kubectl pipedrive new api-token acme -n crm | kubectl apply -f -",
        ),
    ),
    options=(_PATH, _COMPANY, _SECRET),
    exit_codes="0 printed, 2 wrong usage.",
    run=partial(_new, write=manifests.api_token, steps=_steps_for_api_token),
)
_NEW_OAUTH2: Final = Command(
    words=("new", "oauth2"),
    arguments="NAME",
    least=1,
    most=1,
    summary="Print the manifest of a credential for an OAuth2 access token.",
    description=_RESULT,
    examples=(
        (
            "A manifest that publishes only tokens of one company",
            "kubectl pipedrive new oauth2 acme -n crm --app crm-sync --company acme > acme.yaml",
        ),
        ("All fields that a manifest can have", "kubectl explain pdc.spec --recursive"),
    ),
    options=(_APP, _PATH, _COMPANY, _SECRET),
    exit_codes="0 printed, 2 wrong usage.",
    run=partial(_new, write=manifests.oauth2, steps=_steps_for_oauth2),
)
COMMANDS: Final = (_NEW_API_TOKEN, _NEW_OAUTH2)
