"""A namespace `crm` with a few credentials as kubectl prints them, for the tests of the plugin and for docs/cli.md."""

import hashlib
import io
import shlex
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from fakes.kubectl_program import FakeKubectl, Json
from kubectl_pipedrive.errors import PortTaken
from kubectl_pipedrive.kubectl import CREDENTIALS
from kubectl_pipedrive.program import run
from kubectl_pipedrive.terminal import Terminal
from pipedrive_operator.core.grant.consent import how_to_consent
from pipedrive_operator.core.values.times import format_time

N8N_EXPORT = Path(__file__).with_name("n8n-export.json")
"""An export of n8n with two Pipedrive credentials; its values are made up, and begin with `made-up`."""
NOW = datetime(2026, 3, 4, 12, 19, tzinfo=UTC)


@dataclass
class FakeClock:
    """A clock that only `sleep` moves."""

    time: datetime = NOW
    sleeps: int = 0
    on_sleep: Callable[[float], None] = lambda _: None
    """Called after each sleep: what others do in the meantime."""

    def now(self) -> datetime:
        """Return the present time."""
        return self.time

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.sleeps += 1
        self.time += timedelta(seconds=seconds)
        self.on_sleep(seconds)


@dataclass
class FakeMachine:
    """A person's machine with chosen chance, whose browser and redirects a test plays."""

    pasted: list[str] = field(default_factory=list)
    """What the person pastes."""
    redirects: list[str | None] = field(default_factory=list)
    """The queries that arrive on loopback; None when none comes in time. After them, the person presses Ctrl-C."""
    opened: list[str] = field(default_factory=list)
    listened: list[str] = field(default_factory=list)
    has_browser: bool = True
    port_taken: bool = False

    def random_bytes(self, count: int) -> bytes:
        """Return bytes that look random enough in documentation."""
        return hashlib.sha256(b"documentation").digest()[:count]

    def random_name(self, length: int) -> str:
        """Return letters and digits."""
        return "x7k2pq"[:length]

    def ask_hidden(self, prompt: str) -> str:
        """Return what the person pastes."""
        assert prompt
        if not self.pasted:
            raise EOFError
        return self.pasted.pop(0)

    def open_browser(self, address: str) -> bool:
        """Note what was opened."""
        if self.has_browser:
            self.opened.append(address)
        return self.has_browser

    @contextmanager
    def callback(self, redirect_uri: str) -> Iterator["FakeMachine"]:
        """Listen."""
        if self.port_taken:
            raise PortTaken("localhost:8000")
        self.listened.append(redirect_uri)
        yield self

    def uninterrupted(self) -> AbstractContextManager[None]:
        """Do nothing: nobody interrupts."""
        return nullcontext()

    def take(self, seconds: float) -> str | None:
        """Return the next redirect."""
        assert seconds > 0
        if not self.redirects:
            raise KeyboardInterrupt
        return self.redirects.pop(0)


@dataclass
class Typed:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


@dataclass
class PluginWorld:
    """The plugin on a fake kubectl."""

    kubectl: FakeKubectl = field(default_factory=lambda: FakeKubectl(objects=everything()))
    clock: FakeClock = field(default_factory=FakeClock)
    machine: FakeMachine = field(default_factory=FakeMachine)
    width: int | None = None
    colour: bool = False

    def __call__(self, line: str) -> Typed:
        """Run a command as it is typed after `kubectl pipedrive`."""
        out, err = io.StringIO(), io.StringIO()
        screen = Terminal(out, err, width=self.width, colour=self.colour)
        try:
            code = run(shlex.split(line), screen, runner=self.kubectl, clock=self.clock, machine=self.machine)
        except KeyboardInterrupt:
            code = 130
        return Typed(code, out.getvalue(), err.getvalue())

    def credential(self, name: str) -> Json:
        """Return a credential, to change it."""
        return next(one for one in self.kubectl.objects[CREDENTIALS] if one["metadata"]["name"] == name)


def private_copy(path: Path) -> None:
    """Copy the export of n8n to a file that nobody else can read."""
    path.write_text(N8N_EXPORT.read_text())
    path.chmod(0o600)


def ago(**duration: float) -> str:
    """Return a time in the past as Kubernetes writes it."""
    return format_time(NOW - timedelta(**duration))


def ahead(**duration: float) -> str:
    """Return a time in the future as Kubernetes writes it."""
    return format_time(NOW + timedelta(**duration))


def condition(kind: str, status: str, reason: str, message: str, since: str) -> Json:
    """Build a condition."""
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": since,
        "observedGeneration": 1,
    }


def credential(name: str, spec: Json, status: Json, *, days: int = 12, **metadata: Any) -> Json:
    """Build a credential as the API server serves it."""
    return {
        "apiVersion": "pipedrive-operator.io/v1alpha1",
        "kind": "PipedriveCredential",
        "metadata": {
            "namespace": "crm",
            "name": name,
            "uid": f"uid-of-{name}",
            "resourceVersion": "100",
            "generation": 1,
            "creationTimestamp": ago(days=days),
            **metadata,
        },
        "spec": spec,
        "status": {"observedGeneration": 1, **status},
    }


ACME = credential(
    "acme",
    {
        "oauth2": {"client": {"app": "crm-sync"}, "grant": {"path": "pipedrive/crm/acme"}},
        "account": {"companyDomain": "acme"},
        "target": {"name": "pipedrive"},
    },
    {
        "conditions": [
            condition(
                "Ready", "True", "Published", "Secret pipedrive holds a value that Pipedrive accepts", ago(days=12)
            ),
            condition(
                "Authorized", "True", "Accepted", "Pipedrive accepts the token in Vault, for company acme", ago(days=12)
            ),
        ],
        "account": {"companyDomain": "acme", "companyId": 12, "userId": 34},
        "secretName": "pipedrive",
        "expiresAt": ahead(minutes=41),
        "renewalTime": ahead(minutes=21),
        "lastRefreshTime": ago(minutes=19),
    },
    labels={"team": "crm"},
)
_REFUSED = (
    "Pipedrive refused the refresh token (invalid_grant): it was revoked or is no longer valid. "
    f"{how_to_consent('pipedrive/crm/globex')}. To consent in a browser instead, run `kubectl pipedrive connect "
    "globex -n crm`"
)
GLOBEX = credential(
    "globex",
    {"oauth2": {"client": {"app": "crm-sync"}, "grant": {"path": "pipedrive/crm/globex"}}},
    {
        "conditions": [
            condition("Ready", "True", "Published", "Secret globex holds a value that Pipedrive accepts", ago(days=5)),
            condition("Authorized", "False", "ConsentRequired", _REFUSED, ago(minutes=8)),
            condition("Stalled", "True", "ConsentRequired", _REFUSED, ago(minutes=8)),
        ],
        "account": {"companyDomain": "globex", "companyId": 77, "userId": 5},
        "secretName": "globex",
        "expiresAt": ahead(minutes=12),
        "renewalTime": ago(minutes=8),
        "lastRefreshTime": ago(minutes=48),
    },
    days=5,
)
INITECH = credential(
    "initech",
    {"apiToken": {"path": "pipedrive/crm/initech"}, "account": {"companyDomain": "initech"}},
    {
        "conditions": [
            condition(
                "Ready", "True", "Published", "Secret initech holds a value that Pipedrive accepts", ago(hours=30)
            ),
            condition(
                "Authorized",
                "True",
                "Accepted",
                "Pipedrive accepts the token in Vault, for company initech",
                ago(hours=30),
            ),
        ],
        "account": {"companyDomain": "initech", "companyId": 9, "userId": 2},
        "secretName": "initech",
    },
    days=1,
)
_NO_VALUE = "Vault has nothing at secret/pipedrive/crm/umbrella (connection default). Write the key api_token there"
UMBRELLA = credential(
    "umbrella",
    {"apiToken": {"path": "pipedrive/crm/umbrella"}},
    {
        "conditions": [
            condition("Ready", "False", "SourceMissing", _NO_VALUE, ago(minutes=3)),
            condition("Authorized", "Unknown", "SourceMissing", _NO_VALUE, ago(minutes=3)),
        ]
    },
    creationTimestamp=ago(minutes=3),
)
_EVENT = {
    "apiVersion": "v1",
    "kind": "Event",
    "metadata": {"namespace": "crm", "name": "globex-1", "creationTimestamp": ago(minutes=8)},
    "involvedObject": {"kind": "PipedriveCredential", "namespace": "crm", "name": "globex", "uid": "uid-of-globex"},
    "eventTime": ago(minutes=8),
    "lastTimestamp": None,
    "type": "Warning",
    "reason": "ConsentRequired",
    "message": _REFUSED,
}
_PODS = [
    {
        "metadata": {"namespace": "crm", "name": "crm-sync-7c9f"},
        "spec": {
            "volumes": [{"name": "token", "secret": {"secretName": "pipedrive"}}],
            "containers": [{"name": "sync", "volumeMounts": [{"name": "token", "mountPath": "/credentials"}]}],
        },
        "status": {"phase": "Running"},
    },
    {
        "metadata": {"namespace": "crm", "name": "report-28491"},
        "spec": {
            "containers": [
                {
                    "name": "report",
                    "env": [
                        {
                            "name": "PIPEDRIVE_TOKEN",
                            "valueFrom": {"secretKeyRef": {"name": "pipedrive", "key": "access_token"}},
                        }
                    ],
                }
            ]
        },
        "status": {"phase": "Running"},
    },
]
_OPERATOR = {
    "metadata": {
        "namespace": "pipedrive-operator",
        "name": "pipedrive-operator",
        "labels": {"app.kubernetes.io/name": "pipedrive-operator", "app.kubernetes.io/version": "0.1.0"},
    },
    "spec": {"replicas": 2},
    "status": {"readyReplicas": 2},
}
FRONT = {
    "metadata": {
        "namespace": "pipedrive-operator",
        "name": "pipedrive-operator-consent",
        "labels": {"app.kubernetes.io/name": "pipedrive-operator-consent", "app.kubernetes.io/version": "0.1.0"},
    },
    "spec": {"replicas": 2},
    "status": {"readyReplicas": 1},
}
_LEASE = {
    "metadata": {"namespace": "pipedrive-operator", "name": "pipedrive-operator"},
    "spec": {"holderIdentity": "pipedrive-operator-6d8f-x2x7q", "renewTime": ago(seconds=4)},
}
_KEYS = ("access_token", "api_domain", "company_domain", "expires_at", "scope", "token_type")


def everything() -> dict[str, list[Json]]:
    """Return fresh copies of all objects."""
    return deepcopy(
        {
            CREDENTIALS: [ACME, GLOBEX, INITECH, UMBRELLA],
            "secret": [
                {"metadata": {"namespace": "crm", "name": name}, "data": dict.fromkeys(_KEYS, "c2VjcmV0")}
                for name in ("pipedrive", "globex")
            ],
            "pods": _PODS,
            "events": [_EVENT],
            "deployments.apps": [_OPERATOR],
            "leases.coordination.k8s.io": [_LEASE],
        }
    )
