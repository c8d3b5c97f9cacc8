"""The adapter of workloads with a real API server: what a restart writes, and the error that each refusal becomes."""

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
    """Return the adapter, as administrator."""
    return KubernetesWorkloads(api)


@pytest.fixture
def make(control_plane: ControlPlane, namespace: str) -> Make:
    """Return a function that creates a workload."""

    def made(kind: WorkloadKind = WorkloadKind.DEPLOYMENT, **annotations: str) -> WorkloadReference:
        reference = WorkloadReference(kind=kind, name="web")
        body = json.dumps(manifests.workload(str(kind), "web", **annotations))
        control_plane.kubectl("create", f"--namespace={namespace}", "--filename=-", stdin=body)
        return reference

    return made


async def existing(workloads: KubernetesWorkloads, namespace: str, reference: WorkloadReference) -> Workload:
    """Read a workload that exists."""
    found = await workloads.read(namespace, reference)
    assert found is not None
    return found


class TestWorkloads:
    """The adapter of workloads."""

    @pytest.mark.parametrize("kind", list(WorkloadKind))
    async def test_a_restart_changes_the_pod_template_and_nothing_else(
        self,
        workloads: KubernetesWorkloads,
        control_plane: ControlPlane,
        namespace: str,
        make: Make,
        kind: WorkloadKind,
    ) -> None:
        """Its controller then replaces the pods, as after `kubectl rollout restart`."""
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

    async def test_a_missing_workload_is_none(self, workloads: KubernetesWorkloads, namespace: str) -> None:
        """This holds for every kind."""
        for kind in WorkloadKind:
            assert await workloads.read(namespace, WorkloadReference(kind=kind, name="web")) is None

    async def test_a_workload_that_was_changed_or_deleted_is_not_patched(
        self, workloads: KubernetesWorkloads, control_plane: ControlPlane, namespace: str, make: Make
    ) -> None:
        """Its owner may just have withdrawn the permission."""
        found = await existing(workloads, namespace, make(**{ANNOTATION_ALLOW_ROLLOUT: "acme"}))
        where = f"--namespace={namespace}"
        control_plane.kubectl("annotate", "deployment", "web", where, f"{ANNOTATION_ALLOW_ROLLOUT}-")
        with pytest.raises(WorkloadChanged):
            await workloads.patch(found, restart_patch(found, CREDENTIAL, "one-a", NOW))

        control_plane.kubectl("delete", "deployment", "web", where)
        with pytest.raises(WorkloadChanged):
            await workloads.patch(found, restart_patch(found, CREDENTIAL, "one-a", NOW))

    async def test_a_request_that_rbac_denies_is_an_error(
        self, workloads: KubernetesWorkloads, stranger: Api, namespace: str, make: Make
    ) -> None:
        """The message quotes the API server, for a read and for a patch."""
        found = await existing(workloads, namespace, make())
        theirs = KubernetesWorkloads(stranger)

        with pytest.raises(WorkloadDenied, match='cannot get resource "deployments"'):
            await theirs.read(namespace, found.reference)
        with pytest.raises(WorkloadDenied, match='cannot patch resource "deployments"'):
            await theirs.patch(found, restart_patch(found, CREDENTIAL, "one-a", NOW))

    async def test_the_permissions_of_check_are_sufficient(
        self, workloads: KubernetesWorkloads, control_plane: ControlPlane, namespace: str, make: Make
    ) -> None:
        """`check` finds none of them missing."""
        found = await existing(workloads, namespace, make())
        rights = required_for_rollouts([namespace])
        grant_rights(control_plane, f"restarter-{namespace}", rights)
        kubeconfig = control_plane.kubeconfig_for(f"restarter-{namespace}")

        async with await Api.connect(KubernetesSettings(kubeconfig=kubeconfig)) as api:
            assert [] == await missing(api, rights)
            await KubernetesWorkloads(api).patch(found, restart_patch(found, CREDENTIAL, "one-a", NOW))
