"""The generated pages are up to date, complete and linked."""

import re

import pytest

from generated import api_page, cli_image, cli_page, configuration_page, metrics_page, readme_page, reasons_page
from kubectl_pipedrive.explanation import conditions
from kubectl_pipedrive.registry import every_command
from pipedrive_operator.core.resource.spec import Spec
from pipedrive_operator.core.values.conditions import EventReason, Reason
from pipedrive_operator.core.values.consent_reasons import ConsentReason


def test_the_page_of_reasons_is_up_to_date() -> None:
    """Run `python -m generated --write` if this fails."""
    assert reasons_page.PATH.read_text() == reasons_page.text()


def test_the_page_of_fields_is_up_to_date() -> None:
    """Run `python -m generated --write` if this fails."""
    assert api_page.PATH.read_text() == api_page.text()


def test_the_page_of_settings_is_up_to_date() -> None:
    """Run `python -m generated --write` if this fails."""
    assert configuration_page.PATH.read_text() == configuration_page.text()


def test_the_page_of_metrics_is_up_to_date() -> None:
    """Run `python -m generated --write` if this fails."""
    assert metrics_page.PATH.read_text() == metrics_page.text()


def test_the_page_of_the_plugin_is_up_to_date() -> None:
    """Its commands, and the recordings of what they print. Run `python -m generated --write` if this fails."""
    assert cli_page.PATH.read_text() == cli_page.text()


def test_every_command_has_a_recording() -> None:
    """A change of what it prints then shows in the page."""
    assert {command.name for command in every_command()} == set(cli_page.RECORDINGS)


@pytest.mark.parametrize("picture", cli_image.PICTURES, ids=lambda one: one.name)
def test_the_pictures_of_a_terminal_are_up_to_date(picture: cli_image.Picture) -> None:
    """They load nothing from elsewhere. Run `python -m generated --write` if this fails."""
    assert picture.PATH.read_text() == picture.text()
    assert not re.search(r"(url\(|href=)\W*http", picture.text())


def test_the_reasons_in_the_readme_are_up_to_date() -> None:
    """Run `python -m generated --write` if this fails."""
    assert readme_page.PATH.read_text() == readme_page.text()


def test_every_reason_has_one_row() -> None:
    """A reason without an entry in a table of effects would break the policy, and be missing here."""
    rows = re.findall(r"^\| `(\w+)` \|", reasons_page.text(), re.MULTILINE)

    assert rows == [*Reason, *EventReason, *ConsentReason]


def test_each_kind_of_reason_sets_its_conditions() -> None:
    """The table has one example of each combination."""
    assert conditions(Reason.PUBLISHED) == "Ready=True"
    assert conditions(Reason.ACCEPTED) == "Authorized=True"
    assert conditions(Reason.VAULT_DENIED) == "Ready kept, Authorized=Unknown"
    assert conditions(Reason.WRONG_ACCOUNT) == "Ready kept, Authorized=False, Stalled=True"
    assert conditions(Reason.INVALID_SPEC) == "Ready=False, Stalled=True"


def test_every_section_of_the_page_of_fields_is_linked() -> None:
    """GitHub derives an anchor from a heading: lower case, without dots and brackets."""
    page = api_page.text()

    headings = re.findall(r"^## (.+)$", page, re.MULTILINE)
    anchors = {re.sub(r"[.\[\]]", "", heading).lower() for heading in headings}
    targets = set(re.findall(r"\(#([^)]+)\)", page))

    assert targets
    assert targets <= anchors
    assert {"spec", "status"} | targets == anchors


def test_every_field_of_the_spec_has_a_row() -> None:
    """A field that the page lacks does not exist for its readers."""
    page = api_page.text()

    assert {"`oauth2`", "`apiToken`", "`deletionPolicy`", "`renewBefore`"} <= set(re.findall(r"`\w+`", page))
    assert len(Spec.__dataclass_fields__) == page.split("## spec.oauth2")[0].split("## spec")[1].count("\n| `")


def test_a_field_of_an_optional_section_is_required_only_in_that_section() -> None:
    """A reader must not believe that `caSecretRef.name` has to be set when `caFile` is used."""
    defaults = {name: default for name, _, default, _ in configuration_page.setting_rows()}

    assert "required" == defaults["`vault.connections.NAME.address`"]
    assert "required" == defaults["`pipedrive.apps.NAME.path`"]
    assert "required in `caSecretRef`" == defaults["`vault.connections.NAME.caSecretRef.name`"]
    assert "required in `tokenSecretRef`" == defaults["`vault.connections.NAME.auth.tokenSecretRef.key`"]


def test_an_optional_section_counts_until_the_next_map_of_names() -> None:
    """In an optional section, plain subsections are optional too; each entry of a map must be complete."""
    entry = {"type": "object", "properties": {"path": {"type": "string"}}}
    outer = {
        "type": "object",
        "properties": {
            "inner": {"$ref": "#/$defs/Entry"},
            "many": {"type": "object", "additionalProperties": {"$ref": "#/$defs/Entry"}},
        },
    }
    schema = {
        "properties": {"outer": {"anyOf": [{"$ref": "#/$defs/Outer"}, {"type": "null"}], "default": None}},
        "$defs": {"Entry": entry, "Outer": outer},
    }

    assert [("`outer.inner.path`", "required in `outer`"), ("`outer.many.NAME.path`", "required")] == [
        (name, default) for name, _, default, _ in configuration_page.rows(schema)
    ]
