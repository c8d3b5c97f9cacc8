"""The control API, its client, and the simulator as a process of its own."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from integration.simulator.acme import Acme
from testbed.pipedrive import digest_of
from testbed.pipedrive.client import ControlClient, ControlError

SEED = {
    "switches": {"rotate": "always", "expires_in": 60},
    "companies": [{"company_id": 3, "domain": "acme"}],
    "users": [{"company_id": 3, "user_id": 7, "name": "Ada"}],
    "apps": [{"client_id": "crm", "client_secret": "s3cret", "redirect_uri": "http://127.0.0.1:9/"}],
    "grants": [{"client_id": "crm", "company_id": 3, "user_id": 7}],
    "faults": [{"kind": "daily_limit", "endpoint": "users_me", "retry_after": 9}],
}


def test_the_simulator_runs_as_a_process_and_is_controlled_by_another(tmp_path: Path) -> None:
    """It reads a seed file, serves its ledger and stops on request."""
    seed_file = tmp_path / "seed.json"
    seed_file.write_text(json.dumps(SEED))
    arguments = [sys.executable, "-m", "testbed.pipedrive", "--seed-file", str(seed_file)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        client = ControlClient(process.stdout.readline().strip())

        [grant] = client.view("state")["grants"]
        body = f"grant_type=refresh_token&refresh_token={grant['refresh_token']}"
        body += "&client_id=crm&client_secret=s3cret"
        url = client.view("state")["url"] + "/oauth/token"
        with urlopen(Request(url, data=body.encode())) as answer:
            tokens = json.load(answer)
        ledger = client.ledger()
        process.terminate()

        assert process.wait(timeout=5) == 0
    assert tokens["expires_in"] == 60
    assert ledger.spent(grant["refresh_token"]) == 1
    assert ledger.calls[0].issued == digest_of(tokens["refresh_token"])


async def test_every_command_and_view_is_listed_with_a_summary(acme: Acme) -> None:
    """The list is at the prefix of the control API."""
    overview = (await acme.ask("GET", "/_simulator/")).json

    assert {"state", "ledger", "switches", "health"} == set(overview["GET"])
    assert {"add-company", "install", "add-fault", "uninstall"} <= set(overview["POST"])
    assert all(len(summary) > 10 for summary in overview["POST"].values())


async def test_commands_change_the_world(acme: Acme) -> None:
    """Rename, move, close, deactivate, hide, change scopes, regenerate."""
    company, user, app = acme.company, acme.user, acme.app
    person = {"company_id": company.id, "user_id": user.id}
    await command(acme, "change-company", company_id=company.id, domain="umbrella", is_open=False)
    await command(acme, "change-user", **person, is_active=False)
    await command(acme, "change-app", client_id=app.client_id, scopes=["leads:read"], company_ids=[5])
    await command(acme, "regenerate-api-token", **person, api_token="f" * 40)

    assert (company.domain, company.is_open, user.is_active) == ("umbrella", False, False)
    assert (app.scopes, app.company_ids) == (("leads:read", "base"), (5,))
    assert user.api_token == "f" * 40


async def test_commands_create_and_revoke_grants(acme: Acme) -> None:
    """Install returns the token response, and each kind of revocation works."""
    who = {"client_id": acme.app.client_id, "company_id": acme.company.id, "user_id": acme.user.id}
    code = (await command(acme, "consent", **who)).strip()
    first, second, third = [await command(acme, "install", **who) for _ in range(3)]
    await command(acme, "revoke-grant", grant_id=first["grant_id"])
    await command(acme, "revoke-token", token=second["answer"]["access_token"])
    early = [(await acme.me(grant["answer"]["access_token"])).status for grant in (first, second, third)]

    delivery = await command(acme, "uninstall", **who)

    assert (await acme.exchange(code)).status == 200
    assert early == [401, 401, 200]
    assert (await acme.me(third["answer"]["access_token"])).status == 401
    assert delivery == {"status": None, "error": "ClientConnectorError"}


async def test_the_clock_can_be_advanced(acme: Acme) -> None:
    """Sixty days pass at once."""
    token = acme.install()["refresh_token"]

    await command(acme, "advance-clock", seconds=60 * 24 * 3600)

    assert (await acme.refresh(token)).status == 400


async def test_the_client_covers_the_usual_commands(acme: Acme) -> None:
    """Seed, switch, inject faults, advance the clock, read."""
    client = ControlClient(acme.simulator.url)

    made = await asyncio.to_thread(client.seed, {"companies": [{"domain": "umbrella"}]})
    switches = await asyncio.to_thread(client.set_switches, rotate="grace")
    fault_id = await asyncio.to_thread(client.add_fault, "html", endpoint="token", times=1)
    is_html = (await acme.refresh("x")).json is None
    await asyncio.to_thread(client.clear_faults)
    ledger = await asyncio.to_thread(client.ledger)

    assert made["companies"][0]["domain"] == "umbrella"
    assert (switches["rotate"], switches["expires_in"]) == ("grace", 3599)
    assert (fault_id, is_html, list(acme.simulator.faults)) == (1, True, [])
    assert ledger.calls == acme.simulator.ledger.calls


@pytest.mark.parametrize(
    ("name", "arguments", "status"),
    [
        ("no-such-command", {}, 404),
        ("change-company", {"company_id": 99, "domain": "x"}, 404),
        ("clear-faults", {"fault_id": 99}, 404),
        ("add-fault", {"kind": "drop", "efect": "after"}, 400),
        ("add-fault", {"kind": "droop"}, 400),
        ("set-switches", {"rotat": "always"}, 400),
        ("add-company", {"domain": "x", "colour": "red"}, 400),
        ("seed", {"planets": []}, 400),
    ],
)
async def test_a_wrong_command_is_refused(acme: Acme, name: str, arguments: dict[str, Any], status: int) -> None:
    """A misspelt name is an error; it does not select a default."""
    answer = await acme.ask("POST", f"/_simulator/{name}", json=arguments)

    assert answer.status == status
    assert answer.json["error"]
    with pytest.raises(ControlError):
        await asyncio.to_thread(lambda: ControlClient(acme.simulator.url).command(name, **arguments))


@pytest.mark.parametrize("body", ["[]", "{"])
async def test_arguments_that_are_not_an_object_are_refused(acme: Acme, body: str) -> None:
    """The status is 400, and the body names the reason."""
    assert (await acme.ask("POST", "/_simulator/clear-faults", data=body)).status == 400


async def command(acme: Acme, name: str, **arguments: object) -> Any:
    """Send a command, and return its result."""
    answer = await acme.ask("POST", f"/_simulator/{name}", json=arguments)
    assert answer.status == 200, answer.text
    return answer.json
