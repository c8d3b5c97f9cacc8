"""Templates: what a reference becomes, and which ones are refused."""

import json
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipedrive_operator.core.publication.fields import API_TOKEN_FIELDS, OAUTH2_FIELDS
from pipedrive_operator.core.publication.template import (
    MOST_REFERENCES,
    breaks_quotes,
    check_template,
    render,
    rendered_size,
)
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
    """The syntax is that of Kubernetes."""
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
    """The token caches of many libraries expect this."""
    check_template("token.json", "$(expires_at|unix)", OAUTH2_FIELDS)

    assert "1772629200" == render("$(expires_at|unix)", {"expires_at": "2026-03-04T13:00:00Z"})


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=0x2FF)))
def test_a_value_is_quoted_as_one_word_of_a_shell(value: str) -> None:
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


PARTS = ["$(api_token)", "$(api_token|json)", "$(api_token|sh)", "$(company_domain)", "$$(", "é", "$", "x\n", '"', "'"]


@given(st.lists(st.lists(st.sampled_from(PARTS)).map("".join), max_size=4), st.text())
def test_the_size_is_known_before_anything_is_rendered(templates: list[str], value: str) -> None:
    """It is counted in bytes of UTF-8, as the API server counts it."""
    values = {"api_token": value, "company_domain": "acme"}
    value.encode(errors="replace")
    try:
        value.encode()
    except UnicodeEncodeError:
        return

    rendered = [render(template, values) for template in templates]

    assert sum(len(one.encode()) for one in rendered) == rendered_size(templates, values)


@pytest.mark.parametrize(
    ("template", "opened"),
    [
        ('TOKEN="$(api_token)"\n', '"'),
        ("A='x'\nTOKEN='$(api_token)'\n", "'"),
        ('A=\'"\' TOKEN="$(company_domain) $(api_token)"', '"'),
        ('TOKEN="\\"$(api_token)"', '"'),
        ('{"token": "$(api_token)"}', '"'),
    ],
)
@pytest.mark.parametrize("value", ['a"b', "a'b"])
def test_a_value_that_would_end_its_quotes_is_found(template: str, opened: str, value: str) -> None:
    """The kind of quote that is open decides, in a .env file, a script or JSON."""
    found = breaks_quotes(template, {"api_token": value, "company_domain": "acme"})

    assert ("api_token" if opened in value else None) == found


@pytest.mark.parametrize("value", ["a$b", "a`b", "a\\b"])
def test_what_means_something_inside_double_quotes_is_found(value: str) -> None:
    """A shell would run it; inside single quotes it is text."""
    assert "api_token" == breaks_quotes('T="$(api_token)"', {"api_token": value})
    assert breaks_quotes("T='$(api_token)'", {"api_token": value}) is None


@pytest.mark.parametrize(
    "template",
    [
        "TOKEN=$(api_token)",
        'TOKEN="x" $(api_token)',
        "# don't\nTOKEN=$(api_token)",
        'TOKEN=\\"$(api_token)',
        'TOKEN="$(api_token|json)"',
        '"$$(api_token)"',
    ],
)
def test_a_value_outside_quotes_ends_none(template: str) -> None:
    """Quotes end with their line, and filters write their own."""
    assert breaks_quotes(template, {"api_token": "a\"b'c"}) is None


@pytest.mark.parametrize("value", ["v1u:AQIBAHj+8/x==:AH4wfAYJKoZIhvcNAQ==", "a" * 40, "base,deals:full"])
def test_no_value_as_pipedrive_issues_it_ends_quotes(value: str) -> None:
    """This holds for single and double quotes."""
    assert breaks_quotes("A=\"$(api_token)\" B='$(api_token)'", {"api_token": value}) is None


def test_a_template_with_thousands_of_references_is_refused_before_it_is_searched() -> None:
    """The event loop checks each template with each event of its credential."""
    check_template("k", "$(scope)" * MOST_REFERENCES, OAUTH2_FIELDS)

    with pytest.raises(InvalidSpec, match=r"spec\.target\.data\[k\]: the template has more than 256 references"):
        check_template("k", "$(scope)" * (MOST_REFERENCES + 1), OAUTH2_FIELDS)
