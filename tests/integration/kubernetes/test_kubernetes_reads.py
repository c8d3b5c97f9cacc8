"""What the operator reads from a real API server at its start: lists, the served schema, and its permissions."""

import pytest

from pipedrive_operator.adapters.kubernetes import api as gateway
from pipedrive_operator.adapters.kubernetes.api import Api
from pipedrive_operator.adapters.kubernetes.crd_version import CRD_NAME, SchemaState, read_schema
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
        """Every page has the same resourceVersion, and none contains a foreign Secret."""
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
        """An empty list of namespaces means all."""
        elsewhere = Lister(api, ["default"]).list_credentials()

        everywhere = [body["metadata"]["uid"] async for page in Lister(api).list_credentials() for body in page.items]

        assert credential.uid in everywhere
        assert [page.items async for page in elsewhere] == [[]]


class TestSchema:
    """The CRD that the API server serves."""

    async def test_a_served_schema_is_current_or_older(self, api: Api) -> None:
        """The served schema is current; it is older than a schema with one more field."""
        served = await api.get(DEFINITIONS.named(CRD_NAME))
        assert served is not None
        schema = served["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        assert (await read_schema(api, schema)).state is SchemaState.CURRENT

        schema["properties"]["status"]["properties"]["invented"] = {"type": "string"}
        answer = await read_schema(api, schema)

        assert answer.state is SchemaState.OLDER
        assert "status.invented" in answer.message

    async def test_a_schema_that_rbac_hides_is_an_error(self, stranger: Api) -> None:
        """It is not reported as a missing CRD."""
        answer = await read_schema(stranger, {})

        assert answer.state is SchemaState.UNREADABLE
        assert "cannot get resource" in answer.message


class TestAccess:
    """The permissions that RBAC grants."""

    async def test_names_the_missing_permissions(
        self, control_plane: ControlPlane, api: Api, stranger: Api, namespace: str
    ) -> None:
        """An administrator lacks none; a user with one verb lacks the others."""
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
