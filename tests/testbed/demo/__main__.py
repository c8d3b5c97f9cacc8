"""The command line of the demo: `python -m testbed.demo --help`. It cleans up, however it ends."""

import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click
from rich.console import Console

from testbed.demo.demo_cluster import NAMESPACE, Cluster, LeftoverError, RefusalError, built, mine
from testbed.demo.environment import OPERATOR_LOG, UNINSTALLED, DemoEnvironment, set_up
from testbed.demo.screen import Screen
from testbed.demo.snapshot import Snapshot
from testbed.demo.steps import OAUTH2, steps
from testbed.demo.tour import Guide, Observer, StepError, run
from testbed.kubectl import KubectlError
from testbed.processes import ProcessError

HELP = f"""Show what the operator does, on real parts.

Starts a Kubernetes API server, OpenBao and a simulated Pipedrive on free ports of this machine, runs the operator as a
separate process, and shows how it handles two credentials: the Secret of an API token appears, you connect an account
in your browser for the other one, its access token is refreshed before it expires, an edited Secret is repaired, a
revoked token is reported in a condition, and a new token ends that. The operator then keeps running until Ctrl-C, which
leaves nothing behind.

The first run builds what is missing (etcd, kube-apiserver, kubectl) with Go, which takes a few minutes. If
KUBEBUILDER_ASSETS names a folder with these three programs, as `setup-envtest use --print path` does, nothing is built.

\b
Examples:
  make demo                                      the tour, then try things yourself
  make demo ONCE=1                               only the tour, without you, as a check (1.5 min)
  export KUBECONFIG=~/.kube/config
  make demo CLUSTER=mine                         in your own cluster

\b
In your own cluster, it creates the namespace {NAMESPACE}, and the CRDs that are
missing, and deletes them at the end; it changes nothing else. The operator runs
on this machine, with a ServiceAccount of that namespace.

\b
Exit codes: 0 every step succeeded, 1 a step failed (its name is printed),
2 the demo could not start, 130 interrupted before the end of the tour.
"""
_PAUSE_SECONDS = 0.3
_WATCH_PAUSE_SECONDS = 1.0
_ASK_FOR_REFRESH = 'pipedrive-operator.io/request=refresh pipedrive-operator.io/requested-at="$(date)"'
_LOG_LINES = 15
_FAILED, _REFUSED, _INTERRUPTED = 1, 2, 130
_INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

OpenCluster = Callable[[Path], AbstractContextManager[Cluster]]


@click.command(help=HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--once",
    is_flag=True,
    help="Accept in place of a person, and exit after the tour: with 0 if every step succeeded, otherwise 1.",
)
@click.option(
    "--cluster", "whose", type=click.Choice(["mine"]), help="Use the cluster of KUBECONFIG instead of starting one."
)
def main(*, once: bool, whose: str | None) -> None:
    """Run the demo, and exit with its exit code."""
    for number in _INTERRUPTS:
        signal.signal(number, _interrupt)
    screen = Screen(Console(highlight=False))
    try:
        code = play(screen, once=once, open_cluster=mine if whose == "mine" else built)
    except KeyboardInterrupt:
        code = _INTERRUPTED
    except RefusalError as refusal:
        screen.failed(f"The demo did not start: {refusal}")
        code = _REFUSED
    except LeftoverError as leftover:
        screen.failed(str(leftover))
        code = _FAILED
    sys.exit(code)


def play(screen: Screen, *, once: bool, open_cluster: OpenCluster) -> int:
    """Set up the environment, run the tour, and keep showing changes unless `once` is set; return the exit code.

    Raises RefusalError, and LeftoverError if something could not be deleted at the end.
    """
    with tempfile.TemporaryDirectory(prefix="pipedrive-demo-") as folder, ExitStack() as stack:
        try:
            _perform(stack, screen, open_cluster(Path(folder)), folder=Path(folder), once=once)
        except (StepError, ProcessError) as failure:
            _report_failure(screen, str(failure), Path(folder))
            return _FAILED
        finally:
            # From here on, a second Ctrl-C would leave something behind.
            for number in _INTERRUPTS:
                signal.signal(number, signal.SIG_IGN)
            screen.rest("Stopping everything ...")
    screen.say("Nothing is left behind.")
    return 0


def _perform(
    stack: ExitStack, screen: Screen, opened: AbstractContextManager[Cluster], *, folder: Path, once: bool
) -> None:
    guide = Guide(screen, time.monotonic)
    with guide.step("cluster", "an API server answers") as report:
        cluster = stack.enter_context(opened)
        report(f"the API server is at {cluster.server}")
    # Not earlier: the first step may build programs, which show their progress on the terminal themselves.
    stack.enter_context(screen.kept_up())
    environment = set_up(stack, guide, folder, cluster, say=screen.say, accepts=once)
    tour = steps(accepts=once)

    def look() -> Snapshot:
        return screen.shown(environment.look())

    run(tour, environment, guide=guide, observer=Observer(look=look, pause=lambda: time.sleep(_PAUSE_SECONDS)))
    screen.say(f"All {len(tour)} steps of the tour succeeded.", "bold green")
    if not once:
        _suggest_commands(screen, environment, folder)
        with suppress(KeyboardInterrupt):
            _keep_showing(screen, environment)


def _keep_showing(screen: Screen, environment: DemoEnvironment) -> NoReturn:
    while True:
        try:
            screen.print_changes(environment.look())
            screen.rest("The operator keeps running until Ctrl-C.")
        except KubectlError as error:
            screen.rest(f"kubectl fails at the moment: {error}")
        time.sleep(_WATCH_PAUSE_SECONDS)


def _suggest_commands(screen: Screen, environment: DemoEnvironment, folder: Path) -> None:
    here = f"-n {NAMESPACE}"
    screen.say()
    screen.say("Try it yourself, in another terminal:", "bold")
    screen.say(f"  export KUBECONFIG={shlex.quote(environment.cluster.shown)}")
    if shutil.which("kubectl") is None:
        screen.say(f'  export PATH="$PATH:{environment.cluster.kubectl.program.parent}"')
    for command in (
        f"kubectl get pdc {here} --watch",
        f"kubectl describe pdc {OAUTH2} {here}",
        f"kubectl delete secret {OAUTH2} {here}; sleep 1; kubectl get secrets {here}",
        f"kubectl annotate pdc {OAUTH2} {here} --overwrite {_ASK_FOR_REFRESH}",
        f"kubectl get events {here}",
        f"curl {environment.pipedrive.url}/_simulator/uninstall -d '{UNINSTALLED}'     # ends the consent for {OAUTH2}",
        f"PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH kubectl pipedrive connect {OAUTH2} {here}",
        f"tail -f {folder / OPERATOR_LOG}",
        f"curl {environment.pipedrive.url}/_simulator/     # faults that the simulator can inject",
    ):
        screen.say(f"  {command}")
    screen.say()


def _report_failure(screen: Screen, failure: str, folder: Path) -> None:
    """Print what failed, and keep the logs when the folder is deleted."""
    screen.failed(failure)
    screen.print_snapshot()
    log = folder / OPERATOR_LOG
    if log.exists():
        screen.say("The operator's log ends with:")
        for line in log.read_text(errors="replace").splitlines()[-_LOG_LINES:]:
            screen.say(f"  {line}")
    kept = Path(tempfile.mkdtemp(prefix="pipedrive-demo-logs-"))
    for path in folder.rglob("*.log"):
        shutil.copy(path, kept)
    screen.say(f"All logs: {kept}")


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
