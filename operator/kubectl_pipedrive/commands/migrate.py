"""`migrate n8n`: prints the commands that move credentials from n8n to Vault and the operator."""

import stat
from pathlib import Path
from typing import Final

from kubectl_pipedrive import n8n_export
from kubectl_pipedrive.command_line import Arguments, Command, Invocation, Option
from kubectl_pipedrive.errors import UsageError
from kubectl_pipedrive.manifests import checked
from kubectl_pipedrive.n8n_export import Destination


def migrate_n8n(invocation: Invocation, arguments: Arguments) -> int:
    """Print the script; what cannot be moved is reported on the standard error."""
    file = Path(arguments.names[0])
    found, others = n8n_export.read(_content(file))
    wanted = arguments.values("id")
    if unknown := sorted(set(wanted) - {one.id for one in found}):
        message = f"the file has no Pipedrive credential with the id {', '.join(unknown)}"
        raise UsageError(message)
    chosen = [one for one in found if not wanted or one.id in wanted]
    namespace = checked("the namespace", invocation.kubectl.current_namespace())
    app = arguments.value("app")
    destination = Destination(
        file=str(file),
        namespace=namespace,
        mount=checked("--mount", arguments.value("mount") or ""),
        prefix=checked("--prefix", arguments.value("prefix") or f"pipedrive/{namespace}"),
        app=checked("--app", app) if app is not None else None,
        kubectl_flags=invocation.kubectl.flags,
    )
    for one in chosen:
        if one.problem is not None:
            invocation.terminal.error(f"left out: {one.label} (id {one.id}): {one.problem}")
    if others:
        invocation.terminal.error(f"left out: credentials of other types ({others})")
    if stat.S_IMODE(file.stat().st_mode) & (stat.S_IRWXG | stat.S_IRWXO):
        invocation.terminal.error(f"{file} contains secret values, and others can read it: chmod 600 {file}")
    moved = [one for one in chosen if one.problem is None]
    if moved:
        invocation.terminal.line(n8n_export.script(moved, destination).rstrip())
    return 0 if len(moved) == len(chosen) else 1


def _content(file: Path) -> str:
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not text"
        message = f"{file} cannot be read: {why}; name the file that {n8n_export.EXPORT_COMMAND} wrote"
        raise UsageError(message) from None


_COMMAND: Final = Command(
    words=("migrate", "n8n"),
    arguments="FILE",
    least=1,
    most=1,
    summary="Print the commands that move Pipedrive credentials from n8n to the operator.",
    description=(
        "FILE is what `n8n export:credentials --all --decrypted --output=FILE` wrote. The result is a shell script for "
        "you to read and run: it writes the values to Vault and applies a manifest for each credential. It contains no "
        "secret value; jq reads the values from FILE, and Vault reads them from a pipe. If a path in Vault already has "
        "a value, the script stops there and does not overwrite it. This command only prints the script.\n\n"
        "Stop n8n before you run the script: only one program may use a refresh token. docs/n8n.md has the whole "
        "procedure."
    ),
    examples=(
        (
            "Write the script to a file; then read it, and run it with `bash move.sh`",
            "kubectl pipedrive migrate n8n export.json -n crm > move.sh",
        ),
        (
            "Only the credential with the id 7, with an app of the operator's settings",
            "kubectl pipedrive migrate n8n export.json --id 7 --app crm",
        ),
    ),
    options=(
        Option(
            name="id", value="ID", repeatable=True, help="Only the credential with this id in n8n; can be repeated."
        ),
        Option(
            name="app",
            value="NAME",
            help="Use this app of the operator's settings, and do not move the client ids and secrets to Vault.",
        ),
        Option(name="mount", value="NAME", default="secret", help="The KV version 2 mount of Vault to write to."),
        Option(
            name="prefix", value="PATH", help="The path in the mount to write below. By default pipedrive/NAMESPACE."
        ),
    ),
    exit_codes=(
        "0 printed, 1 some credentials were left out because a value is missing,\n2 wrong usage or an unusable file."
    ),
    run=migrate_n8n,
)
COMMANDS: Final = (_COMMAND,)
