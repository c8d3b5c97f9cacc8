"""Generates docs/cli.md from the commands of the kubectl plugin, with recordings of what they print.

The recordings are made by running the commands on the namespace of `support/plugin_world.py`, so they stay true. The
pictures of a terminal come from the same commands: `cli_image.py`.
"""

from collections.abc import Callable, Mapping
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from generated.markdown import GENERATED, table
from kubectl_pipedrive.command_line import CLUSTER_OPTIONS, NAMESPACE, Command, Option
from kubectl_pipedrive.help_text import signature, usage
from kubectl_pipedrive.registry import every_command
from pipedrive_operator.core.values.consent_reasons import ConsentReason
from support.consent_operator import ConsentOperator, play
from support.plugin_world import PluginWorld, ahead, private_copy

PATH = Path(__file__).parents[2] / "docs" / "cli.md"
_WIDTH = 118
_INTRODUCTION = """\
# kubectl pipedrive

A plugin of kubectl for everyone who owns a credential. It answers three questions: does the credential work, if not,
why, and what to do next. Each access to the cluster goes through `kubectl`, with your own login and permissions. No
output, argument or temporary file of it contains a secret value.

`kubectl pipedrive check` looks from the side of a credential's owner. `pipedrive-operator check` looks from the
operator's side: its settings, its permissions, and each Vault.

![The table of credentials, and one credential that needs a person](images/cli-status.svg)

![An account is connected in a browser](images/cli-connect.svg)

## Install

It needs Python 3.11 or later, and kubectl.

```console
$ make kubectl-plugin                                                       # builds dist/kubectl-pipedrive, one file
$ cp dist/kubectl-pipedrive dist/kubectl_complete-pipedrive ~/.local/bin/   # any folder on your PATH
$ kubectl pipedrive --help
```

`pipx install .` installs it as well, together with the operator. For [krew](https://krew.sigs.k8s.io),
`make kubectl-plugin URL=https://...` writes a manifest and an archive for that address. To install them as they are:
`kubectl krew install --manifest=dist/pipedrive.yaml --archive=dist/kubectl-pipedrive.tar.gz`.

`kubectl_complete-pipedrive` completes commands, options, reasons, and the names of credentials and namespaces. It needs
kubectl 1.26 or later with kubectl's own completion set up. krew does not install it.

**Versions of kubectl.** The plugin uses what kubectl has had for years: `get`, `annotate`, `patch`, `create`, `delete`
and `config`. It therefore works with every kubectl that is at most one minor version older or newer than the cluster,
as Kubernetes recommends. kubectl 1.32 and 1.36 were tried with Kubernetes 1.36. A newer kubectl reads defaults from a
[kuberc](https://kubernetes.io/docs/reference/kubectl/kuberc/) file; an output, labels and the question before a
deletion that are set there do not disturb the plugin.

**Login plugins** of kubectl work as usual: their prompts are shown, and they can read from your terminal.

## Permissions

| command | permission | role |
| --- | --- | --- |
| `status`, `check` | get, list and watch `pipedrivecredentials` | `view` |
| `status NAME` and `check NAME`, for pods and Events | list `pods` and `events` | `view` |
| `status NAME` and `check NAME`, for the keys of the Secret | get `secrets` | `edit` |
| `check`, for the operator and its leader | list `deployments` in all namespaces, get its `leases` | |
| `refresh`, `suspend`, `resume` | patch `pipedrivecredentials` | `edit` |
| `connect` | create, get, patch and delete `pipedriveconsents` | `edit` |
| `explain`, `new`, `migrate`, `version` | none | |

The chart adds the permissions for the operator's resources to Kubernetes' roles `view`, `edit` and `admin`
(`rbac.aggregateClusterRoles`). What you may not read is left out, with a remark.
"""
_FLAGS = """\
## Flags of kubectl

These flags have the same meaning as in kubectl and are passed on to it. They follow `kubectl pipedrive`: kubectl allows
no flag before the name of a plugin. `--token` is left out: other users of a machine can read a command line.
"""


def text() -> str:
    """Return the content of the page."""
    sections = "\n".join(_section(command) for command in every_command())
    flags = table(("flag", "meaning"), ((f"`{signature(one)}`", one.help) for one in (NAMESPACE, *CLUSTER_OPTIONS)))
    return f"{GENERATED}\n{_INTRODUCTION}\n{sections}\n{_FLAGS}\n{flags}\n"


def _section(command: Command) -> str:
    parts = [
        f"## {command.name}\n",
        f"`{usage(command)}`\n",
        f"{command.summary} {command.description}\n",
        *(_recording(line, prepare) for line, prepare in RECORDINGS.get(command.name, {}).items()),
        *([_options(command.options)] if command.options else []),
        f"Exit codes: {' '.join(command.exit_codes.split())}\n",
    ]
    return "\n".join(parts)


def _options(options: tuple[Option, ...]) -> str:
    return table(("option", "meaning"), ((f"`{signature(one)}`", one.help) for one in options)) + "\n"


def _recording(line: str, prepare: Callable[[PluginWorld], None]) -> str:
    """Run a command, and return what a person would see."""
    world = PluginWorld(width=_WIDTH)
    prepare(world)
    with TemporaryDirectory() as folder, chdir(folder):
        private_copy(Path("export.json"))
        typed = world(line)
    return f"```console\n$ kubectl pipedrive {line}\n{(typed.out + typed.err).rstrip()}\n```\n"


def as_it_is(_: PluginWorld) -> None:
    """Change nothing."""


def _refreshed_at_once(world: PluginWorld) -> None:
    """Let the operator do what is requested."""

    def refreshed(body: dict[str, Any]) -> None:
        body["status"] |= {
            "lastHandledRequest": body["metadata"]["annotations"]["pipedrive-operator.io/requested-at"],
            "lastRefreshTime": ahead(seconds=1),
            "expiresAt": ahead(minutes=60),
        }

    world.kubectl.on_change = refreshed


def accepted(world: PluginWorld) -> None:
    """Let a person accept in Pipedrive, and the operator do its part, second by second."""
    operator = ConsentOperator()
    world.kubectl.on_change = operator
    play(world, operator, ConsentReason.CODE_RECEIVED, ConsentReason.VERIFYING, ConsentReason.CONNECTED)


def _suspended(world: PluginWorld) -> None:
    """Let the owner have suspended the credential."""
    world.credential("acme")["spec"]["suspend"] = True


def _denied(world: PluginWorld) -> None:
    """Let the user lack the role `edit`."""
    world.kubectl.denied = {"patch pipedrivecredentials.pipedrive-operator.io"}


RECORDINGS: Mapping[str, Mapping[str, Callable[[PluginWorld], None]]] = {
    "status": {
        "status": as_it_is,
        "status acme": as_it_is,
        "status globex": as_it_is,
        "status -o wide -l team=crm": as_it_is,
    },
    "check": {"check": as_it_is, "check globex": as_it_is},
    "explain": {"explain ConsentRequired": as_it_is},
    "connect": {"connect acme -n crm": accepted},
    "refresh": {"refresh acme --wait": _refreshed_at_once, "refresh globex": _denied},
    "suspend": {"suspend acme": as_it_is},
    "resume": {"resume acme": _suspended},
    "new api-token": {"new api-token initech -n crm --company initech": as_it_is},
    "new oauth2": {"new oauth2 acme -n crm --company acme": as_it_is},
    "migrate n8n": {"migrate n8n export.json": as_it_is},
    "version": {"version": as_it_is},
}
"""What is recorded for each command, and how its world is prepared."""
