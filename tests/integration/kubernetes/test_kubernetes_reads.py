"""What is asked of a real API server at the start: lists, the served schema, and what RBAC allows."""

import pytest

from pipedrive_operator.adapters.kubernetes import api as gateway
from pipedrive_operator.adapters.kubernetes.api import Api
from pipedrive_operator.adapters.kubernetes.crd_version import NAME, SchemaState, read_schema
from pipedrive_operator.adapters.kubernetes.endpoints import DEFINITIONS
from pipedrive_operator.adapters.kubernetes.lister import Lister
from pipedrive_operator.adapters.kubernetes.permissions import missing, required
from pipedrive_operator.adapters.kubernetes.secrets import KubernetesSecrets
from pipedrive_operator.core.resource.credential import AnyCredential
from support.manifests import published_secret
from testbed.control_plane import ControlPlane


class TestLister:
    """Complete lists."""

    async def test_lists_only_labelled_secrets_page_by_page(
        self, api: Api, secrets: KubernetesSecrets, namespace: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Every page is of the same resourceVersion, and a foreign Secret is on none."""
        monkeypatch.setattr(gateway, "PAGE_SIZE", 2)
        for name in ("a", "b", "c"):
            await secrets.create(published_secret(namespace, name))
        foreign = published_secret(namespace, "foreign")
        del foreign["metadata"]["labels"]
        await secrets.create(foreign)

        pages = [page async for page in Lister(api, [namespace]).list_secrets()]

        names = [[body["metadata"]["name"] for body in page.items] for page in pages]
        assert names == [["a", "b"], ["c"]]
        assert len({page.resource_version for page in pages}) == 1

    async def test_lists_the_credentials_of_the_cluster_or_of_namespaces(
        self, api: Api, credential: AnyCredential
    ) -> None:
        """No namespaces means all."""
        elsewhere = Lister(api, ["default"]).list_credentials()

        everywhere = [body["metadata"]["uid"] async for page in Lister(api).list_credentials() for body in page.items]

        assert credential.uid in everywhere
        assert [page.items async for page in elsewhere] == [[]]


class TestSchema:
    """The served CRD."""

    async def test_is_current_or_older(self, api: Api) -> None:
        """The schema that is served is current; one with a field more is not."""
        served = await api.get(DEFINITIONS.named(NAME))
        assert served is not None
        schema = served["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        assert (await read_schema(api, schema)).state is SchemaState.CURRENT

        schema["properties"]["status"]["properties"]["invented"] = {"type": "string"}
        answer = await read_schema(api, schema)

        assert answer.state is SchemaState.OLDER
        assert "status.invented" in answer.message

    async def test_may_be_hidden_by_rbac(self, stranger: Api) -> None:
        """It is an error, and not the same as absent."""
        answer = await read_schema(stranger, {})

        assert answer.state is SchemaState.UNREADABLE
        assert "cannot get resource" in answer.message


class TestAccess:
    """What RBAC allows."""

    async def test_names_what_is_missing(
        self, control_plane: ControlPlane, api: Api, stranger: Api, namespace: str
    ) -> None:
        """An administrator lacks nothing; who was given one verb lacks the others."""
        for kind, options in (
            ("role", ["--verb=get,list", "--resource=secrets"]),
            ("rolebinding", ["--role=reader", "--user=stranger"]),
        ):
            control_plane.kubectl("create", kind, "reader", *options, f"--namespace={namespace}")

        assert await missing(api, required()) == []
        lacking = await missing(stranger, required([namespace]))

        assert {rule.verb for rule in lacking if rule.resource == "secrets"} == {
            "watch",
            "create",
            "patch",
            "delete",
        }
        assert f"create events.events.k8s.io in namespace {namespace}" in map(str, lacking)
