"""Consents through two fronts and two operators on real parts: any replica can do any part of them."""

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit
from urllib.request import Request, urlopen

import pytest

from support import plugin as plugins
from support.consent_deployment import (
    APP,
    APP_PATH,
    Deployment,
    Offer,
    apply_unconnected,
    deployed,
    result_of,
)
from support.operated import Json
from support.plugin import Plugin
from support.tenant import Tenant, eventually
from testbed.control_plane import ControlPlane
from testbed.openbao import OpenBao
from testbed.pipedrive.client import ControlClient
from testbed.visitor import Visitor

SCOPES = ["base", "deals:full"]


@pytest.fixture(scope="module")
def deployment(
    settings: Callable[[str], Json], front_kubeconfig: Path, crd: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    """Run two fronts and two operators."""
    assert crd is None
    folder = tmp_path_factory.mktemp("hosted")
    with deployed([settings(f"hosted-{number}") for number in range(2)], front_kubeconfig, folder) as running:
        for operator in running.operators:
            operator.start()
        for operator in running.operators:
            operator.wait_ready()
        eventually(running.leader)
        yield running


@pytest.fixture(scope="module")
def client_id(deployment: Deployment, pipedrive: ControlClient, openbao: OpenBao) -> str:
    """Register the app with the callback URL of the fronts, and write its client to Vault."""
    app = pipedrive.command("add-app", redirect_uri=f"{deployment.url}/callback", scopes=SCOPES)
    openbao.write_secret(APP_PATH, {"client_id": app["client_id"], "client_secret": app["client_secret"]})
    return str(app["client_id"])


@pytest.fixture
def stranger(control_plane: ControlPlane, openbao: OpenBao, pipedrive: ControlClient, tenant: Tenant) -> Tenant:
    """Provide another company, whose user sees the same app."""
    return Tenant(
        cluster=control_plane,
        openbao=openbao,
        pipedrive=pipedrive,
        namespace=tenant.namespace,
        client_id=tenant.client_id,
    )


@pytest.fixture
def editor(tmp_path: Path, tenant: Tenant) -> Plugin:
    """Return the plugin of someone with the role `edit`."""
    plugins.install(tmp_path)
    plugins.create_roles(tenant.cluster)
    kubeconfig = plugins.user(tenant.cluster, f"jane-{tenant.namespace}", namespace=tenant.namespace, role="edit")
    return Plugin(folder=tmp_path, kubeconfig=kubeconfig, namespace=tenant.namespace)


def events_of(tenant: Tenant, reason: str) -> list[str]:
    """Return the messages of the Events with that reason on the tenant's credentials."""
    path = "--output=jsonpath={range .items[*]}{.message}{'\\n'}{end}"
    return tenant.kubectl("get", "events", f"--field-selector=reason={reason}", path).splitlines()


def test_a_person_begins_at_one_front_and_comes_back_to_the_other(
    deployment: Deployment, tenant: Tenant, editor: Plugin
) -> None:
    """The link that the command prints is all that the person has, and the Secret is there afterwards."""
    apply_unconnected(tenant)
    tenant.wait_for("GrantMissing")
    printed = editor("connect", "acme", "--print")
    assert 0 == printed.code, printed.err
    visitor = Visitor()
    page = result_of(visitor, visitor.connect(printed.out.strip(), user=f"{tenant.company_id}:{tenant.user_id}"))

    assert "Connected" == page.heading
    assert f"{tenant.domain}.pipedrive.com" in page.text
    secret = tenant.wait_until_published()
    assert tenant.stored("acme")["access_token"] == secret["access_token"]
    assert [f"Connected to company {tenant.domain}, as user {tenant.user_id}"] == [
        message.partition(" (")[0] for message in events_of(tenant, "Connected")
    ]
    (begun,) = (front for front in deployment.fronts if "redirect" in front.pages())
    (ended,) = (front for front in deployment.fronts if "stored" in front.pages())
    assert begun is not ended


def test_neither_key_nor_state_nor_code_is_in_a_log_an_event_or_a_metric(
    deployment: Deployment, tenant: Tenant
) -> None:
    """Not even after a wrong key, a code that was used before, and an answer that somebody else wrote."""
    apply_unconnected(tenant)
    offer = Offer(tenant)
    offer.visitor.open(offer.link()[:-1])
    first = offer.visitor.press(offer.visitor.open(offer.link()))
    state = parse_qs(urlsplit(first.address).query)["state"][0]
    code = "used-before-0123456789abcdef"
    refused = offer.result(offer.visitor.open(f"{deployment.url}/callback?{urlencode({'code': code, 'state': state})}"))
    assert "Not connected" == refused.heading
    forged = {"code": "forged-0123456789abcdef", "state": f"{tenant.namespace}:{offer.name}:{'A' * 43}"}
    tenant.kubectl("patch", "pdcon", offer.name, "--type=merge", f"--patch={json.dumps({'spec': {'answer': forged}})}")
    eventually(lambda: offer.reason == "StateMismatch")
    assert "Connected" == offer.result(offer.accept()).heading

    said = [operator.log.read_text() for operator in deployment.operators]
    said += [front.log.read_text() for front in deployment.fronts]
    said += [answer.text for operator in deployment.operators if (answer := operator.get("/metrics"))]
    said.append(tenant.kubectl("get", "events.events.k8s.io", "--output=json"))
    said.append(json.dumps([offer.status, tenant.get("pipedrivecredential", "acme")]))
    for secret in (offer.key, state, state.rpartition(":")[2], code, *forged.values()):
        assert not [text for text in said if secret in text], secret


def test_the_wrong_company_over_a_living_grant_changes_nothing(tenant: Tenant, stranger: Tenant) -> None:
    """Not a byte of the document in Vault; and the same link connects the right company afterwards."""
    tenant.apply_oauth2(oauth2={"client": {"app": APP}}, account={"companyDomain": tenant.domain})
    tenant.wait_until_published()
    before, published = tenant.stored("acme"), tenant.secret()
    offer = Offer(tenant)

    refused = offer.result(offer.accept(by=stranger))

    assert "Another company or user is expected" == refused.heading
    assert stranger.domain in refused.text
    assert before == tenant.stored("acme")
    assert published == tenant.secret()
    assert "Connected" == offer.result(offer.accept()).heading
    assert before["refresh_token"] != tenant.stored("acme")["refresh_token"]
    tenant.wait_for_value(tenant.stored("acme")["access_token"], key="access_token")


@pytest.mark.parametrize("is_leader", [True, False], ids=["leader", "standby"])
def test_an_uninstall_reaches_the_credential_through_either_operator(
    deployment: Deployment, pipedrive: ControlClient, tenant: Tenant, *, is_leader: bool
) -> None:
    """The leader refreshes the grant and reports what Pipedrive has said; a standby cannot refresh, and only notes."""
    connect(tenant)
    (receiver,) = (operator for operator in deployment.operators if operator.leads() is is_leader)
    deployment.reports.lead_to(receiver.port)

    pipedrive.command("uninstall", client_id=tenant.client_id, company_id=tenant.company_id, user_id=tenant.user_id)

    condition = tenant.wait_for("ConsentRequired")
    reported_at = (tenant.get("pipedrivecredential", "acme") or {})["status"]["uninstallReportedAt"]
    assert f"Pipedrive reported an uninstall at {reported_at}" in condition["message"]
    assert f"kubectl pipedrive connect acme -n {tenant.namespace}" in condition["message"]
    assert events_of(tenant, "UninstallReported")
    assert tenant.secret() is not None


def test_reports_that_are_forged_or_repeated_cost_one_refresh_and_no_grant(
    deployment: Deployment, pipedrive: ControlClient, tenant: Tenant
) -> None:
    """Someone who installs the app again has a grant that an old report must not end."""
    connect(tenant)
    other = pipedrive.command("add-app", redirect_uri="https://example.com/other", scopes=SCOPES)
    secrets = {app["client_id"]: app["client_secret"] for app in pipedrive.view("state")["apps"]}
    before = refreshes(tenant)

    report(deployment, tenant, client_id=tenant.client_id, secret="guessed")
    report(deployment, tenant, client_id=other["client_id"], secret=other["client_secret"])
    for _ in range(3):
        report(deployment, tenant, client_id=tenant.client_id, secret=secrets[tenant.client_id])

    eventually(lambda: events_of(tenant, "UninstallReported"))
    eventually(lambda: refreshes(tenant) > before)
    tenant.wait_for_value(tenant.stored("acme")["access_token"], key="access_token")
    assert before + 1 == refreshes(tenant)
    assert 1 == len(events_of(tenant, "UninstallReported"))
    assert "Published" == tenant.conditions()["Ready"]["reason"]


def connect(tenant: Tenant) -> None:
    """Connect the tenant's company, and wait for the Secret."""
    apply_unconnected(tenant)
    offer = Offer(tenant)
    assert "Connected" == offer.result(offer.accept()).heading
    tenant.wait_until_published()


def report(deployment: Deployment, tenant: Tenant, *, client_id: str, secret: str) -> None:
    """Send the report of an uninstall as Pipedrive does, with the client's credentials as Basic authentication."""
    body = {"client_id": client_id, "company_id": tenant.company_id, "user_id": tenant.user_id, "timestamp": "now"}
    basic = base64.b64encode(f"{client_id}:{secret}".encode()).decode()
    headers = {"Authorization": f"Basic {basic}", "Content-Type": "application/json"}
    request = Request(f"{deployment.url}/callback", json.dumps(body).encode(), headers, method="DELETE")
    with urlopen(request, timeout=10) as response:
        assert 204 == response.status


def refreshes(tenant: Tenant) -> int:
    """Return how many refreshes of the tenant's company have reached Pipedrive."""
    return sum(call.is_refresh for call in tenant.calls())
