"""`check` goes from the CRD to the workload, and names the first thing that is broken."""

from copy import deepcopy
from typing import Any

import pytest

from kubectl_pipedrive import cluster
from kubectl_pipedrive.chain import PART_OF, PartName
from kubectl_pipedrive.kubectl import CONSENTS, CREDENTIALS
from pipedrive_operator.core.values.conditions import EFFECTS, Reason
from pipedrive_operator.core.values.consent_reasons import ConsentReason
from support.consent_operator import HOSTED, ConsentOperator
from support.plugin_world import FRONT, PluginWorld, ago, condition


@pytest.fixture
def world() -> PluginWorld:
    """Give a namespace with a few credentials."""
    return PluginWorld()


def lines(output: str) -> dict[str, str]:
    """Return the mark of each subject."""
    marked = (line.split() for line in output.splitlines() if line[:2] in {"✓ ", "✗ ", "- "})
    return {words[1]: words[0] for words in marked}


def test_everything_is_checked_without_a_name(world: PluginWorld) -> None:
    """Each credential that needs action is named with the next command."""
    typed = world("check")

    assert 1 == typed.code
    assert {
        "CRD": "✓",
        "Permissions": "✓",
        "Operator": "✓",
        "Leader": "✓",
        "Credentials": "✓",
        "globex": "✗",
        "umbrella": "✗",
    } == lines(typed.out)
    assert "kubectl pipedrive check umbrella -n crm" in typed.out
    assert "pipedrive-operator check" in typed.out


def test_a_long_name_is_set_apart_from_what_is_said_about_it(world: PluginWorld) -> None:
    """Names can be as long as those of Secrets."""
    world.credential("umbrella")["metadata"]["name"] = "umbrella-of-the-sales-team"

    assert "✗ umbrella-of-the-sales-team SourceMissing: " in world("check").out


def test_all_is_well(world: PluginWorld) -> None:
    """The exit code is 0."""
    assert 0 == world("check acme").code or "report-28491" in world("check acme").out
    world.kubectl.objects["pods"].pop()

    typed = world("check acme")

    assert 0 == typed.code
    assert {"✓"} == set(lines(typed.out).values())


def test_the_first_broken_part_is_explained(world: PluginWorld) -> None:
    """The parts before it are intact, and the Secret keeps the last value for a while."""
    typed = world("check globex")

    assert 1 == typed.code
    marks = lines(typed.out.split("From the spec")[1])
    assert {"Spec": "✓", "App": "✓", "Vault": "✓", "Pipedrive": "✗", "Secret": "✓", "Workload": "-"} == marks
    remedy = EFFECTS[Reason.CONSENT_REQUIRED].remedy
    assert f"The first broken part is Pipedrive.\nWhat to do: {remedy}" in typed.out


def test_later_parts_are_not_judged(world: PluginWorld) -> None:
    """An API token has no app; Pipedrive was not asked about a value that Vault does not have."""
    marks = lines(world("check umbrella").out.split("From the spec")[1])

    assert {"Spec": "✓", "Vault": "✗", "Pipedrive": "-", "Secret": "-", "Workload": "-"} == marks


def test_every_reason_belongs_to_a_part() -> None:
    """The exceptions are reasons that are no problem."""
    assert set(PART_OF) == set(Reason)
    fine = {reason for reason, part in PART_OF.items() if part is None}
    assert {Reason.PUBLISHED, Reason.ACCEPTED, Reason.PENDING} == fine
    assert all(EFFECTS[reason].remedy in {"nothing", "wait"} for reason in fine)


@pytest.mark.parametrize("reason", [reason for reason, part in PART_OF.items() if part is not None])
def test_each_problem_breaks_exactly_its_part(world: PluginWorld, reason: Reason) -> None:
    """This does not depend on what is known about the others."""
    conditions = [
        condition("Ready", "False", reason, "why", ago(minutes=1)),
        condition("Authorized", "Unknown", reason, "why", ago(minutes=1)),
    ]
    acme = world.credential("acme")
    acme["status"] |= {"conditions": conditions}
    world.kubectl.objects["pods"] = []

    marks = lines(world("check acme").out.split("From the spec")[1])

    assert [PART_OF[reason]] == [PartName(name) for name, mark in marks.items() if mark == "✗"]


@pytest.mark.parametrize(
    ("status", "text"),
    [
        ({"observedGeneration": 0}, "the operator has not processed the present spec"),
        (
            {"observedGeneration": 1, "conditions": [condition("Ready", "False", "Pending", "first", ago(seconds=1))]},
            "first",
        ),
    ],
)
def test_nothing_is_broken_before_the_first_pass(world: PluginWorld, status: dict[str, Any], text: str) -> None:
    """Every part is unknown."""
    world.credential("acme")["status"] = status

    typed = world("check acme")

    assert {"-"} == set(lines(typed.out.split("From the spec")[1]).values())
    assert text in typed.out


def test_an_expired_token_breaks_the_secret(world: PluginWorld) -> None:
    """The part is broken although the Secret is published."""
    world.credential("globex")["status"]["expiresAt"] = ago(minutes=1)

    out = world("check globex").out

    assert "✗ Secret        the access token in globex expired 1m ago" in out


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda pods, _: pods.pop(), None),
        (lambda _, acme: acme["spec"].update(rollout={"targets": []}), None),
        (lambda *_: None, "report-28491"),
        (lambda pods, _: pods[0]["spec"]["containers"][0]["volumeMounts"][0].update(subPath="x"), "subPath"),
    ],
    ids=["a folder is mounted", "the workload is restarted", "an environment variable", "a subPath"],
)
def test_a_workload_that_misses_new_tokens_is_a_broken_part(
    world: PluginWorld, change: Any, problem: str | None
) -> None:
    """An access token lives for an hour."""
    change(world.kubectl.objects["pods"], world.credential("acme"))

    typed = world("check acme")

    assert (0 if problem is None else 1) == typed.code
    if problem is not None:
        assert problem in typed.out.split("Workload")[1]


def test_an_absent_crd_ends_the_check(world: PluginWorld) -> None:
    """Without it, nothing else can be checked."""
    world.kubectl.served = {}

    typed = world("check acme")

    assert 1 == typed.code
    assert {"CRD": "✗"} == lines(typed.out)


def test_a_cluster_without_consents_is_no_defect(world: PluginWorld) -> None:
    """The second CRD is optional; what cannot be used without it is named."""
    world.kubectl.served = {path: names[:2] for path, names in world.kubectl.served.items()}

    out = world("check").out

    assert "✓" == lines(out)["CRD"]
    assert "pipedriveconsents is not, so `connect` cannot be used" in out


def test_what_a_user_may_not_see_is_not_known(world: PluginWorld) -> None:
    """It is no defect of the operator."""
    world.kubectl.denied = {"deployments.apps", "secret", "pods"}

    typed = world("check acme")

    assert 0 == typed.code
    assert "-" == lines(typed.out)["Operator"]
    assert "you cannot: see which pods use a Secret; see the keys of a Secret" in " ".join(typed.out.split())


def test_the_consent_front_is_checked_where_there_is_one(world: PluginWorld) -> None:
    """It has no leader."""
    world.kubectl.objects["deployments.apps"].append(deepcopy(FRONT))

    out = world("check").out

    assert "✓ Consent front pipedrive-operator/pipedrive-operator-consent, version 0.1.0: 1 of 2" in " ".join(
        out.split()
    )
    assert 1 == out.count("Leader")


@pytest.mark.parametrize(
    ("reason", "mark"), [(ConsentReason.CONNECTED, "✓"), (ConsentReason.WAITING, "-"), (ConsentReason.EXPIRED, "-")]
)
def test_the_newest_link_shows_the_callback_as_registered(world: PluginWorld, reason: ConsentReason, mark: str) -> None:
    """An old link that expired is no defect."""
    operator = ConsentOperator()
    old, new = (
        {
            "kind": "PipedriveConsent",
            "metadata": {"namespace": "crm", "name": name, "generation": 1, "creationTimestamp": created},
            "spec": {"credential": "acme"},
        }
        for name, created in (("acme-old", ago(hours=2)), ("acme-new", ago(hours=1)))
    )
    for body in (old, new):
        operator(body)
    operator.report(new, reason)
    world.kubectl.objects[CONSENTS] = [new, old]

    out = world("check acme").out

    assert mark == lines(out)["Link"]
    assert f"acme-new: {reason}; the redirect of crm-sync arrives at {HOSTED}" in out
    assert "Link" not in lines(world("check globex").out)
    world.kubectl.denied = {CONSENTS}
    assert "Link" not in lines(world("check acme").out)


def test_a_permission_for_one_object_is_not_one_for_all() -> None:
    """The permission to read a single Secret is an example."""
    rule = {"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["one"]}
    everything = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
    secrets = next(one for one in cluster.PERMISSIONS if one.resource == "secrets")

    assert not cluster.allows([rule], secrets)
    assert cluster.allows([rule, everything], secrets)


def test_a_lack_of_all_permissions_is_reported(world: PluginWorld) -> None:
    """Nothing is reported about the credentials."""
    world.kubectl.denied = {CREDENTIALS, CONSENTS, "secret", "pods", "events", "deployments.apps"}

    typed = world("check")

    assert 1 == typed.code
    assert ("✗", "✗") == (lines(typed.out)["Permissions"], lines(typed.out)["Credentials"])


@pytest.mark.parametrize(
    ("resource", "change", "mark"),
    [
        ("Operator", lambda objects: objects["deployments.apps"][0]["status"].clear(), "✗"),
        ("Operator", lambda objects: objects["deployments.apps"].clear(), "-"),
        (
            "Leader",
            lambda objects: objects["leases.coordination.k8s.io"][0]["spec"].update(renewTime=ago(minutes=2)),
            "✗",
        ),
        ("Leader", lambda objects: objects["leases.coordination.k8s.io"].clear(), None),
    ],
    ids=["no replica is ready", "no Deployment", "nobody leads", "no Lease"],
)
def test_the_operator_is_judged_by_its_deployment_and_its_lease(
    world: PluginWorld, resource: str, change: Any, mark: str | None
) -> None:
    """A test case covers each combination of the two."""
    change(world.kubectl.objects)

    assert mark == lines(world("check").out).get(resource)
