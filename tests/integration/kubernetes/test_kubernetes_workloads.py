"""The port of workloads against a real API server: what a restart is, and what each refusal becomes."""

import json
from collections.abc import Callable

import pytest

from integration.kubernetes.rights import grant_rights
from pipedrive_operator.adapters.kubernetes.api import Api
from pipedrive_operator.adapters.kubernetes.permissions import missing, required_for_rollouts
from pipedrive_operator.adapters.kubernetes.workloads import KubernetesWorkloads
from pipedrive_operator.config.settings import KubernetesSettings
from pipedrive_operator.core.publication.rollout import (
    ANNOTATION_ALLOW_ROLLOUT,
    ANNOTATION_RESTARTED_AT,
    Workload,
    restart_patch,
)
from pipedrive_operator.core.resource.workload import WorkloadKind, WorkloadReference
from pipedrive_operator.core.values.errors import WorkloadChanged, WorkloadDenied
from support import manifests
from support.builders import API_TOKEN_SPEC, NOW, readable, resource
from testbed.control_plane import ControlPlane

CREDENTIAL = readable(resource(API_TOKEN_SPEC))
Make = Callable[..., WorkloadReference]


@pytest.fixture
def workloads(api: Api) -> KubernetesWorkloads:
    """Return the port."""
    return KubernetesWorkloads(api)


@pytest.fixture
def make(control_plane: ControlPlane, namespace: str) -> Make:
    """Make workloads."""

    def made(kind: WorkloadKind = WorkloadKind.DEPLOYMENT, **annotations: str) -> WorkloadReference:
        reference = WorkloadReference(kind=kind, name="web")
        body = json.dumps(manifests.workload(str(kind), "web", **annotations))
        control_plane.kubectl("create", f"--namespace={namespace}", "--filename=-", stdin=body)
        return reference

    return made


async def existing(workloads: KubernetesWorkloads, namespace: str, reference: WorkloadReference) -> Workload:
    """Return a workload that is there."""
    found = await workloads.read(namespace, reference)
    assert found is not None
    return found


class TestWorkloads:
    """The port of workloads."""

    @pytest.mark.parametrize("kind", list(WorkloadKind))
    async def test_a_restart_changes_the_pod_template_and_nothing_else(
        self,
        workloads: KubernetesWorkloads,
        control_plane: ControlPlane,
        namespace: str,
        make: Make,
        kind: WorkloadKind,
    ) -> None:
        """So its controller replaces the pods, as after `kubectl rollout restart`."""
        reference = make(kind, **{ANNOTATION_ALLOW_ROLLOUT: "acme"})
        ask = ("get", str(kind), "web", f"--namespace={namespace}", "--output=json")
        before = json.loads(control_plane.kubectl(*ask))
        found = await existing(workloads, namespace, reference)
        assert {ANNOTATION_ALLOW_ROLLOUT: "acme"}.items() <= found.annotations.items()

        await workloads.patch(found, restart_patch(found, CREDENTIAL, "one-a", NOW))

        after = json.loads(control_plane.kubectl(*ask))
        written = after["spec"]["template"]["metadata"].pop("annotations")
        assert {"rollout.pipedrive-operator.io/acme", ANNOTATION_RESTARTED_AT} == set(written)
        before["spec"]["template"]["metadata"].pop("annotations", None)
        assert before["spec"] == after["spec"]
        assert before["metadata"]["generation"] + 1 == after["metadata"]["generation"]
        assert written == (await existing(workloads, namespace, reference)).template_annotations

    async def test_what_is_absent_is_none(self, workloads: KubernetesWorkloads, namespace: str) -> None:
        """Of whatever kind."""
        for kind in WorkloadKind:
            assert await workloads.read(namespace, WorkloadReference(kind=kind, name="web")) is None

    async def test_a_workload_that_was_changed_or_deleted_is_not_patched(
        self, workloads: KubernetesWorkloads, control_plane: ControlPlane, namespace: str, make: Make
    ) -> None:
        """Its owner may just have taken the permission back."""
        found = await existing(workloads, namespace, make(**{ANNOTATION_ALLOW_ROLLOUT: "acme"}))
        where = f"--namespace={namespace}"
        control_plane.kubectl("annotate", "deployment", "web", where, f"{ANNOTATION_ALLOW_ROLLOUT}-")
        with pytest.raises(WorkloadChanged):
            await workloads.patch(found, restart_patch(found, CREDENTIAL, "one-a", NOW))

        control_plane.kubectl("delete", "deployment", "web", where)
        with pytest.raises(WorkloadChanged):
            await workloads.patch(found, restart_patch(found, CREDENTIAL, "one-a", NOW))

    async def test_rbac_denies(self, workloads: KubernetesWorkloads, stranger: Api, namespace: str, make: Make) -> None:
        """To read as well as to patch; the message quotes the API server."""
        found = await existing(workloads, namespace, make())
        theirs = KubernetesWorkloads(stranger)

        with pytest.raises(WorkloadDenied, match='cannot get resource "deployments"'):
            await theirs.read(namespace, found.reference)
        with pytest.raises(WorkloadDenied, match='cannot patch resource "deployments"'):
            await theirs.patch(found, restart_patch(found, CREDENTIAL, "one-a", NOW))

    async def test_the_rights_that_are_said_to_be_needed_are_enough(
        self, workloads: KubernetesWorkloads, control_plane: ControlPlane, namespace: str, make: Make
    ) -> None:
        """And `check` names them where they are missing."""
        found = await existing(workloads, namespace, make())
        rights = required_for_rollouts([namespace])
        grant_rights(control_plane, f"restarter-{namespace}", rights)
        kubeconfig = control_plane.kubeconfig_for(f"restarter-{namespace}")

        async with await Api.connect(KubernetesSettings(kubeconfig=kubeconfig)) as api:
            assert [] == await missing(api, rights)
            await KubernetesWorkloads(api).patch(found, restart_patch(found, CREDENTIAL, "one-a", NOW))
