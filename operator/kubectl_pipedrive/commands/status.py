"""`status`: a table of credentials, or everything about one of them."""

from typing import Final

from kubectl_pipedrive.command_line import Arguments, Command, Invocation, Option
from kubectl_pipedrive.credential import Credential
from kubectl_pipedrive.details import details
from kubectl_pipedrive.errors import UsageError
from kubectl_pipedrive.health import exit_code
from kubectl_pipedrive.overview import Columns
from kubectl_pipedrive.selection import ALL_NAMESPACES, SELECTOR, find, nothing_found, query
from kubectl_pipedrive.surroundings import look_around

_AS_IT_IS: Final = ("json", "yaml")


def status(invocation: Invocation, arguments: Arguments) -> int:
    """Print what was asked for, and return whether everything is well."""
    output = arguments.value("output")
    if output in _AS_IT_IS and arguments.switch("watch"):
        message = f"--watch prints rows of the table; for {output}: kubectl get pdc --watch --output={output}"
        raise UsageError(message)
    found = find(invocation, arguments)
    if output in _AS_IT_IS:
        invocation.terminal.line(invocation.kubectl.run("get", *query(arguments), f"--output={output}").rstrip())
        return exit_code(found)
    if not found:
        invocation.terminal.error(nothing_found(invocation, arguments))
    columns = Columns(namespace=arguments.switch("all-namespaces"), wide=output == "wide")
    is_alone = len(arguments.names) == 1 and output is None
    if is_alone:
        _print_details(invocation, found[0])
    elif found:
        _print_table(invocation, columns, found)
    if arguments.switch("watch"):
        if is_alone:  # the rows that follow have no heading yet
            invocation.terminal.line()
            _print_table(invocation, columns, found)
        _follow(invocation, arguments, columns, found)
    return exit_code(found)


def _print_details(invocation: Invocation, credential: Credential) -> None:
    around = look_around(invocation.kubectl, credential)
    for line in details(credential, around, invocation.clock.now(), invocation.terminal):
        invocation.terminal.line(line)


def _print_table(invocation: Invocation, columns: Columns, found: list[Credential]) -> None:
    for line in columns.table(found, invocation.clock.now()).lines(invocation.terminal):
        invocation.terminal.line(line)


def _follow(invocation: Invocation, arguments: Arguments, columns: Columns, found: list[Credential]) -> None:
    """Print a row whenever a credential changes, until Ctrl-C. The API server ends a watch at times: it is renewed."""
    shown = {one.uid: one.version for one in found}
    table = columns.table(found, invocation.clock.now())
    while True:
        for kind, body in invocation.kubectl.watch(*query(arguments)):
            credential = Credential(body)
            if kind in {"ADDED", "MODIFIED"} and shown.get(credential.uid) != credential.version:
                shown[credential.uid] = credential.version
                invocation.terminal.line(
                    table.line(columns.row(credential, invocation.clock.now()), invocation.terminal)
                )
            elif kind == "DELETED":
                invocation.terminal.line(f"{credential} was deleted")


_COMMAND: Final = Command(
    words=("status",),
    arguments="[NAME...]",
    summary="Show whether credentials work, what is wrong if not, and what to do next.",
    description=(
        "Without a name, or with several, it prints one line for each credential. With one name it prints everything "
        "about that credential: its conditions in words, its Secret and the keys in it (never a value), the pods that "
        "use the Secret, the times, the Events, and what happens next.\n\n"
        "READY says whether the Secret holds a value that Pipedrive accepts. REASON says why. It names a problem "
        "even while READY is still True, so that someone can act before the Secret stops working; `kubectl pipedrive "
        "explain REASON` describes it. EXPIRES and NEXT RENEWAL are about an OAuth2 access token; for an API token, "
        "they show a dash. The command changes nothing."
    ),
    examples=(
        ("All credentials of the namespace", "kubectl pipedrive status"),
        ("All credentials of all namespaces, with more columns", "kubectl pipedrive status -A -o wide"),
        ("Everything about one credential", "kubectl pipedrive status acme -n crm"),
        ("Follow the changes of one team's credentials", "kubectl pipedrive status -l team=crm --watch"),
        (
            "Stop a script unless every credential of the namespace works",
            "kubectl pipedrive status >&2 || exit 1",
        ),
    ),
    options=(
        ALL_NAMESPACES,
        SELECTOR,
        Option(
            name="watch",
            short="w",
            help="Keep running, and print a line whenever a credential changes. Ctrl-C ends it.",
        ),
        Option(
            name="output",
            short="o",
            value="FORMAT",
            choices=("wide", *_AS_IT_IS),
            help="wide adds columns to the table; json and yaml print the resources as kubectl does.",
        ),
    ),
    exit_codes=(
        "0 every credential is ready and none needs a person,\n"
        "1 at least one is not ready or needs a person, 2 wrong usage or no access."
    ),
    run=status,
)
COMMANDS: Final = (_COMMAND,)
