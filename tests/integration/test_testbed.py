"""The testbed: the parts that other tests use are real, and leave nothing behind."""

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
from testbed.progress import BuildProgress

_SECONDS = 20.0


def test_the_api_server_reports_a_version_that_kubectl_parses(control_plane: ControlPlane) -> None:
    """The build sets the version; without it, kubectl and Helm could not parse it."""
    versions = json.loads(control_plane.kubectl("version", "--output=json"))

    assert versions["serverVersion"]["major"] == "1"


def test_a_user_without_rights_is_refused(control_plane: ControlPlane, namespace: str) -> None:
    """RBAC is enabled, so that tests notice a missing rule in the chart."""
    stranger = control_plane.kubectl_as(control_plane.kubeconfig_for("stranger"))

    with pytest.raises(KubectlError, match=r"Forbidden.*stranger"):
        stranger("get", "secrets", f"--namespace={namespace}")


def test_the_group_of_a_client_certificate_is_respected(control_plane: ControlPlane, namespace: str) -> None:
    """A permission of a group applies to the user whose kubeconfig names it."""
    here = f"--namespace={namespace}"
    reader = control_plane.kubectl_as(control_plane.kubeconfig_for("stranger", ["readers"]))

    control_plane.kubectl("create", "rolebinding", "r", "--clusterrole=cluster-admin", "--group=readers", here)

    _until(lambda: _is_allowed(reader, "auth", "can-i", "list", "secrets", here))


def test_an_owned_secret_is_deleted_with_its_owner(control_plane: ControlPlane, namespace: str) -> None:
    """The garbage collector runs."""
    here = f"--namespace={namespace}"
    control_plane.kubectl("create", "configmap", "owner", here)
    uid = control_plane.kubectl("get", "configmap", "owner", here, "--output=jsonpath={.metadata.uid}")
    control_plane.kubectl("apply", "--filename=-", here, stdin=_secret_owned_by(uid))

    control_plane.kubectl("delete", "configmap", "owner", here)

    control_plane.kubectl("wait", "--for=delete", "secret/owned", here, f"--timeout={_SECONDS:.0f}s")


def test_the_api_server_keeps_its_objects_through_a_restart(control_plane: ControlPlane, namespace: str) -> None:
    """Tests can cause an outage of the API server."""
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


def test_openbao_refuses_a_forged_service_account_token(
    control_plane: ControlPlane, openbao: OpenBao, namespace: str
) -> None:
    """The API server did not sign it."""
    control_plane.kubectl("create", "serviceaccount", "app", f"--namespace={namespace}")
    openbao.enable_kubernetes_auth(control_plane)
    openbao.put_kubernetes_role(namespace, service_account=f"{namespace}/app", policies=["default"])
    header, claims, _ = control_plane.service_account_token(namespace, "app").split(".")
    forged = f"{header}.{claims}.{'A' * 86}"

    with pytest.raises(OpenBaoError) as refusal:
        openbao.request("POST", "auth/kubernetes/login", json={"role": namespace, "jwt": forged}, token="")

    assert refusal.value.status == HTTPStatus.FORBIDDEN


def test_check_and_set_refuses_a_write_against_an_older_version(openbao: OpenBao, vault_prefix: str) -> None:
    """The operator relies on this."""
    path = f"{vault_prefix}/credential"
    assert openbao.write_secret(path, {"value": "first"}, cas=0) == 1

    with pytest.raises(OpenBaoError, match="check-and-set"):
        openbao.write_secret(path, {"value": "second"}, cas=0)

    assert openbao.read_secret(path) == {"value": "first"}


def test_a_missing_secret_is_none(openbao: OpenBao, vault_prefix: str) -> None:
    """It is not an error."""
    assert openbao.read_secret(vault_prefix) is None
    assert openbao.secret_metadata(vault_prefix) is None


def test_a_sealed_openbao_responds_503_until_it_is_unsealed(openbao: OpenBao, vault_prefix: str) -> None:
    """Tests cause an outage of Vault by sealing it."""
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
    """A document that was written before a SIGKILL can be read once the server runs again and is unsealed."""
    with OpenBao(durable=True) as openbao:
        openbao.write_secret(vault_prefix, {"value": "kept"})

        openbao.restart()

        assert openbao.read_secret(vault_prefix) == {"value": "kept"}


def test_a_durable_openbao_is_sealed_after_a_start() -> None:
    """A test can use a Vault that runs again but is still sealed."""
    with OpenBao(durable=True) as openbao:
        openbao.kill()
        openbao.start()

        assert openbao.request("GET", "sys/seal-status")["sealed"] is True


def test_no_process_and_no_file_outlives_a_testbed() -> None:
    """Leaving the `with` block ends every process and deletes the temporary folder."""
    with ControlPlane() as control_plane:
        folder = control_plane.folder
        before = _programs_that_name(folder)

    assert before == {"etcd", "kube-apiserver", "kube-controller-manager"}
    assert _programs_that_name(folder) == set()
    assert not folder.exists()


@pytest.mark.parametrize("where", ["main thread", "another thread that ended"])
def test_child_processes_end_when_their_parent_is_killed(tmp_path: Path, where: str) -> None:
    """A SIGKILL leaves no time to clean up. The end of a single thread ends no child."""
    command = [sys.executable, "-c", _PARENT, where, str(tmp_path / "log")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        try:
            child = os.pidfd_open(int(next(iter(parent.stdout or ()))))
            lived = not _ends(child, within=0.2)
        finally:
            parent.kill()

    assert lived
    assert _ends(child, within=_SECONDS)


def test_a_failed_program_shows_the_end_of_its_log(tmp_path: Path) -> None:
    """The error contains the reason, because the file is deleted."""
    process = ChildProcess(["sh", "-c", "echo the reason; exit 3"], log=tmp_path / "log")
    process.start()

    with pytest.raises(ProcessError, match=r"sh ended with code 3(?s:.*)the reason"):
        process.wait_ready(lambda: False, timeout=_SECONDS)


def test_waiting_for_a_program_that_does_not_become_ready_ends(tmp_path: Path) -> None:
    """It ends after a deadline."""
    process = ChildProcess(["sleep", "60"], log=tmp_path / "log")
    process.start()

    with pytest.raises(ProcessError, match="did not answer"):
        process.wait_ready(lambda: False, timeout=0.1)

    process.kill()


def test_free_ports_differ() -> None:
    """A port is not returned again for some time, even if nothing listens on it yet."""
    ports = [free_port() for _ in range(50)]

    assert len(set(ports)) == len(ports)


def test_existing_programs_are_used_instead_of_building_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """KUBEBUILDER_ASSETS has precedence, as usual for Kubernetes tools."""
    program = tmp_path / "etcd"
    program.touch(mode=0o755)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))

    assert binaries.ensure("etcd") == {"etcd": program}


def test_a_missing_go_is_reported_with_the_fix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an error, never a skipped test."""
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(BuildError, match=r"no `go` on the PATH. Install Go 1\.\d+"):
        binaries.ensure("etcd")


def test_progress_without_a_terminal_is_a_line_per_tenth() -> None:
    """The log of a CI run gets ten lines, not thousands."""
    output = io.StringIO()
    progress = BuildProgress(2000, stream=output, clock=lambda: 0.0)

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
    """Return the names of the running programs that have the folder in their command line."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(FileNotFoundError, ProcessLookupError):
            command = entry.read_text(errors="replace")
            if str(folder) in command:
                found.add(Path(command.split("\0")[0]).name)
    return found


def _ends(process: int, *, within: float) -> bool:
    """Return whether the process of a pidfd ends within so many seconds."""
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
