"""The commands that other processes send to the simulator: each is a typed function with a name. No HTTP here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from pydantic import TypeAdapter, validate_call

from testbed.pipedrive.faults import Fault
from testbed.pipedrive.simulation import Simulation
from testbed.pipedrive.switches import Switches
from testbed.pipedrive.world import App, Company, User

Json = dict[str, Any]
Command = Callable[..., Any]

FAULT: Final = TypeAdapter(Fault)
SWITCHES: Final = TypeAdapter(Switches)
SEED_SECTIONS: Final = (
    ("switches", "set-switches"),
    ("companies", "add-company"),
    ("users", "add-user"),
    ("apps", "add-app"),
    ("grants", "install"),
    ("faults", "add-fault"),
)


class Commands:
    """The commands of one simulation; each takes keyword arguments and returns something JSON can hold."""

    def __init__(self, simulation: Simulation) -> None:
        """Bind every command; their arguments are checked against their annotations."""
        self._simulation = simulation
        world, ledger = simulation.world, simulation.ledger
        checked: dict[str, Command] = {
            "add-company": world.add_company,
            "change-company": self.change_company,
            "add-user": world.add_user,
            "change-user": self.change_user,
            "regenerate-api-token": world.regenerate_api_token,
            "add-app": world.add_app,
            "change-app": self.change_app,
            "delete-app": simulation.grants.delete_app,
            "consent": simulation.consent,
            "install": simulation.install,
            "uninstall": simulation.uninstall,
            "share-app": simulation.share_app,
            "change-to-live": simulation.change_to_live,
            "revoke-token": simulation.revoke_token,
            "revoke-grant": simulation.revoke_grant,
            "clear-faults": simulation.faults.clear,
            "clear-ledger": ledger.clear,
            "advance-clock": simulation.advance,
            "seed": self.seed,
        }
        self._commands = {name: validate_call(command) for name, command in checked.items()}
        # These two take the fields of a dataclass and validate them themselves.
        self._commands |= {"add-fault": self.add_fault, "set-switches": self.set_switches}

    def __getitem__(self, name: str) -> Command:
        """Return a command. Raises KeyError if there is none of that name."""
        return self._commands[name]

    def summaries(self) -> dict[str, str]:
        """Return the first line of every command's documentation."""
        return {name: (command.__doc__ or "").splitlines()[0] for name, command in sorted(self._commands.items())}

    def change_company(
        self,
        *,
        company_id: int,
        domain: str | None = None,
        api_domain: str | None = None,
        is_open: bool | None = None,
    ) -> Company:
        """Change the domain or API address of a company, or close its account."""
        company = self._simulation.world.companies[company_id]
        _assign(company, domain=domain, api_domain=api_domain, is_open=is_open)
        return company

    def change_user(
        self, *, company_id: int, user_id: int, is_active: bool | None = None, is_admin: bool | None = None
    ) -> User:
        """Deactivate a user, or change the user's admin right."""
        user = self._simulation.world.users[company_id, user_id]
        _assign(user, is_active=is_active, is_admin=is_admin)
        return user

    def change_app(
        self,
        *,
        client_id: str,
        client_secret: str | None = None,
        redirect_uri: str | None = None,
        scopes: tuple[str, ...] | None = None,
        company_ids: tuple[int, ...] | None = None,
        installation_url: str | None = None,
    ) -> App:
        """Change an app in Developer Hub: secret, callback and installation URL, scopes, the companies that see it."""
        app = self._simulation.world.apps[client_id]
        _assign(app, client_secret=client_secret, redirect_uri=redirect_uri, company_ids=company_ids)
        _assign(app, installation_url=installation_url)
        if scopes is not None:
            self._simulation.grants.change_scopes(app, scopes)
        return app

    def add_fault(self, **fields: object) -> Json:
        """Activate a fault; the fields are those of `Fault`."""
        armed = self._simulation.faults.add(FAULT.validate_python(fields))
        return {"id": armed.id, **asdict(armed.fault)}

    def set_switches(self, **fields: object) -> Switches:
        """Change some switches; the fields are those of `Switches`."""
        switches = self._simulation.switches
        for name, value in asdict(SWITCHES.validate_python({**asdict(switches), **fields})).items():
            setattr(switches, name, value)
        return switches

    def seed(self, **sections: Json | Sequence[Json]) -> dict[str, list[Any]]:
        """Build a world from one document of switches, companies, users, apps, grants and faults."""
        unknown = sections.keys() - dict(SEED_SECTIONS).keys()
        if unknown:
            message = f"unknown sections: {', '.join(sorted(unknown))}"
            raise ValueError(message)
        return {
            section: [self._commands[name](**item) for item in _items(sections[section])]
            for section, name in SEED_SECTIONS
            if section in sections
        }


def _items(section: Json | Sequence[Json]) -> Sequence[Json]:
    return [section] if isinstance(section, Mapping) else section


def _assign(target: object, **fields: object) -> None:
    """Set the given fields; None leaves a field unchanged."""
    for name, value in fields.items():
        if value is not None:
            setattr(target, name, value)
