"""Templates: what a reference becomes, and which ones are refused."""

import json
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipedrive_operator.core.publication.fields import API_TOKEN_FIELDS, OAUTH2_FIELDS
from pipedrive_operator.core.publication.template import check_template, render
from pipedrive_operator.core.values.errors import InvalidSpec

VALUES = {"api_token": 'a"b\\c', "api_domain": "https://acme.pipedrive.com", "company_domain": "acme"}


@pytest.mark.parametrize(
    ("template", "rendered"),
    [
        ("TOKEN=$(api_token)\n", 'TOKEN=a"b\\c\n'),
        ('{"token": $(api_token|json)}', '{"token": "a\\"b\\\\c"}'),
        ("TOKEN=$(api_token|sh)\n", "TOKEN='a\"b\\c'\n"),
        ("$$(api_token)", "$(api_token)"),
        ("$$$(company_domain)", "$$(company_domain)"),
        ("${api_token} $x 5$", "${api_token} $x 5$"),
        ("$(company_domain)$(company_domain)", "acmeacme"),
        ("", ""),
    ],
)
def test_a_template_is_filled_in(template: str, rendered: str) -> None:
    """With the syntax of Kubernetes, and no other."""
    check_template(".env", template, API_TOKEN_FIELDS)

    assert rendered == render(template, VALUES)


@pytest.mark.parametrize("template", ["$(token)", "$(api_token|yaml)", "$()", "$(api_token", "$( api_token )"])
def test_an_unknown_reference_is_refused_by_its_name(template: str) -> None:
    """The message names the key, the reference and what is known."""
    with pytest.raises(InvalidSpec, match=r"spec\.target\.data\[\.env\].*company_domain"):
        check_template(".env", template, API_TOKEN_FIELDS)


@pytest.mark.parametrize(
    ("reference", "suggested"),
    [
        ("$(acess_token)", "$(access_token)"),
        ("$(ACCESS_TOKEN)", "$(access_token)"),
        ("$( access_token )", "$(access_token)"),
        ("$(access_token|jsn)", "$(access_token|json)"),
        ("$(expires_at|epoch)", "$(expires_at"),
        ("$(access_token|unix)", "$(access_token"),
    ],
)
def test_a_similar_reference_is_suggested(reference: str, suggested: str) -> None:
    """A typing error can be corrected without the documentation."""
    with pytest.raises(InvalidSpec) as refused:
        check_template(".env", reference, OAUTH2_FIELDS)

    assert f"did you mean {suggested}" in refused.value.message


def test_an_expiry_is_written_in_seconds() -> None:
    """As token caches of many libraries keep it."""
    check_template("token.json", "$(expires_at|unix)", OAUTH2_FIELDS)

    assert "1772629200" == render("$(expires_at|unix)", {"expires_at": "2026-03-04T13:00:00Z"})


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=0x2FF)))
def test_a_value_is_one_word_of_a_shell(value: str) -> None:
    """Quotes, spaces and dollar signs in a value change nothing else in the file."""
    assert [value] == shlex.split(render("$(api_token|sh)", {"api_token": value}))


@given(st.text())
def test_a_literal_stays_a_literal_in_json(value: str) -> None:
    """No matter what the value contains."""
    assert value == json.loads(render("$(api_token|json)", {"api_token": value}))


@given(st.text(), st.text())
def test_a_value_is_never_rendered_again(before: str, value: str) -> None:
    """A value that looks like a reference is text."""
    escaped = before.replace("$", "")

    assert f"{escaped}{value}" == render(f"{escaped}$(api_token)", {"api_token": value})
