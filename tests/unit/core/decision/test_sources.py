"""What a credential names is resolved to a location and a Vault identity, or refused before any call."""

import copy
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipedrive_operator.core.decision.sources import ApiTokenSource, GrantWithClient, Rules, Source, resolve
from pipedrive_operator.core.grant.document import OPERATOR, TenantIdentity
from pipedrive_operator.core.resource.credential import read_credential
from pipedrive_operator.core.values.errors import InvalidSpec
from support.builders import CLIENT_SOURCE, GRANT_SOURCE, RULES, resource
from support.properties import ANYTHING, reads_anything

AUTH = {"role": "crm", "serviceAccountRef": {"name": "app"}}
AUTHS = st.sampled_from([None, AUTH])
NAMES = st.text("ab-", min_size=1, max_size=3)
MOUNTS = st.sampled_from(["secret", "secret2", "Secret", "kv", "kv/secret", "sys"])
ODD_MOUNTS = st.sampled_from(["secret/", "/secret", "../secret", "kv/../secret", "%73ecret", "secret%2f", "*", ""])
PATHS = st.sampled_from(["pipedrive/crm/a", "pipedrive/crm/../sales/a", "pipedrive/sales/a", "a", "pipedrive/crm/a\nb"])
TEXTS = st.sampled_from(["a", "client_id", "refresh_token", "crm-sync", "$(access_token)", "$(x", "other", "a\x1b[0m"])
FIELDS = {
    ("apiToken", "path"): PATHS,
    ("apiToken", "key"): TEXTS,
    ("oauth2", "grant", "path"): PATHS,
    ("oauth2", "client", "path"): PATHS,
    ("oauth2", "client", "app"): TEXTS,
    ("oauth2", "client", "idKey"): TEXTS,
    ("oauth2", "client", "secretKey"): TEXTS,
    ("vault", "connection"): TEXTS,
    ("vault", "mount"): MOUNTS | ODD_MOUNTS,
    ("vault", "auth"): AUTHS,
    ("target", "data", "token"): TEXTS,
    ("target", "type"): TEXTS,
    ("target", "labels", "a"): TEXTS,
}
"""Each field that is resolved, with values that are nearly right."""


@st.composite
def specs(draw: st.DrawFn) -> dict[str, Any]:
    """Build a spec that can be resolved, and change some of its fields."""
    usable: list[dict[str, Any]] = [
        {"apiToken": {"path": "pipedrive/crm/acme"}, "vault": {}, "target": {}},
        {"oauth2": oauth2(), "vault": {"auth": AUTH}},
        {"oauth2": oauth2(client={"path": "pipedrive/crm/client"}), "vault": {}, "target": {}},
    ]
    spec: dict[str, Any] = copy.deepcopy(draw(st.sampled_from(usable)))
    present = sorted(path for path in FIELDS if path[0] in spec)
    for path in draw(st.sets(st.sampled_from(present), max_size=2)):
        *parents, name = path
        inner = spec
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[name] = draw(FIELDS[path] if draw(st.integers(0, 3)) else ANYTHING)
    return spec


def oauth2(**changes: Any) -> dict[str, Any]:
    """Build spec.oauth2 with some fields changed."""
    return {"client": {"app": "crm-sync"}, "grant": {"path": "pipedrive/crm/acme"}} | changes


def rules(**changes: Any) -> Rules:
    """Change the rules of the only connection."""
    return replace(RULES, connections={"default": replace(RULES.connections["default"], **changes)})


def found(changed: Rules, *, namespace: str = "crm", client: str | None = None, **vault: object) -> Source | None:
    """Resolve what a credential names below its own prefix; None where it is refused."""
    path = f"pipedrive/{namespace}/acme"
    vault = {name: value for name, value in vault.items() if value is not None}
    source = (
        {"oauth2": {"client": {"app": client}, "grant": {"path": path}}} if client else {"apiToken": {"path": path}}
    )
    try:
        return resolve(read_credential(resource(source | {"vault": vault}, namespace=namespace)), changed)
    except InvalidSpec:
        return None


@reads_anything
@given(namespace=NAMES, patterns=st.lists(NAMES | NAMES.map("{}*".format), max_size=3), auth=AUTHS)
def test_a_connection_is_for_its_namespaces_alone(namespace: str, patterns: list[str], auth: object) -> None:
    """This holds for any Vault identity."""
    allowed = any(namespace == one or (one[-1] == "*" and namespace.startswith(one[:-1])) for one in patterns)

    source = found(rules(allowed_namespaces=patterns), namespace=namespace, auth=auth)

    assert allowed is (source is not None)


@reads_anything
@given(namespace=NAMES, allowed=st.lists(NAMES, max_size=3))
def test_an_app_is_for_its_namespaces_alone(namespace: str, allowed: list[str]) -> None:
    """The operator reads the client from a path that no credential may use."""
    app = replace(RULES.apps["crm-sync"], allowed_namespaces=allowed)

    source = found(replace(RULES, apps={"crm-sync": app}), namespace=namespace, client="crm-sync")

    assert (namespace in allowed) is (source is not None)


@reads_anything
@given(mounts=st.lists(MOUNTS, min_size=1, max_size=3), mount=MOUNTS | ODD_MOUNTS | st.none(), auth=AUTHS)
def test_a_mount_is_one_that_the_connection_lists(mounts: list[str], mount: str | None, auth: object) -> None:
    """The names must be equal, under any Vault identity; the default is the first mount."""
    source = found(rules(mounts=mounts), mount=mount, auth=auth)

    wanted = mounts[0] if mount is None else mount
    assert (wanted if wanted in mounts else None) == (source.location.mount if source else None)


@reads_anything
@given(namespace=NAMES)
def test_a_tenant_identity_belongs_to_the_credentials_namespace(namespace: str) -> None:
    """Without spec.vault.auth the operator reads; the client of an app is always read by the operator."""
    tenant = TenantIdentity(namespace=namespace, service_account="app", role="crm")
    changed = replace(RULES, apps={"crm-sync": replace(RULES.apps["crm-sync"], allowed_namespaces=["*"])})

    sources = [found(changed, namespace=namespace, client="crm-sync", auth=auth) for auth in (AUTH, None)]

    assert [tenant, OPERATOR] == [source and source.identity for source in sources]
    assert [CLIENT_SOURCE] * 2 == [getattr(source, "client", None) for source in sources]


@reads_anything
@given(spec=specs())
def test_any_spec_is_resolved_or_refused(spec: dict[str, Any]) -> None:
    """An older CRD may have accepted it. What is resolved is below the namespace's own prefix."""
    try:
        source = resolve(read_credential(resource(spec)), RULES)
    except InvalidSpec:
        return

    assert isinstance(source.identity, TenantIdentity) or source.location.path.startswith("pipedrive/crm/")
    assert str(source.location).isprintable()


@pytest.mark.parametrize(
    ("changes", "vault", "says"),
    [
        ({"allowed_namespaces": ["sales"]}, {}, r"vault\.connections\.default\.allowedNamespaces"),
        ({"takes_tenants": False}, {"auth": AUTH}, r"vault\.connections\.default\.tenantAuth\.enabled"),
        ({}, {"mount": "kv"}, "no mount kv; it lists secret"),
        ({}, {"connection": "other"}, "no connection other; namespace crm may use default"),
    ],
)
def test_a_refusal_names_the_setting_or_the_choices(changes: dict[str, Any], vault: object, says: str) -> None:
    """The reader can then correct it."""
    credential = read_credential(resource({"apiToken": {"path": "pipedrive/crm/acme"}, "vault": vault}))

    with pytest.raises(InvalidSpec, match=says):
        resolve(credential, rules(**changes))


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        pytest.param({}, "exactly one of oauth2 and apiToken", id="an unreadable spec"),
        pytest.param({"oauth2": oauth2(client={})}, "exactly one of app and path", id="no client"),
        pytest.param(
            {"oauth2": oauth2(client={"app": "x"})}, "no app x; namespace crm may use crm-sync", id="an unknown app"
        ),
        pytest.param({"oauth2": oauth2(client={"path": "x"})}, "spec.oauth2.client.path: x is outside", id="a client"),
        pytest.param({"oauth2": oauth2(grant={"path": "x"})}, "spec.oauth2.grant.path: x is outside", id="a grant"),
        pytest.param({"apiToken": {"path": "x"}}, "spec.apiToken.path: x is outside", id="an API token"),
        pytest.param(
            {"apiToken": {"path": "pipedrive/crm/x", "key": "refresh_token"}},
            "spec.apiToken.key: refresh_token holds something else",
            id="the refresh token as an API token",
        ),
        pytest.param(
            {"oauth2": oauth2(client={"path": "pipedrive/crm/x", "idKey": "client_secret"})},
            "spec.oauth2.client.idKey: client_secret holds something else",
            id="the secret as the id",
        ),
        pytest.param(
            {"oauth2": oauth2(client={"path": "pipedrive/crm/x", "secretKey": "client_id"})},
            "spec.oauth2.client.secretKey: client_id holds something else",
            id="the id as the secret",
        ),
        pytest.param(
            {"oauth2": oauth2(client={"path": "pipedrive/crm/x", "idKey": "k", "secretKey": "k"})},
            "idKey and secretKey are both k",
            id="one key for both",
        ),
        pytest.param(
            {"apiToken": {"path": "pipedrive/crm/x"}, "target": {"type": "kubernetes.io/service-account-token"}},
            "spec.target.type: must not",
            id="a type of Kubernetes",
        ),
        pytest.param(
            {"apiToken": {"path": "pipedrive/crm/x"}, "target": {"labels": {"pipedrive-operator.io/credential": "x"}}},
            "spec.target.labels: pipedrive-operator.io/credential is reserved",
            id="a label of the operator",
        ),
        pytest.param(
            {"apiToken": {"path": "pipedrive/crm/x"}, "target": {"annotations": {"x.k8s.io/y": "x"}}},
            "spec.target.annotations: x.k8s.io/y is reserved",
            id="an annotation of Kubernetes",
        ),
        pytest.param(
            {"apiToken": {"path": "pipedrive/crm/x"}, "target": {"data": {"k": "$(access_token)"}}},
            "spec.target.data.k.: .*access_token",
            id="a field of the other kind",
        ),
    ],
)
def test_a_refusal_names_the_field(spec: dict[str, Any], says: str) -> None:
    """It also names what would be allowed."""
    with pytest.raises(InvalidSpec, match=says):
        resolve(read_credential(resource(spec)), RULES)


def test_a_client_in_vault_is_read_by_the_tenant() -> None:
    """Its keys have defaults."""
    client = {"path": "pipedrive/crm/client", "idKey": "id"}
    body = resource({"oauth2": oauth2(client=client), "vault": {"auth": AUTH}})

    source = resolve(read_credential(body), RULES)

    assert isinstance(source, GrantWithClient)
    assert source.identity == source.client.identity
    assert ("id", "client_secret") == (source.client.id_key, source.client.secret_key)


def test_a_client_is_compared_by_its_location() -> None:
    """Two tenants may share a grant and read its client under different identities."""
    tenant = TenantIdentity(namespace="crm", service_account="app", role="crm")
    another = replace(CLIENT_SOURCE, id_key="another")
    token = ApiTokenSource(location=CLIENT_SOURCE.location, identity=OPERATOR, key="x")

    assert GRANT_SOURCE.has_client_of(replace(GRANT_SOURCE, client=replace(CLIENT_SOURCE, identity=tenant)))
    assert not GRANT_SOURCE.has_client_of(replace(GRANT_SOURCE, client=another))
    assert not GRANT_SOURCE.has_client_of(token)


def test_a_refusal_lists_only_what_the_namespace_may_use() -> None:
    """The names of other tenants' apps and connections are not for everyone."""
    others = {"theirs": replace(RULES.apps["crm-sync"], allowed_namespaces=("sales",))}
    private = {"private": replace(RULES.connections["default"], allowed_namespaces=("sales",))}
    changed = replace(RULES, apps={**RULES.apps, **others}, connections={**RULES.connections, **private})
    unknown_app = read_credential(resource({"oauth2": oauth2(client={"app": "x"})}))
    unknown_connection = read_credential(
        resource({"apiToken": {"path": "pipedrive/crm/x"}, "vault": {"connection": "x"}})
    )

    for credential, listed in ((unknown_app, "may use crm-sync"), (unknown_connection, "may use default")):
        with pytest.raises(InvalidSpec, match=f"{listed}$"):
            resolve(credential, changed)


def test_the_recommended_labels_of_kubernetes_are_allowed() -> None:
    """They mean something to people only."""
    target = {"type": "example.com/pipedrive", "labels": {"app.kubernetes.io/part-of": "crm"}}
    spec = {"apiToken": {"path": "pipedrive/crm/x"}, "target": target}

    assert isinstance(resolve(read_credential(resource(spec)), RULES), ApiTokenSource)


@pytest.mark.parametrize("key", ["client_id", "client_secret", "id", "hush"])
def test_a_key_of_a_configured_app_is_no_api_token(key: str) -> None:
    """The app's document may be below the namespace's own prefix."""
    location = replace(CLIENT_SOURCE.location, path="pipedrive/crm/app")
    source = replace(CLIENT_SOURCE, location=location, id_key="id", secret_key="hush")
    changed = replace(RULES, apps={"crm-sync": replace(RULES.apps["crm-sync"], source=source)})

    with pytest.raises(InvalidSpec, match=r"spec\.apiToken\.key"):
        resolve(read_credential(resource({"apiToken": {"path": "pipedrive/crm/app", "key": key}})), changed)
