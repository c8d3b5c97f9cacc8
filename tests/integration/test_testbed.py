"""The testbed keeps its own promises: what the other tests stand on is real, and leaves nothing behind."""

import io
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path

import pytest

from testbed import binaries
from testbed.control_plane import ControlPlane
from testbed.go_build import BuildError
from testbed.kubectl import Kubectl, KubectlError
from testbed.openbao import OpenBao
from testbed.openbao_api import OpenBaoError
from testbed.processes import ChildProcess, ProcessError, free_port
from testbed.progress import Progress

_SECONDS = 20.0


def test_the_api_server_answers_with_a_version_that_kubectl_parses(control_plane: ControlPlane) -> None:
    """The build stamps the version in, or kubectl and Helm could not read it."""
    versions = json.loads(control_plane.kubectl("version", "--output=json"))

    assert versions["serverVersion"]["major"] == "1"


def test_a_user_without_rights_is_refused(control_plane: ControlPlane, namespace: str) -> None:
    """RBAC is on, so that a missing rule in the chart shows."""
    stranger = control_plane.kubectl_as(control_plane.kubeconfig_for("stranger"))

    with pytest.raises(KubectlError, match=r"Forbidden.*stranger"):
        stranger("get", "secrets", f"--namespace={namespace}")


def test_a_group_in_the_client_certificate_counts(control_plane: ControlPlane, namespace: str) -> None:
    """What is given to a group reaches the user whose kubeconfig names it."""
    here = f"--namespace={namespace}"
    reader = control_plane.kubectl_as(control_plane.kubeconfig_for("stranger", ["readers"]))

    control_plane.kubectl("create", "rolebinding", "r", "--clusterrole=cluster-admin", "--group=readers", here)

    _until(lambda: _is_allowed(reader, "auth", "can-i", "list", "secrets", here))


def test_an_owned_secret_goes_with_its_owner(control_plane: ControlPlane, namespace: str) -> None:
    """The garbage collector runs."""
    here = f"--namespace={namespace}"
    control_plane.kubectl("create", "configmap", "owner", here)
    uid = control_plane.kubectl("get", "configmap", "owner", here, "--output=jsonpath={.metadata.uid}")
    control_plane.kubectl("apply", "--filename=-", here, stdin=_secret_owned_by(uid))

    control_plane.kubectl("delete", "configmap", "owner", here)

    control_plane.kubectl("wait", "--for=delete", "secret/owned", here, f"--timeout={_SECONDS:.0f}s")


def test_the_api_server_comes_back_with_what_it_stored(control_plane: ControlPlane, namespace: str) -> None:
    """An outage of the API server is a fault that tests can make."""
    control_plane.stop_apiserver()
    with pytest.raises(KubectlError, match="refused"):
        control_plane.kubectl("get", "namespace", namespace)

    control_plane.start_apiserver()

    assert namespace in control_plane.kubectl("get", "namespace", namespace)


def test_a_service_account_logs_in_to_openbao(control_plane: ControlPlane, openbao: OpenBao, namespace: str) -> None:
    """OpenBao asks the real API server for a TokenReview."""
    control_plane.kubectl("create", "serviceaccount", "app", f"--namespace={namespace}")
    openbao.enable_kubernetes_auth(control_plane)
    openbao.put_kubernetes_role(namespace, service_account=f"{namespace}/app", policies=["default"])
    login = {"role": namespace, "jwt": control_plane.service_account_token(namespace, "app")}

    answer = openbao.request("POST", "auth/kubernetes/login", json=login, token="")

    assert answer["auth"]["policies"] == ["default"]


def test_openbao_refuses_to_trust_a_forged_service_account(
    control_plane: ControlPlane, openbao: OpenBao, namespace: str
) -> None:
    """A token that the API server did not sign opens nothing."""
    control_plane.kubectl("create", "serviceaccount", "app", f"--namespace={namespace}")
    openbao.enable_kubernetes_auth(control_plane)
    openbao.put_kubernetes_role(namespace, service_account=f"{namespace}/app", policies=["default"])
    header, claims, _ = control_plane.service_account_token(namespace, "app").split(".")
    forged = f"{header}.{claims}.{'A' * 86}"

    with pytest.raises(OpenBaoError) as refusal:
        openbao.request("POST", "auth/kubernetes/login", json={"role": namespace, "jwt": forged}, token="")

    assert refusal.value.status == HTTPStatus.FORBIDDEN


def test_kv_refuses_a_write_that_missed_another(openbao: OpenBao, vault_prefix: str) -> None:
    """Check-and-set is the one that the operator relies on."""
    path = f"{vault_prefix}/credential"
    assert openbao.write_secret(path, {"value": "first"}, cas=0) == 1

    with pytest.raises(OpenBaoError, match="check-and-set"):
        openbao.write_secret(path, {"value": "second"}, cas=0)

    assert openbao.read_secret(path) == {"value": "first"}


def test_a_secret_that_is_not_there_is_none(openbao: OpenBao, vault_prefix: str) -> None:
    """Absence is a value, not an error."""
    assert openbao.read_secret(vault_prefix) is None
    assert openbao.secret_metadata(vault_prefix) is None


def test_a_sealed_openbao_answers_503_until_it_is_unsealed(openbao: OpenBao, vault_prefix: str) -> None:
    """Sealing is the outage of Vault that tests make."""
    openbao.write_secret(vault_prefix, {"value": "kept"})

    openbao.seal()
    with pytest.raises(OpenBaoError) as refusal:
        openbao.read_secret(vault_prefix)
    openbao.unseal()

    assert refusal.value.status == HTTPStatus.SERVICE_UNAVAILABLE
    assert openbao.read_secret(vault_prefix) == {"value": "kept"}


def test_the_audit_log_counts_requests_by_kind(openbao: OpenBao, vault_prefix: str) -> None:
    """A test can find out how often the operator called Vault, and for what."""
    openbao.put_policy(vault_prefix, 'path "secret/*" { capabilities = ["read"] }')
    token = openbao.create_token([vault_prefix], display_name="counted")
    openbao.write_secret(vault_prefix, {"value": "seen"})
    for _ in range(3):
        openbao.request("GET", f"secret/data/{vault_prefix}", token=token)

    asked = [request for request in openbao.requests() if request.path == f"secret/data/{vault_prefix}"]

    assert [request.operation for request in asked].count("read") == 3
    assert [request.display_name for request in asked].count("token-counted") == 3


def test_a_durable_openbao_keeps_secrets_through_a_crash(vault_prefix: str) -> None:
    """What was written before a SIGKILL is there after the server is back and unsealed."""
    with OpenBao(durable=True) as openbao:
        openbao.write_secret(vault_prefix, {"value": "kept"})

        openbao.restart()

        assert openbao.read_secret(vault_prefix) == {"value": "kept"}


def test_a_durable_openbao_is_sealed_after_a_start() -> None:
    """A test can meet a Vault that is back, yet sealed."""
    with OpenBao(durable=True) as openbao:
        openbao.kill()
        openbao.start()

        assert openbao.request("GET", "sys/seal-status")["sealed"] is True


def test_nothing_outlives_a_testbed_that_ended() -> None:
    """Leaving the `with` block ends every process and removes the temporary folder."""
    with ControlPlane() as control_plane:
        folder = control_plane.folder
        before = _programs_that_name(folder)

    assert before == {"etcd", "kube-apiserver", "kube-controller-manager"}
    assert _programs_that_name(folder) == set()
    assert not folder.exists()


@pytest.mark.parametrize("where", ["main thread", "another thread that ended"])
def test_children_die_when_their_parent_is_killed(tmp_path: Path, where: str) -> None:
    """A SIGKILL leaves no time to tidy up; and a thread that ends takes no child with it."""
    command = [sys.executable, "-c", _PARENT, where, str(tmp_path / "log")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        try:
            child = os.pidfd_open(int(next(iter(parent.stdout or ()))))
            lived = not _ends(child, within=0.2)
        finally:
            parent.kill()

    assert lived
    assert _ends(child, within=_SECONDS)


def test_a_program_that_fails_shows_the_end_of_its_log(tmp_path: Path) -> None:
    """The reason of a failure stands in the error, not in a file that is gone."""
    process = ChildProcess(["sh", "-c", "echo the reason; exit 3"], log=tmp_path / "log")
    process.start()

    with pytest.raises(ProcessError, match=r"sh ended with code 3(?s:.*)the reason"):
        process.wait_ready(lambda: False, timeout=_SECONDS)


def test_a_program_that_never_answers_is_given_up(tmp_path: Path) -> None:
    """Waiting has a deadline."""
    process = ChildProcess(["sleep", "60"], log=tmp_path / "log")
    process.start()

    with pytest.raises(ProcessError, match="did not answer"):
        process.wait_ready(lambda: False, timeout=0.1)

    process.kill()


def test_free_ports_differ() -> None:
    """A port that was handed out is not handed out again for a while, though nobody listens on it yet."""
    ports = [free_port() for _ in range(50)]

    assert len(set(ports)) == len(ports)


def test_ready_programs_are_taken_before_anything_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """KUBEBUILDER_ASSETS wins, as everywhere else in the Kubernetes world."""
    program = tmp_path / "etcd"
    program.touch(mode=0o755)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))

    assert binaries.ensure("etcd") == {"etcd": program}


def test_a_missing_go_is_named_together_with_the_fix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Go there is an error, never a skipped test."""
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(BuildError, match=r"no `go` on the PATH. Install Go 1\.\d+"):
        binaries.ensure("etcd")


def test_progress_takes_a_line_for_every_tenth_when_no_terminal_shows_it() -> None:
    """The log of a CI run gets ten lines, not thousands."""
    output = io.StringIO()
    progress = Progress(2000, stream=output, clock=lambda: 0.0)

    for _ in range(2000):
        progress.advance()

    assert [line.split("(")[1][:3] for line in output.getvalue().splitlines()] == [
        *(f"{tenth}0%" for tenth in range(1, 10)),
        "100",
    ]


_PARENT = """
import sys, threading
from pathlib import Path
from testbed.processes import ChildProcess

def start():
    process.start()
    process.wait_ready(lambda: "up" in process.log.read_text(), timeout=20)

process = ChildProcess(["sh", "-c", "echo up; exec sleep 60"], log=Path(sys.argv[2]))
if sys.argv[1] == "main thread":
    start()
else:
    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
print(process.pid, flush=True)
threading.Event().wait()
"""


def _secret_owned_by(uid: str) -> str:
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid}
    metadata = {"name": "owned", "ownerReferences": [owner]}
    return json.dumps({"apiVersion": "v1", "kind": "Secret", "metadata": metadata})


def _programs_that_name(folder: Path) -> set[str]:
    """Return the names of the running programs that have the folder on their command line."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(FileNotFoundError, ProcessLookupError):
            command = entry.read_text(errors="replace")
            if str(folder) in command:
                found.add(Path(command.split("\0")[0]).name)
    return found


def _ends(process: int, *, within: float) -> bool:
    """Return whether the process behind a pidfd ends before so many seconds have passed."""
    readable, _, _ = select.select([process], [], [], within)
    return bool(readable)


def _is_allowed(kubectl: Kubectl, *command: str) -> bool:
    try:
        return kubectl(*command).strip() == "yes"
    except KubectlError:
        return False


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
