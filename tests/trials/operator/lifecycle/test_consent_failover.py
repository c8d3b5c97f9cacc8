"""The leader is killed at each step of the exchange of a code, and the other operator ends what it had begun.

All consents are at their steps at the same moment, so that one kill is enough. Each credential has a grant that works.
"""

import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from support.consent_deployment import APP, APP_PATH, Deployment, Offer, deployed
from support.operated import Json
from support.tenant import Tenant, eventually
from testbed.control_plane import ControlPlane
from testbed.holding_proxy import Hold, HoldingProxy
from testbed.openbao import OpenBao
from testbed.pipedrive.client import ControlClient
from testbed.visitor import WebPage

SCOPES: Final = ["base", "deals:full"]
TAKEOVER_SECONDS: Final = 150.0
"""A Lease of 15 s, and an intent that lasts for more than a minute, on a machine that is busy."""
UNCERTAIN: Final = "Not sure whether you are connected"
PROMOTED: Final = "promotion not acknowledged"
ESCROW_LABEL: Final = "pipedrive-operator.io/escrow"

Reached = Callable[[], object]
Step = Callable[[HoldingProxy, Tenant], Reached]
"""Arranges where a consent of a tenant stops; the result says whether it has."""


def at_write(number: int, hold: Hold) -> Step:
    """Stop at a write to the document in Vault: 1 is the intent, 2 the candidate, 3 the promotion."""
    return lambda proxy, tenant: proxy.hold(tenant.path("acme"), number, hold).is_set


def at_pipedrive(endpoint: str, effect: str) -> Step:
    """Stop at a call to Pipedrive, before or after it takes effect."""

    def arrange(_: HoldingProxy, tenant: Tenant) -> Reached:
        tenant.pipedrive.add_fault("hang", endpoint=endpoint, effect=effect, company_id=tenant.company_id)
        return lambda: any(call.fault for call in tenant.calls())

    return arrange


def in_escrow(proxy: HoldingProxy, tenant: Tenant) -> Reached:
    """Stop when Vault refuses to store the result, which is in escrow then."""
    proxy.hold(tenant.path("acme"), 2, Hold.REFUSED)
    secrets = ("get", "secrets", "--namespace=default", f"--selector={ESCROW_LABEL}", "--output=name")
    return lambda: tenant.cluster.kubectl(*secrets).split()


CONNECTED: Final[Mapping[str, Step]] = {
    "before the intent": at_write(1, Hold.BEFORE),
    "after the intent": at_write(1, Hold.AFTER),
    "account not known yet": at_pipedrive("users_me", "before"),
    PROMOTED: at_write(3, Hold.AFTER),
    "result in escrow": in_escrow,
}
"""The steps at which the consent is completed without the person."""
LOST: Final[Mapping[str, Step]] = {
    "code not taken": at_pipedrive("token", "before"),
    "response not received": at_pipedrive("token", "after"),
    "result not stored": at_write(2, Hold.BEFORE),
}
"""The steps at which the code was or may have been used up, and its result died with the process."""
STEPS: Final = {**CONNECTED, **LOST}
"""In this order: a response of Pipedrive is awaited for eight seconds only."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A consent whose exchange the kill has interrupted."""

    offer: Offer
    page: WebPage
    """What the person sees after Pipedrive."""
    before: Json
    """The document in Vault before the consent."""
    at_the_kill: Json
    """The document when the leader was killed."""


@pytest.fixture(scope="module")
def proxy(openbao: OpenBao) -> Iterator[HoldingProxy]:
    """Stand between the first operator and Vault."""
    with HoldingProxy(openbao.port) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def deployment(
    settings: Callable[[str], Json],
    front_kubeconfig: Path,
    crd: None,
    proxy: HoldingProxy,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Deployment]:
    """Run two fronts and two operators, of which the first leads."""
    assert crd is None
    folder = tmp_path_factory.mktemp("failover")
    made = [settings(f"failover-{number}") for number in range(2)]
    for one in made:
        one["pipedrive"]["timeout"] = "2s"
        one["controller"] = {"pollInterval": "1h"}
        one["vault"]["connections"]["default"]["timeout"] = "60s"
    made[0]["vault"]["connections"]["default"]["address"] = proxy.url
    with deployed(made, front_kubeconfig, folder) as running:
        first, second = running.operators
        first.start()
        eventually(first.leads)
        second.start()
        second.wait_ready()
        yield running


@pytest.fixture(scope="module")
def cases(
    deployment: Deployment, proxy: HoldingProxy, control_plane: ControlPlane, openbao: OpenBao, pipedrive: ControlClient
) -> Iterator[Mapping[str, Case]]:
    """Bring a consent to each step, and kill the leader."""
    app = pipedrive.command("add-app", redirect_uri=f"{deployment.url}/callback", scopes=SCOPES)
    openbao.write_secret(APP_PATH, {"client_id": app["client_id"], "client_secret": app["client_secret"]})
    parts: Json = {
        "cluster": control_plane,
        "openbao": openbao,
        "pipedrive": pipedrive,
        "client_id": str(app["client_id"]),
    }
    with lasting_access_tokens(pipedrive):
        tenants = {name: published(Tenant(**parts, namespace=created(control_plane))) for name in STEPS}
        begun = {name: begin(tenants[name], proxy, step) for name, step in STEPS.items()}
        documents = {name: tenant.stored("acme") for name, tenant in tenants.items()}
        deployment.operators[0].kill()
        pipedrive.clear_faults()
        eventually(deployment.operators[1].leads, within=TAKEOVER_SECONDS)
        yield {
            name: Case(offer=offer, page=page, before=before, at_the_kill=documents[name])
            for name, (offer, page, before) in begun.items()
        }


@contextmanager
def lasting_access_tokens(pipedrive: ControlClient) -> Iterator[None]:
    """Let access tokens be valid for an hour, so that no refresh comes between."""
    before = pipedrive.view("switches")["expires_in"]
    pipedrive.set_switches(expires_in=3600)
    yield
    pipedrive.set_switches(expires_in=before)


def created(control_plane: ControlPlane) -> str:
    """Create a namespace, and return its name."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    control_plane.client().create("/api/v1/namespaces", {"metadata": {"name": name}})
    return name


def published(tenant: Tenant) -> Tenant:
    """Give a tenant a grant that works."""
    tenant.apply_oauth2(oauth2={"client": {"app": APP}}, account={"companyDomain": tenant.domain})
    tenant.wait_until_published()
    return tenant


def begin(tenant: Tenant, proxy: HoldingProxy, step: Step) -> tuple[Offer, WebPage, Json]:
    """Consent, and wait until the exchange has stopped at a step."""
    before, offer = tenant.stored("acme"), Offer(tenant)
    offer.link()
    reached = step(proxy, tenant)
    page = offer.accept()
    eventually(reached)
    return offer, page, before


@pytest.mark.parametrize("step", [name for name in STEPS if name != PROMOTED])
def test_the_grant_that_works_is_untouched_until_the_new_one_is_verified(cases: Mapping[str, Case], step: str) -> None:
    """Beside it there are marks, and perhaps a candidate."""
    case = cases[step]
    kept = {key: value for key, value in case.at_the_kill.items() if key in case.before}
    assert case.before == kept


@pytest.mark.parametrize("step", CONNECTED)
def test_the_other_operator_completes_the_consent(cases: Mapping[str, Case], step: str) -> None:
    """The person sees it on the page that was open, and sends nothing again."""
    case = cases[step]

    shown = case.offer.result(case.page, within=TAKEOVER_SECONDS)

    assert "Connected" == shown.heading, shown.text
    assert_connected(case, codes=1)


@pytest.mark.parametrize("step", LOST)
def test_a_code_that_may_have_been_sent_is_not_sent_again(cases: Mapping[str, Case], step: str) -> None:
    """The page says so, the grant that works stays, and pressing again connects."""
    case = cases[step]

    shown = case.offer.result(case.page, within=TAKEOVER_SECONDS)

    assert UNCERTAIN == shown.heading, shown.text
    assert case.before["refresh_token"] == case.offer.tenant.stored("acme")["refresh_token"]
    assert "Connected" == case.offer.result(case.offer.accept(), within=TAKEOVER_SECONDS).heading
    assert_connected(case, codes=2)


def assert_connected(case: Case, *, codes: int) -> None:
    """Check that Vault and the Secret hold the new grant, and that each code reached Pipedrive once."""
    tenant = case.offer.tenant
    stored = tenant.stored("acme")
    assert case.before["refresh_token"] != stored["refresh_token"]
    tenant.wait_for_value(stored["access_token"], key="access_token")
    sent = [call.subject.digest for call in tenant.calls() if call.subject.credential == "authorization_code"]
    assert (codes, codes) == (len(sent), len(set(sent)))
    assert not any(call.replayed for call in tenant.calls())
