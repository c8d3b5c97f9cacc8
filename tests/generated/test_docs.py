"""The generated pages are in step with the code."""

import re

from generated import api_page, configuration_page, metrics_page, readme_page, reasons_page
from pipedrive_operator.core.resource.spec import Spec
from pipedrive_operator.core.values.conditions import Reason


def test_the_page_of_reasons_is_what_the_code_says() -> None:
    """`python -m generated --write` mends it."""
    assert reasons_page.PATH.read_text() == reasons_page.text()


def test_the_page_of_fields_is_what_the_crd_says() -> None:
    """`python -m generated --write` mends it."""
    assert api_page.PATH.read_text() == api_page.text()


def test_the_page_of_settings_is_what_the_settings_say() -> None:
    """`python -m generated --write` mends it."""
    assert configuration_page.PATH.read_text() == configuration_page.text()


def test_the_page_of_metrics_is_what_the_code_says() -> None:
    """`python -m generated --write` mends it."""
    assert metrics_page.PATH.read_text() == metrics_page.text()


def test_the_readme_tells_the_reasons_of_the_code() -> None:
    """`python -m generated --write` mends it."""
    assert readme_page.PATH.read_text() == readme_page.text()


def test_every_reason_has_one_row() -> None:
    """A reason without an effect would break the policy, and be missing here."""
    rows = re.findall(r"^\| `(\w+)` \|", reasons_page.text(), re.MULTILINE)

    assert rows == list(Reason)


def test_the_conditions_of_a_reason_are_told_as_the_design_has_them() -> None:
    """One of each kind."""
    assert reasons_page.conditions(Reason.PUBLISHED) == "Ready=True"
    assert reasons_page.conditions(Reason.ACCEPTED) == "Authorized=True"
    assert reasons_page.conditions(Reason.VAULT_DENIED) == "Ready kept, Authorized=Unknown"
    assert reasons_page.conditions(Reason.WRONG_ACCOUNT) == "Ready kept, Authorized=False, Stalled=True"
    assert reasons_page.conditions(Reason.INVALID_SPEC) == "Ready=False, Stalled=True"


def test_links_between_sections_lead_somewhere() -> None:
    """An anchor is a heading in lower case, without dots and brackets."""
    page = api_page.text()

    headings = re.findall(r"^## (.+)$", page, re.MULTILINE)
    anchors = {re.sub(r"[.\[\]]", "", heading).lower() for heading in headings}
    targets = set(re.findall(r"\(#([^)]+)\)", page))

    assert targets
    assert targets <= anchors
    assert {"spec", "status"} | targets == anchors


def test_every_field_of_the_spec_has_a_row() -> None:
    """The page is for people; a field that it lacks does not exist for them."""
    page = api_page.text()

    assert {"`oauth2`", "`apiToken`", "`deletionPolicy`", "`renewBefore`"} <= set(re.findall(r"`\w+`", page))
    assert len(Spec.__dataclass_fields__) == page.split("## spec.oauth2")[0].split("## spec")[1].count("\n| `")
