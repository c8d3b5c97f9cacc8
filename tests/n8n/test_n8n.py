"""A real n8n works with what the operator publishes: both kinds of credential, both versions of its Pipedrive node."""

import json
import time
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit
from urllib.request import ProxyHandler, Request, build_opener

import pytest

from n8n.conftest import Company, Kubelet, ask, deals, http_request, upload, webhook
from n8n.instance import N8n
from n8n.queue import queue
from support.tenant import eventually

STORED_BY_THE_EDITOR = {
    "grantType": "authorizationCode",
    "authUrl": "https://oauth.pipedrive.com/oauth/authorize",
    "accessTokenUrl": "https://oauth.pipedrive.com/oauth/token",
    "scope": "",
    "authQueryParameters": "",
    "authentication": "header",
}
"""The defaults that n8n's editor stores in a credential which it creates without overwrites."""
LIFETIMES = 2
"""How many refreshes a workflow must survive."""


def registered_hooks(company: Company) -> list[dict[str, Any]]:
    """Return the webhooks of the company."""
    request = Request(f"{company.tenant.pipedrive.url}/v1/webhooks", headers={"x-api-token": company.tenant.api_token})
    with build_opener(ProxyHandler({})).open(request, timeout=10) as response:
        found: list[dict[str, Any]] = json.load(response)["data"]
        return found


@pytest.fixture(scope="module")
def api_token(n8n: N8n) -> str:
    """Create a credential without a token: n8n fills in what the overwrites hold."""
    return n8n.credential("pipedriveApi", "API token")


@pytest.fixture(scope="module")
def oauth2(n8n: N8n, company: Company) -> str:
    """Create an OAuth2 credential with the client of the token endpoint."""
    return oauth2_credential(n8n, "acme", company)


@pytest.mark.parametrize("version", [1, 2])
def test_the_node_works_with_the_api_token(n8n: N8n, company: Company, api_token: str, version: int) -> None:
    """The workflow returns the deal of the credential's company."""
    n8n.workflow(f"api token {version}", webhook(f"api-token-{version}"), deals(version, "apiToken", api_token))

    status, answer = ask(n8n, f"api-token-{version}")

    assert (200, True) == (status, f"Deal of {company.tenant.domain}" in answer), answer


@pytest.mark.parametrize("version", [1, 2])
def test_the_node_works_with_oauth2(n8n: N8n, company: Company, oauth2: str, version: int) -> None:
    """n8n fetches the access token from the token endpoint."""
    n8n.workflow(f"oauth2 {version}", webhook(f"oauth2-{version}"), deals(version, "oAuth2", oauth2))

    status, answer = ask(n8n, f"oauth2-{version}")

    assert (200, True) == (status, f"Deal of {company.tenant.domain}" in answer), answer


def test_each_company_is_used_by_its_own_credential(n8n: N8n, company: Company, beta: Company, oauth2: str) -> None:
    """A second company is a second client of the same token endpoint; one n8n uses both."""
    other = oauth2_credential(n8n, "beta", beta)
    n8n.workflow("first company", webhook("first-company"), deals(2, "oAuth2", oauth2))
    n8n.workflow("second company", webhook("second-company"), deals(2, "oAuth2", other))

    first, second = ask(n8n, "first-company"), ask(n8n, "second-company")

    assert (200, True) == (first[0], f"Deal of {company.tenant.domain}" in first[1]), first
    assert (200, True) == (second[0], f"Deal of {beta.tenant.domain}" in second[1]), second


@pytest.mark.parametrize("version", [1, 2])
def test_a_file_is_uploaded(n8n: N8n, company: Company, oauth2: str, version: int) -> None:
    """Files are sent as a form, by other code of n8n than the rest."""
    n8n.workflow(f"upload {version}", webhook(f"upload-{version}"), *upload(version, oauth2))

    status, answer = ask(n8n, f"upload-{version}")

    assert (200, True) == (status, f"note.txt of {company.tenant.domain}" in answer), answer


def test_a_request_node_can_send_the_token_to_pipedrive_only(
    n8n: N8n, company: Company, sidecar: int, oauth2: str
) -> None:
    """The overwrites restrict the domains, except of a credential in which a person has stored another restriction."""
    address = f"http://127.0.0.1:{sidecar}/healthz"
    client = {"clientId": "acme", "clientSecret": company.client_secret}
    other = n8n.credential("pipedriveOAuth2Api", "Unrestricted", **client, allowedHttpRequestDomains="all")
    n8n.workflow("inside", webhook("inside"), http_request("https://api.pipedrive.com/v1/deals", oauth2))
    n8n.workflow("outside", webhook("outside"), http_request(address, oauth2))
    n8n.workflow("unrestricted", webhook("unrestricted"), http_request(address, other))

    status, answer = ask(n8n, "inside")

    assert (200, True) == (status, f"Deal of {company.tenant.domain}" in answer), answer
    assert 200 != ask(n8n, "outside")[0]
    assert 200 == ask(n8n, "unrestricted")[0]


def test_no_execution_fails_while_tokens_are_refreshed(n8n: N8n, mount: Kubelet, oauth2: str) -> None:
    """n8n keeps a token until Pipedrive refuses it, and then finds the next one at the endpoint."""
    n8n.workflow("refreshes", webhook("refreshes"), deals(2, "oAuth2", oauth2))
    first = len(mount.versions)
    answers: list[tuple[int, str]] = []
    deadline = time.monotonic() + 240

    while len(mount.versions) < first + LIFETIMES + 1 and time.monotonic() < deadline:
        answers.append(ask(n8n, "refreshes"))

    assert len(mount.versions) >= first + LIFETIMES
    assert answers
    assert [] == [answer for answer in answers if answer[0] != 200]


def test_the_trigger_registers_and_runs(n8n: N8n, company: Company, oauth2: str) -> None:
    """The Pipedrive Trigger registers a webhook with the token, and a call of that webhook starts the workflow."""
    trigger: dict[str, Any] = {
        "name": "Trigger",
        "type": "n8n-nodes-base.pipedriveTrigger",
        "typeVersion": 1,
        "webhookId": "trigger",
        "parameters": {"authentication": "oAuth2", "action": "added", "object": "deal"},
        "credentials": {"pipedriveOAuth2Api": {"id": oauth2, "name": "OAuth2"}},
    }
    workflow = n8n.workflow("trigger", trigger, deals(2, "oAuth2", oauth2))

    def registered() -> list[dict[str, Any]]:
        """Find the webhook of the trigger."""
        return registered_hooks(company)

    path = eventually(registered)[0]["subscription_url"].removeprefix(n8n.url)
    assert 200 == n8n.request("POST", path, {"event": "added.deal"})[0]

    def executed() -> bool:
        """Find a successful execution of the workflow."""
        found = n8n.rest("GET", "executions?filter=%7B%22workflowId%22%3A%22" + workflow + "%22%7D")["results"]
        return [one["status"] for one in found] == ["success"]

    eventually(executed)


def test_a_new_api_token_arrives_with_a_restart(n8n: N8n, company: Company, sidecar: int, api_token: str) -> None:
    """n8n reads the overwrites when it starts: `spec.rollout` restarts it."""
    n8n.workflow("new token", webhook("new-token"), deals(2, "apiToken", api_token))
    old = company.tenant.api_token
    company.tenant.store("acme-token", api_token=(new := company.tenant.regenerate_api_token()))

    def published() -> bool:
        """Find the new token in the mounted file."""
        company.overwrite(sidecar)
        return new in company.overwrites.read_text()

    eventually(published, within=60)
    refused, _ = ask(n8n, "new-token")
    n8n.stop()
    n8n.start()
    status, answer = ask(n8n, "new-token")

    assert old != new
    assert refused != 200
    assert (200, True) == (status, f"Deal of {company.tenant.domain}" in answer), answer


def test_workers_use_the_credentials_by_themselves(  # noqa: PLR0917  fixtures
    n8n: N8n,
    company: Company,
    beta: Company,
    surroundings: dict[str, str],
    environment: dict[str, str],
    tmp_path: Path,
) -> None:
    """In queue mode the main process passes executions on: each worker needs the file and the token endpoint."""
    n8n.stop()
    with queue(tmp_path) as queued:
        n8n.start(environment | queued)
        paths = {
            "queued-token": (n8n.credential("pipedriveApi", "Queued"), "apiToken", company),
            "queued-first": (oauth2_credential(n8n, "acme", company), "oAuth2", company),
            "queued-second": (oauth2_credential(n8n, "beta", beta), "oAuth2", beta),
        }
        for path, (credential, kind, _) in paths.items():
            n8n.workflow(path, webhook(path), deals(2, kind, credential))

        with n8n.worker(environment | queued):
            answers = {path: ask(n8n, path) for path in paths}
        with n8n.worker(surroundings | queued):
            without = ask(n8n, "queued-token")
        n8n.stop()

    for path, (_, _, owner) in paths.items():
        assert (200, True) == (answers[path][0], f"Deal of {owner.tenant.domain}" in answers[path][1]), answers[path]
    assert 200 != without[0]


def oauth2_credential(n8n: N8n, client_id: str, company: Company) -> str:
    """Create an OAuth2 credential with a client of the token endpoint."""
    return n8n.credential("pipedriveOAuth2Api", client_id, clientId=client_id, clientSecret=company.client_secret)


def test_n8n_connects_by_itself_and_is_moved_to_the_operator(
    n8n: N8n, company: Company, beta: Company, surroundings: dict[str, str], environment: dict[str, str]
) -> None:
    """Without overwrites n8n runs the authorization code grant, with an empty `scope=`; its grant can be moved.

    Afterwards the same credential is a client of the token endpoint. It is another company's client here, so that the
    answer shows which token was used.
    """
    pipedrive = company.tenant.pipedrive
    callback = f"{n8n.url}/rest/oauth2-credential/callback"
    app = pipedrive.command("add-app", redirect_uri=callback, scopes=["base", "deals:full"])
    n8n.stop()
    n8n.start(surroundings)
    client = {"clientId": app["client_id"], "clientSecret": app["client_secret"]}
    credential = n8n.credential("pipedriveOAuth2Api", "Connected", **STORED_BY_THE_EDITOR, **client)
    n8n.workflow("connected", webhook("connected"), deals(2, "oAuth2", credential))

    address = str(n8n.rest("GET", f"oauth2-credential/auth?id={credential}"))
    back = accept(address.replace("https://oauth.pipedrive.com", pipedrive.url), company)
    arrived, page = n8n.request("GET", back.removeprefix(n8n.url))
    status, answer = ask(n8n, "connected")

    assert "scope=" in address
    assert 200 == arrived, page
    assert (200, True) == (status, f"Deal of {company.tenant.domain}" in answer), answer

    n8n.stop()
    exported = n8n.command("export:credentials", "--decrypted", f"--id={credential}")
    found = json.loads(exported[exported.index("[") :])[0]["data"]
    company.tenant.store("moved", refresh_token=found["oauthTokenData"]["refresh_token"], **snake_case(client))
    place = {"path": company.tenant.path("moved")}
    company.tenant.apply("moved", {"oauth2": {"client": place, "grant": place}})

    assert company.tenant.wait_until_published("moved")["company_domain"] == company.tenant.domain

    n8n.start(environment)
    data = STORED_BY_THE_EDITOR | {"clientId": "beta", "clientSecret": beta.client_secret}
    n8n.rest("PATCH", f"credentials/{credential}", {"name": "Moved", "type": "pipedriveOAuth2Api", "data": data})

    def is_fed() -> bool:
        """Find the deal that the token of the endpoint gives access to."""
        status, answer = ask(n8n, "connected")
        assert 200 == status, answer
        return f"Deal of {beta.tenant.domain}" in answer

    eventually(is_fed, within=90)


def snake_case(client: dict[str, str]) -> dict[str, str]:
    """Write n8n's names of a client as Vault holds them."""
    return {"client_id": client["clientId"], "client_secret": client["clientSecret"]}


def accept(address: str, company: Company) -> str:
    """Press Accept on the simulator's page, and return where the browser is sent."""
    parts = urlsplit(address)
    form = {"user": f"{company.tenant.company_id}:{company.tenant.user_id}", "decision": "accept"}
    with closing(HTTPConnection(parts.netloc, timeout=10)) as connection:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        connection.request("POST", f"{parts.path}?{parts.query}", urlencode(form), headers)
        response = connection.getresponse()
        assert 302 == response.status, response.read()
        return str(response.headers["Location"])
