"""Which credentials a command is about: names, a label selector, all of a namespace, or all namespaces."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import groupby
from typing import Final

from kubectl_pipedrive.command_line import Arguments, Invocation, Option
from kubectl_pipedrive.credential import Credential
from kubectl_pipedrive.errors import KubectlFailed, UsageError
from kubectl_pipedrive.kubectl import CREDENTIALS

ALL_NAMESPACES: Final = Option(name="all-namespaces", short="A", help="Credentials in all namespaces.")
SELECTOR: Final = Option(
    name="selector", short="l", value="SELECTOR", help="Only credentials whose labels match, such as -l team=crm."
)
CHOICE: Final = "Choose credentials by NAME, by labels with -l, or with --all."
ALL: Final = Option(name="all", help="Every credential in the namespace; with -A, in all namespaces.")


def query(arguments: Arguments) -> tuple[str, ...]:
    """Return the arguments of `kubectl get` for the credentials that were asked for."""
    selector = arguments.value("selector")
    return (
        CREDENTIALS,
        *arguments.names,
        *([f"--selector={selector}"] if selector is not None else []),
        *(["--all-namespaces"] if arguments.switch("all-namespaces") else []),
    )


def find(invocation: Invocation, arguments: Arguments) -> list[Credential]:
    """Return the credentials, sorted. Raises UsageError and KubectlFailed, also for an absent namespace."""
    _require_one_way(arguments)
    namespace = None if arguments.switch("all-namespaces") else invocation.kubectl.namespace
    try:
        found = [Credential(body) for body in invocation.kubectl.items(*query(arguments))]
    except KubectlFailed as failure:
        if failure.is_not_found and namespace is not None:
            require_namespace(invocation, namespace)  # kubectl alone would name the credential, and not the namespace
        raise
    if not found and namespace is not None:
        require_namespace(invocation, namespace)
    return sorted(found, key=lambda one: (one.namespace, one.name))


def find_chosen(invocation: Invocation, arguments: Arguments) -> list[Credential]:
    """Return the credentials to change, which must be chosen in one way. Raises UsageError and KubectlFailed."""
    ways = [bool(arguments.names), arguments.value("selector") is not None, arguments.switch("all")]
    if sum(ways) != 1:
        raise UsageError("choose credentials in one of three ways: by NAME, by -l SELECTOR, or --all")
    return find(invocation, arguments)


def _require_one_way(arguments: Arguments) -> None:
    """Raise UsageError if a name comes with an option that kubectl does not take with one."""
    if arguments.names and arguments.switch("all-namespaces"):
        raise UsageError("a NAME is looked up in one namespace: write -n NAMESPACE in place of -A")
    if arguments.names and arguments.value("selector") is not None:
        raise UsageError("choose credentials by NAME or by -l SELECTOR, not by both")


def require_namespace(invocation: Invocation, namespace: str) -> None:
    """Raise KubectlFailed if the namespace does not exist; someone who cannot read namespaces is not asked to."""
    with suppress(_Unreadable):
        try:
            invocation.kubectl.run("get", "namespace", namespace, "--output=name")
        except KubectlFailed as failure:
            if failure.is_forbidden:
                raise _Unreadable from failure
            raise


def nothing_found(invocation: Invocation, arguments: Arguments) -> str:
    """Return the message for an empty list."""
    everywhere = arguments.switch("all-namespaces")
    place = "in any namespace" if everywhere else f"in namespace {invocation.kubectl.current_namespace()}"
    matching = " that matches the selector" if arguments.value("selector") is not None else ""
    return (
        f"No PipedriveCredential{matching} {place}.\n"
        "Print a manifest to start from: kubectl pipedrive new oauth2 NAME, or kubectl pipedrive new api-token NAME"
    )


def by_namespace(credentials: Sequence[Credential]) -> Iterator[tuple[str, list[Credential]]]:
    """Yield each namespace with its credentials; they must be sorted."""
    for namespace, members in groupby(credentials, key=lambda one: one.namespace):
        yield namespace, list(members)


class _Unreadable(Exception):
    """Namespaces cannot be read with these permissions."""
