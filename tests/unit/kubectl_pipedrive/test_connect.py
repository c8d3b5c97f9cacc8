"""`connect` creates a link, brings Pipedrive's answer to the operator, and leaves nothing usable behind."""

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from kubectl_pipedrive.commands.connect import LONGEST, SHORTEST
from kubectl_pipedrive.consent import NoCode, ReceivedCode, read_address, read_query
from kubectl_pipedrive.kubectl import CONSENTS, CREDENTIALS
from pipedrive_operator.core.resource.consent import LONGEST_LIFETIME, SHORTEST_LIFETIME
from pipedrive_operator.core.resource.consent_link import digest_of, key_from, state_of
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.values.consent_reasons import ConsentReason
from pipedrive_operator.core.values.secret_value import SecretValue
from support.consent_operator import ELSEWHERE, HOSTED, LOOPBACK, ConsentOperator, play
from support.plugin_world import FakeMachine, PluginWorld

KEY = key_from(FakeMachine().random_bytes(32))
STATE = state_of(KEY, Key(namespace="crm", name="acme-x7k2pq"))
GOOD = f"code=c0de&state={STATE.reveal()}"


def prepared(redirect_uri: str = HOSTED, *verdicts: ConsentReason) -> tuple[PluginWorld, ConsentOperator]:
    """Give a namespace with an operator."""
    world = PluginWorld()
    operator = ConsentOperator(redirect_uri=redirect_uri, verdicts=list(verdicts or [ConsentReason.CONNECTED]))
    world.kubectl.on_change = operator
    return world, operator


def created(world: PluginWorld) -> dict[str, Any]:
    """Return the consent that was created."""
    bodies = [json.loads(text) for text in world.kubectl.inputs if text and '"PipedriveConsent"' in text]
    assert 1 == len(bodies)
    return dict(bodies[0])


def test_the_whole_way_play() -> None:
    """The link, the progress and the account are shown."""
    world, operator = prepared()
    play(world, operator, ConsentReason.CODE_RECEIVED, ConsentReason.VERIFYING, ConsentReason.CONNECTED)

    typed = world("connect acme -n crm")

    assert (0, "") == (typed.code, typed.err)
    link = f"https://pipedrive.example.com/consent/crm/acme-x7k2pq?key={KEY.reveal()}"
    assert [
        "Link for crm/acme (app crm-sync), valid for 30m. Anyone who has it can connect an account:",
        f"  {link}",
        "Your browser opens it.",
        "Waiting …",
        "code received …",
        "verifying …",
        "",
        "✓ Connected to acme.pipedrive.com (company 12) as user 34. Secret crm/pipedrive is published.",
    ] == typed.out.splitlines()
    assert [link] == world.machine.opened


def test_the_cluster_gets_the_digest_alone() -> None:
    """It gets neither the key nor the state. The consent is deleted with its credential."""
    world, operator = prepared()
    play(world, operator, ConsentReason.CONNECTED)

    world("connect acme --lifetime=2h --allow-account-change")

    body = created(world)
    assert {
        "credential": "acme",
        "stateDigest": digest_of(STATE),
        "lifetime": "2h",
        "allowAccountChange": True,
    } == body["spec"]
    (owner,) = body["metadata"]["ownerReferences"]
    assert ("acme", "uid-of-acme", None) == (owner["name"], owner["uid"], owner.get("controller"))
    assert KEY.reveal() not in json.dumps(body)
    assert STATE.reveal() not in json.dumps(body)


def test_a_redirect_to_loopback_is_received_here() -> None:
    """It is handed on through the standard input of kubectl."""
    world, operator = prepared(LOOPBACK)
    world.machine.redirects = [None, "state=foreign&code=evil", GOOD]

    typed = world("connect acme")

    assert 0 == typed.code
    assert [LOOPBACK] == world.machine.listened
    assert [{"code": "c0de", "state": STATE.reveal()}] == operator.answers
    assert "the address belongs to another link" in typed.out
    (opened,) = world.machine.opened
    assert STATE.reveal() == parse_qs(urlsplit(opened).query)["state"][0]


def test_an_address_is_pasted_where_the_redirect_arrives_elsewhere() -> None:
    """The person is asked until the address is right."""
    world, operator = prepared(ELSEWHERE, ConsentReason.WRONG_ACCOUNT, ConsentReason.CONNECTED)
    world.machine.pasted = [f"https://evil.example/done?{GOOD}", f"{ELSEWHERE}?{GOOD}", f" {ELSEWHERE}?{GOOD}\n"]

    typed = world("connect acme")

    assert 0 == typed.code
    assert 2 == len(operator.answers)
    assert f"the address must begin with {ELSEWHERE}" in typed.out
    assert "✗ WrongAccount: the message of WrongAccount" in typed.out
    assert "What to do: switch the company in Pipedrive" in typed.out
    assert "c0de" not in typed.out + typed.err


@pytest.mark.parametrize(
    ("expected", "words"),
    [
        ({"companyDomain": "acme", "companyId": 12}, "Accept as a user of acme.pipedrive.com; any other"),
        ({"companyId": 12, "userId": 34}, "Accept as user 34 of company 12; any other"),
        ({"userId": 34}, "Accept as user 34; any other"),
        (None, ""),
    ],
)
def test_the_expected_account_is_named_where_no_page_of_ours_does(expected: Any, words: str) -> None:
    """In the other modes Pipedrive's own page comes first, and it does not know which company is meant."""
    for redirect_uri in (LOOPBACK, HOSTED):
        world, operator = prepared(redirect_uri)
        operator.status = {} if expected is None else {"expectedAccount": expected}
        world.machine.redirects = [GOOD]
        play(world, operator, ConsentReason.CONNECTED)

        out = world("connect acme").out

        assert ("Accept as" in out) is (bool(words) and redirect_uri == LOOPBACK)
        assert redirect_uri == HOSTED or words in out


def test_pasting_replaces_a_taken_port() -> None:
    """The message proposes it."""
    world, _ = prepared(LOOPBACK)
    world.machine.port_taken = True

    typed = world("connect acme")
    assert 1 == typed.code
    assert "localhost:8000" in typed.err
    assert "--paste" in typed.err
    assert [] == world.kubectl.objects[CONSENTS]

    world.machine.pasted = [f"{LOOPBACK}?{GOOD}"]
    assert 0 == world("connect acme --paste").code


def test_no_secret_is_an_argument_of_a_program() -> None:
    """Other users of the machine can read arguments."""
    world, _ = prepared(LOOPBACK)
    world.machine.redirects = [GOOD]

    world("connect acme")

    arguments = " ".join(text for call in world.kubectl.calls for text in call)
    assert not [secret for secret in (KEY.reveal(), STATE.reveal(), "c0de") if secret in arguments]


def test_ctrl_c_leaves_nothing_usable_behind() -> None:
    """The consent is deleted, and the exit code is that of an interrupt."""
    world, operator = prepared()
    play(world, operator)

    typed = world("connect acme")

    assert 130 == typed.code
    assert typed.err.endswith("The link was removed.\n")
    assert [] == world.kubectl.objects[CONSENTS]


def test_an_older_kubectl_removes_the_link_too() -> None:
    """Version 1.28 cannot ask before it deletes, and does not know the flag against that."""
    world, operator = prepared()
    play(world, operator)
    world.kubectl.unknown_flags = {"interactive"}

    assert 130 == world("connect acme").code

    assert [] == world.kubectl.objects[CONSENTS]


def test_a_link_that_could_not_be_removed_is_named() -> None:
    """The command that removes it is printed."""
    world, operator = prepared()
    play(world, operator)
    world.kubectl.denied = {f"delete {CONSENTS}"}

    assert "kubectl delete pdcon acme-x7k2pq -n crm" in world("connect acme").err


@pytest.mark.parametrize("switch", ["--print", "--no-wait"])
def test_a_link_to_send_away_stays_usable(switch: str) -> None:
    """Nothing is opened here."""
    world, _ = prepared()

    typed = world(f"connect acme {switch}")

    assert 0 == typed.code
    assert f"?key={KEY.reveal()}" in typed.out
    assert (1 if switch == "--print" else 2) == len(typed.out.splitlines())
    assert [] == world.machine.opened
    assert 1 == len(world.kubectl.objects[CONSENTS])


@pytest.mark.parametrize("redirect_uri", [LOOPBACK, ELSEWHERE])
def test_a_redirect_to_this_machine_must_be_waited_for(redirect_uri: str) -> None:
    """A link that nobody listens for would be useless."""
    world, _ = prepared(redirect_uri)

    typed = world("connect acme --print")

    assert (2, "") == (typed.code, typed.out)
    assert "leave out --print and --no-wait" in typed.err
    assert [] == world.kubectl.objects[CONSENTS]


def test_a_machine_without_a_browser_shows_the_link_alone() -> None:
    """--no-browser does the same."""
    for line in ("connect acme", "connect acme --no-browser"):
        world, operator = prepared()
        world.machine.has_browser = "--no-browser" in line
        play(world, operator, ConsentReason.CONNECTED)

        assert "Your browser opens it" not in world(line).out
        assert [] == world.machine.opened


@pytest.mark.parametrize(
    ("reason", "code"),
    [(ConsentReason.EXPIRED, 1), (ConsentReason.SUPERSEDED, 1), (ConsentReason.CREDENTIAL_CHANGED, 1)],
)
def test_a_link_that_ends_is_explained(reason: ConsentReason, code: int) -> None:
    """The explanation includes what to do next."""
    world, operator = prepared()
    play(world, operator, reason)

    typed = world("connect acme")

    assert code == typed.code
    assert f"{reason}: the message of {reason}. What to do: " in typed.err


def test_the_wrong_company_is_reported_and_the_link_goes_on() -> None:
    """The person can open it again."""
    world, operator = prepared()
    play(world, operator, ConsentReason.WRONG_ACCOUNT, ConsentReason.CONNECTED)

    typed = world("connect acme")

    assert 0 == typed.code
    assert "✗ WrongAccount" in typed.out
    assert 2 == typed.out.count("Waiting …")


def test_a_refused_consent_is_explained() -> None:
    """The explanation comes before any link is shown."""
    world, operator = prepared()
    operator.refuses = ConsentReason.INVALID

    typed = world("connect acme")

    assert (1, "") == (typed.code, typed.out)
    assert "Invalid: the message of Invalid" in typed.err


def test_an_operator_that_does_not_react_is_pointed_out() -> None:
    """Consents are off by default."""
    world = PluginWorld()

    typed = world("connect acme")

    assert (1, "") == (typed.code, typed.out)
    assert "consent.enabled may be false" in typed.err
    assert [] == world.kubectl.objects[CONSENTS]


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("initech", {}, "publishes an API token"),
        ("acme", {"suspend": True}, "kubectl pipedrive resume acme -n crm"),
    ],
)
def test_what_cannot_be_connected_is_refused_at_once(name: str, change: dict[str, Any], message: str) -> None:
    """Nothing is created."""
    world, _ = prepared()
    world.credential(name)["spec"] |= change

    typed = world(f"connect {name}")

    assert (1, "") == (typed.code, typed.out)
    assert message in typed.err
    assert CONSENTS not in world.kubectl.objects


def test_a_connection_without_a_secret_is_reported() -> None:
    """The report comes after a minute, with the reason."""
    world, operator = prepared(LOOPBACK)
    world.machine.redirects = [GOOD]
    body = world.credential("umbrella")
    body["spec"] = {"oauth2": {"client": {"app": "crm-sync"}, "grant": {"path": "x"}}}
    state = state_of(KEY, Key(namespace="crm", name="umbrella-x7k2pq"))
    world.machine.redirects = [f"code=c0de&state={state.reveal()}"]

    typed = world("connect umbrella")

    assert 1 == typed.code
    assert 1 == len(operator.answers)
    assert "Connected to acme.pipedrive.com" in typed.out
    assert "The Secret is not published yet (SourceMissing: " in typed.out


def test_the_role_view_cannot_connect() -> None:
    """The API server decides that."""
    world, _ = prepared()
    world.kubectl.denied = {CONSENTS}

    typed = world("connect acme")

    assert (2, "") == (typed.code, typed.out)
    assert 1 == typed.err.count("(Forbidden)")
    assert world.kubectl.objects[CREDENTIALS]


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("code=c", "belongs to another link"),
        ("code=c&state=crm:acme-x7k2pq:wrong", "belongs to another link"),
        (f"state={STATE.reveal()}", "contains no authorization code"),
        (f"code=&state={STATE.reveal()}", "contains no authorization code"),
        (f"code=a&code=b&state={STATE.reveal()}", "a parameter twice"),
        (f"error=user_denied&state={STATE.reveal()}", "user_denied: it was declined"),
        (f"error=user_denied&code=c&state={STATE.reveal()}", "user_denied: it was declined"),
        (f"error=%3Cscript%3E%1b[31m&state={STATE.reveal()}", "an error: it was declined"),
        ("&".join(f"a{number}=1" for number in range(30)), "cannot be read"),
    ],
)
def test_an_unusable_redirect_is_refused(query: str, why: str) -> None:
    """The reason is printed, and never quotes a code."""
    found = read_query(query, STATE)

    assert isinstance(found, NoCode)
    assert why in found.why


@pytest.mark.parametrize(
    "address",
    [
        "nonsense",
        f"{HOSTED}/more?{GOOD}",
        f"http://pipedrive.example.com/callback?{GOOD}",
        f"https://pipedrive.example.com.evil.example/callback?{GOOD}",
        f"https://[bad/callback?{GOOD}",
    ],
)
def test_an_address_of_another_place_is_refused(address: str) -> None:
    """It must be the app's redirect URI."""
    assert isinstance(read_address(address, HOSTED, STATE), NoCode)


def test_a_code_is_a_secret_value() -> None:
    """It cannot be printed by accident."""
    found = read_address(f"{HOSTED}?{GOOD}", HOSTED, STATE)

    assert ReceivedCode(SecretValue("c0de")) == found
    assert "c0de" not in repr(found)


@pytest.mark.parametrize("lifetime", ["3d", "abc", "30", "59s", "25h", "''"])
def test_a_lifetime_that_the_operator_would_refuse_is_explained(lifetime: str) -> None:
    """Nothing is created."""
    world = PluginWorld()

    typed = world(f"connect acme --lifetime {lifetime}")

    assert 2 == typed.code
    assert "is not a duration from 1m to 24h, such as 30m or 4h" in typed.err
    assert [] == world.kubectl.calls


def test_the_limits_of_a_lifetime_are_those_of_the_operator() -> None:
    """They are written twice, because the operator's model is slow to import."""
    assert (SHORTEST_LIFETIME, LONGEST_LIFETIME) == (SHORTEST, LONGEST)
