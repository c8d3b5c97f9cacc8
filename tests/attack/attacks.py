"""The attacks: what a tenant can do in its own namespace, in its own documents in Vault, and to the operator's port.

An attack is a function of the hostile tenant. It prepares its objects, and then attacks until the tenant's time ends.
"""

import base64
import itertools
import random
import string
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from attack.attack_environment import API, DENIED, HOSTILE, AttackEnvironment, credential
from chaos.surroundings import CLIENT_ID
from testbed.openbao_api import OpenBaoError
from testbed.processes import ChildProcess

Json = dict[str, Any]
CREDENTIALS: Final = f"{API}/namespaces/{HOSTILE}/pipedrivecredentials"
SECRETS: Final = f"/api/v1/namespaces/{HOSTILE}/secrets"
PREFIX: Final = f"pipedrive/{HOSTILE}"
NEAR_THE_LIMIT: Final = 1_040_000
"""Bytes: Vault's storage takes documents of up to one MiB, and an intent makes this one too large."""
PAUSE: Final = 0.05
"""Seconds between an attacker's own writes: Vault and the API server limit tenants themselves."""
CLEANING_ATTEMPTS: Final = 20
SLOW_SECONDS: Final = 9.0
"""Just less than the time after which the operator gives up."""


@dataclass(frozen=True, kw_only=True)
class Tenant:
    """The hostile tenant: what it acts on, when it stops, and how much it does."""

    environment: AttackEnvironment
    ended: threading.Event
    size: int
    """How many credentials the largest attack has."""

    def apply(self, names: Iterator[str], spec: Callable[[str], Json]) -> list[str]:
        """Create credentials, and return their names."""
        made = []
        with self.environment.connect() as connection:
            for name in itertools.takewhile(lambda _: not self.ended.is_set(), names):
                connection.send("POST", CREDENTIALS, credential(name, spec(name)))
                made.append(name)
        return made

    def annotate(self, names: list[str], *, refresh: bool = False, pause: float = PAUSE) -> None:
        """Request a check, or a refresh, of one credential after the other until the end."""
        with self.environment.connect() as connection:
            for number, name in enumerate(itertools.cycle(names)):
                if self.ended.wait(pause):
                    return
                wanted = {"pipedrive-operator.io/requested-at": str(number)}
                wanted |= {"pipedrive-operator.io/request": "refresh"} if refresh else {}
                connection.send("PATCH", f"{CREDENTIALS}/{name}", {"metadata": {"annotations": wanted}})


Attack = Callable[[Tenant], None]
_REGISTERED: dict[str, Attack] = {}


def attack(function: Attack) -> Attack:
    """Add an attack to the list, under its name in words."""
    _REGISTERED[function.__name__.replace("_", " ")] = function
    return function


def names(of: str, count: int) -> Iterator[str]:
    """Yield names of credentials."""
    return (f"{of}-{number:04}" for number in range(count))


def oauth2(path: str, **changes: Any) -> Json:
    """Return the spec of a grant at a path of the hostile namespace."""
    return {"oauth2": {"client": {"app": CLIENT_ID}, "grant": {"path": f"{PREFIX}/{path}"}, **changes}}


def api_token(path: str, **changes: Any) -> Json:
    """Return the spec of an API token at a path of the hostile namespace."""
    return {"apiToken": {"path": f"{PREFIX}/{path}", **changes}}


@attack
def one_absent_path(tenant: Tenant) -> None:
    """Share one path that does not exist between thousands of credentials, and annotate them without a pause."""
    made = tenant.apply(names("absent", tenant.size), lambda _: oauth2("absent"))
    tenant.annotate(made)


@attack
def slow_users_me(tenant: Tenant) -> None:
    """Have three times as many tokens verified as there are workers, of a company for which Pipedrive is slow."""
    pipedrive, company = tenant.environment.parts.pipedrive, tenant.environment.hostile_company
    fault = pipedrive.add_fault("slow", endpoint="users_me", company_id=company, delay=SLOW_SECONDS)
    for name in names("slow", 60):
        tenant.environment.write(
            f"{PREFIX}/{name}", {"api_token": tenant.environment.api_token(company, 1000 + int(name[-4:]))}
        )
    made = tenant.apply(names("slow", 60), api_token)
    tenant.annotate(made)
    pipedrive.command("clear-faults", fault_id=fault)


@attack
def documents_near_the_limit(tenant: Tenant) -> None:
    """Have grants refreshed that are too large with an intent, so that Vault fails on each write."""
    padding = "".join(random.choices(string.ascii_letters, k=NEAR_THE_LIMIT))  # noqa: S311  no secret
    for name in names("large", 12):
        with suppress(OpenBaoError):
            tenant.environment.write(f"{PREFIX}/{name}", {"refresh_token": f"1:1:{'a' * 40}", "padding": padding})
    made = tenant.apply(names("large", 12), oauth2)
    tenant.annotate(made, refresh=True)


@attack
def a_denied_path(tenant: Tenant) -> None:
    """Ask for a path below its own prefix that the policy denies, so that the operator suspects its own token."""
    made = tenant.apply(names("denied", 50), lambda _: oauth2(DENIED.removeprefix(f"{PREFIX}/")))
    tenant.annotate(made)


@attack
def fights_for_secrets(tenant: Tenant) -> None:
    """Change every published Secret as soon as it is repaired."""
    token = tenant.environment.api_token(tenant.environment.hostile_company, 2000)
    tenant.environment.write(f"{PREFIX}/fight", {"api_token": token})
    made = tenant.apply(names("fight", min(tenant.size, 300)), lambda _: api_token("fight"))
    wrong = {"data": {"api_token": base64.b64encode(b"wrong").decode()}}
    with tenant.environment.connect() as connection:
        for name in itertools.takewhile(lambda _: not tenant.ended.is_set(), itertools.cycle(made)):
            connection.send("PATCH", f"{SECRETS}/{name}", wrong)
            tenant.ended.wait(PAUSE)


@attack
def forged_intents(tenant: Tenant) -> None:
    """Write the intents of another holder into all documents, and change them before they can be taken over."""
    made = list(names("forged", min(tenant.size, 200)))
    values = {"refresh_token": f"1:1:{'b' * 40}", "refresh_holder": "nobody", "refresh_timeout": "10m"}
    for number in itertools.count():
        for name in made:
            if tenant.ended.wait(PAUSE):
                return
            tenant.environment.write(f"{PREFIX}/{name}", values | {"refresh_id": str(number)})
        if number == 0:
            tenant.apply(iter(made), oauth2)


@attack
def enormous_templates(tenant: Tenant) -> None:
    """Name a scope of 4 kB as often as a template can hold, in as many keys as a Secret may have."""
    pipedrive, company = tenant.environment.parts.pipedrive, tenant.environment.hostile_company
    consent = {"client_id": CLIENT_ID, "company_id": company, "user_id": _user(tenant, 3000)}
    answer = pipedrive.command("install", **consent, scopes=_words(400))["answer"]
    tenant.environment.write(f"{PREFIX}/template", {key: str(value) for key, value in answer.items()})
    template = "$(scope)$(access_token)" * 128
    target = {"data": {f"key-{number}": template for number in range(32)}}
    made = tenant.apply(names("template", 10), lambda name: {**oauth2("template"), "target": {"name": name, **target}})
    tenant.annotate(made, pause=0.2)


@attack
def labelled_secrets_of_a_megabyte(tenant: Tenant) -> None:
    """Fill the operator's cache with Secrets that carry its label."""
    data = {"padding": base64.b64encode(b"x" * 700_000).decode()}
    labels = {"pipedrive-operator.io/credential": "none"}
    with tenant.environment.connect() as connection:
        for name in itertools.takewhile(lambda _: not tenant.ended.is_set(), names("ballast", 100)):
            connection.send("POST", SECRETS, {"metadata": {"name": name, "labels": labels}, "data": data})
    tenant.ended.wait()


@attack
def a_crowd_at_the_metrics(tenant: Tenant) -> None:
    """Open a thousand connections that send nothing, and let eighty clients read as fast as they can."""
    command = [sys.executable, "-m", "attack.crowd", str(tenant.environment.operator.port)]
    crowd = ChildProcess(command, log=tenant.environment.parts.folder / "crowd.log")
    crowd.start()
    tenant.ended.wait()
    crowd.kill()


@attack
def keys_that_name_secrets(tenant: Tenant) -> None:
    """Name keys of other secrets as client id, client secret or token, so that a refusal quotes or sends them."""
    token = tenant.environment.grant(tenant.environment.hostile_company, _user(tenant, 4000))
    secret = "".join(random.choices(string.ascii_letters, k=40))  # noqa: S311  worth nothing outside this run
    document = {"refresh_token": token, "client_id": CLIENT_ID, "client_secret": secret, "api_token": secret[::-1]}
    tenant.environment.secrets |= {f"hostile {key}": value for key, value in document.items() if key != "client_id"}
    tenant.environment.write(f"{PREFIX}/named", document)
    client = {"path": f"{PREFIX}/named"}
    grant = {"path": f"{PREFIX}/named"}
    keys: Mapping[str, Json] = {
        "id-is-refresh-token": {"idKey": "refresh_token", "secretKey": "client_secret"},
        "id-is-secret": {"idKey": "client_secret", "secretKey": "client_id"},
        "secret-is-refresh-token": {"idKey": "client_id", "secretKey": "refresh_token"},
        "id-is-token": {"idKey": "api_token"},
    }
    made = tenant.apply(iter(keys), lambda name: {"oauth2": {"client": {**client, **keys[name]}, "grant": grant}})
    tokens = {f"token-is-{key.replace('_', '-')}": key for key in ("refresh_token", "client_secret")}
    made += tenant.apply(iter(tokens), lambda name: api_token("named", key=tokens[name]))
    tenant.annotate(made, refresh=True, pause=0.1)


ATTACKS: Final[Mapping[str, Attack]] = _REGISTERED


@contextmanager
def under_attack(environment: AttackEnvironment, chosen: Mapping[str, Attack], *, size: int) -> Iterator[None]:
    """Attack during a block, and remove what the attacks have made."""
    tenant = Tenant(environment=environment, ended=threading.Event(), size=size)
    threads = [threading.Thread(target=one, args=(tenant,), name=name, daemon=True) for name, one in chosen.items()]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        tenant.ended.set()
        for thread in threads:
            thread.join()
        _clean_up(environment)


def _clean_up(environment: AttackEnvironment) -> None:
    """Remove what the attacks have made. Of thousands of objects the API server removes a part at a time."""
    with environment.connect() as connection:
        for collection in (CREDENTIALS, SECRETS):
            for _ in range(CLEANING_ATTEMPTS):
                if connection.send("DELETE", collection) == HTTPStatus.OK:
                    break


def _user(tenant: Tenant, user_id: int) -> int:
    tenant.environment.api_token(tenant.environment.hostile_company, user_id)
    return user_id


def _words(count: int) -> list[str]:
    return [f"scope-{number:04}" for number in range(count)]
