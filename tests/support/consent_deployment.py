"""Two operators and two consent fronts as processes, as the chart deploys them, and the consents of a tenant.

Links stand in for the load balancers: each connection reaches the next front, and the next operator.
"""

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pipedrive_operator.core.resource import consent_link
from pipedrive_operator.core.resource.names import CONSENT_KIND, CONSENT_PLURAL, Key
from support.manifests import API_VERSION
from support.operated import Json
from support.tenant import DEADLINE, Tenant, eventually
from testbed.front_process import FrontProcess
from testbed.link import Link, Links
from testbed.operator_process import OperatorProcess
from testbed.processes import free_port
from testbed.visitor import Visitor, WebPage

APP: Final = "hosted"
APP_PATH: Final = "pipedrive/apps/hosted"
CONSENTS: Final = f"/apis/{API_VERSION}/namespaces/{{}}/{CONSENT_PLURAL}"
WAITING: Final = "Please wait"
"""The heading while the operator works."""


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """The processes. The fronts run; the operators run as long as a test wants."""

    url: str
    """The address of the fronts for browsers."""
    fronts: Sequence[FrontProcess]
    operators: Sequence[OperatorProcess]
    reports: Link
    """The way of the fronts to the operators."""

    def leader(self) -> OperatorProcess | None:
        """Return the operator that leads."""
        return next((one for one in self.operators if one.leads()), None)


@contextmanager
def deployed(settings: Sequence[Json], front_kubeconfig: Path, folder: Path) -> Iterator[Deployment]:
    """Run two fronts, and describe an operator for each of the settings, during the block. Raises ProcessError."""
    ports = free_port(), free_port()
    with Links() as links:
        url = links.to(*ports).url
        operators = [
            OperatorProcess(_hosted(one, url), folder=folder, name=f"operator-{number}")
            for number, one in enumerate(settings)
        ]
        reports = links.to(*(operator.port for operator in operators))
        front = {
            "kubernetes": {"kubeconfig": str(front_kubeconfig), "clusterName": "test"},
            "pipedrive": {name: settings[0]["pipedrive"][name] for name in ("oauthUrl", "allowedApiDomains")},
            "consent": {"enabled": True, "publicUrl": url, "operatorUrl": reports.url},
        }
        with (
            FrontProcess(front, folder=folder, name="front-0", port=ports[0]) as first,
            FrontProcess(front, folder=folder, name="front-1", port=ports[1]) as second,
        ):
            try:
                yield Deployment(url=url, fronts=(first, second), operators=operators, reports=reports)
            finally:
                for operator in operators:
                    operator.stop()


def _hosted(settings: Json, url: str) -> Json:
    """Return an operator's settings with the consent front, leader election and the app of the front."""
    apps = {**settings["pipedrive"]["apps"], APP: {"path": APP_PATH, "allowedNamespaces": ["*"]}}
    return {
        **settings,
        "pipedrive": {**settings["pipedrive"], "apps": apps},
        "consent": {"enabled": True, "publicUrl": url},
        "leaderElection": {"enabled": True, "leaseDuration": "15s", "leaseName": "consents"},
    }


def apply_unconnected(tenant: Tenant, name: str = "acme", *, app: str = APP) -> None:
    """Apply a credential for which Vault holds no grant."""
    spec = {"oauth2": {"client": {"app": app}, "grant": {"path": tenant.path(name)}}}
    tenant.apply(name, {**spec, "account": {"companyDomain": tenant.domain}})


@dataclass
class Offer:
    """A consent of a tenant, created as the command `connect` does, and the person who opens its link."""

    tenant: Tenant
    credential: str = "acme"
    spec: Json = field(default_factory=dict)
    visitor: Visitor = field(default_factory=Visitor)

    def __post_init__(self) -> None:
        """Create the consent."""
        key, self.name = consent_link.key_from(secrets.token_bytes(consent_link.KEY_BYTES)), secrets.token_hex(8)
        state = consent_link.state_of(key, Key(namespace=self.tenant.namespace, name=self.name))
        spec = {"credential": self.credential, "stateDigest": consent_link.digest_of(state), **self.spec}
        manifest = {"apiVersion": API_VERSION, "kind": CONSENT_KIND, "metadata": {"name": self.name}, "spec": spec}
        self.tenant.create(manifest)
        self._key = key

    @property
    def key(self) -> str:
        """The key of the link."""
        return self._key.reveal()

    @property
    def status(self) -> Json:
        """What the operator reports."""
        found: Json = self.tenant.cluster.client().get(f"{CONSENTS.format(self.tenant.namespace)}/{self.name}")
        return dict(found.get("status", {}))

    @property
    def reason(self) -> str:
        """The reason of the condition Complete."""
        return next((one["reason"] for one in self.status.get("conditions", ()) if one["type"] == "Complete"), "")

    def link(self) -> str:
        """Return the link once it can be used."""

        def page() -> str | None:
            return self.status.get("pageUrl")

        page.__doc__ = f"the link of consent {self.name}"
        return consent_link.link(eventually(page), self._key).reveal()

    def accept(self, *, by: Tenant | None = None) -> WebPage:
        """Open the link, and accept as the user of a company, which is the tenant's own by default."""
        user = by or self.tenant
        return self.visitor.connect(self.link(), user=f"{user.company_id}:{user.user_id}")

    def result(self, page: WebPage, *, within: float = DEADLINE) -> WebPage:
        """Return the page that says how it ended."""
        return result_of(self.visitor, page, within=within)


def result_of(visitor: Visitor, page: WebPage, *, within: float = DEADLINE) -> WebPage:
    """Return the page that says how a consent ended; a browser reloads the page until then."""

    def shown() -> WebPage | None:
        now = visitor.open(page.address)
        return now if now.heading != WAITING else None

    shown.__doc__ = "the result of a consent"
    return eventually(shown, within=within)
