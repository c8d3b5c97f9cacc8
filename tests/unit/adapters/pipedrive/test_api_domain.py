"""Where a token may be sent."""

import httpx
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipedrive_operator.adapters.pipedrive.api_domain import AllowedApiDomains

PIPEDRIVE = AllowedApiDomains(("https://*.pipedrive.com",))
LABEL = st.from_regex("[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True).filter(lambda one: one[:4] != "xn--")


@given(LABEL)
def test_a_company_of_pipedrives_is_allowed(label: str) -> None:
    """The label may be any one that a name on the internet can have."""
    assert PIPEDRIVE.allow(f"https://{label}.pipedrive.com")


@given(st.text("abcxn0-", min_size=1, max_size=70))
def test_what_is_allowed_can_be_asked(label: str) -> None:
    """Neither building a request nor looking up the name raises a foreign error."""
    address = f"https://{label}.pipedrive.com"
    assume(PIPEDRIVE.allow(address))

    assert httpx.Request("GET", address).url.host.encode("idna") == address.removeprefix("https://").encode()


@pytest.mark.parametrize(
    "address",
    [
        "",
        "https://pipedrive.com",
        "https://.pipedrive.com",
        "http://acme.pipedrive.com",
        "ftp://acme.pipedrive.com",
        "//acme.pipedrive.com",
        "acme.pipedrive.com",
        "https://acme.pipedrive.com/",
        "https://acme.pipedrive.com/api",
        "https://acme.pipedrive.com:443",
        "https://acme.pipedrive.com:8443",
        "https://acme.pipedrive.com?x",
        "https://acme.pipedrive.com#x",
        "https://acme.pipedrive.com.evil.example",
        "https://evil.example/.pipedrive.com",
        "https://evil.example#.pipedrive.com",
        "https://evil.example?.pipedrive.com",
        "https://evil.example\\.pipedrive.com",
        "https://user@acme.pipedrive.com",
        "https://user:password@acme.pipedrive.com",
        "https://a.b.pipedrive.com",
        "https://acmeXpipedrive.com",
        "https://acme.pipedrive.com\n",
        "https://ac\tme.pipedrive.com",
        "https://acme\N{IDEOGRAPHIC FULL STOP}pipedrive.com",
        "https://acme.pipedrive.com\N{ZERO WIDTH SPACE}",
        "https://é.pipedrive.com",
        "https://xn--a.pipedrive.com",
        "https://-a.pipedrive.com",
        "https://a-.pipedrive.com",
        f"https://{'a' * 64}.pipedrive.com",
    ],
)
def test_anything_else_is_not(address: str) -> None:
    """Scheme, host, port and path are pinned, and nothing looks alike."""
    assert not PIPEDRIVE.allow(address)


@pytest.mark.parametrize(
    "spelling",
    ["https://acme.pipedrive.com/", "https://acme.pipedrive.com:443", "https://acme.pipedrive.com:443/"],
)
def test_the_same_address_may_be_spelt_in_several_ways(spelling: str) -> None:
    """What is published, and what a path is appended to, is the shortest spelling."""
    assert PIPEDRIVE.allowed(spelling) == "https://acme.pipedrive.com"


@pytest.mark.parametrize(
    "address",
    [
        "https://acme.pipedrive.com//",
        "https://acme.pipedrive.com:80",
        "https://acme.pipedrive.com:4430",
        "https://acme.pipedrive.com/:443",
        "https://evil.example/",
        "/",
        ":443",
    ],
)
def test_another_address_is_none_in_any_spelling(address: str) -> None:
    """Only one slash and the port that the scheme implies are removed."""
    assert PIPEDRIVE.allowed(address) is None


def test_a_port_that_a_pattern_asks_for_stays() -> None:
    """The simulator's may be 80."""
    assert AllowedApiDomains(("http://127.0.0.1:*",)).allowed("http://127.0.0.1:80/") is None
    assert AllowedApiDomains(("http://127.0.0.1:*",)).allowed("http://127.0.0.1:80") == "http://127.0.0.1:80"


def test_names_are_compared_as_dns_does() -> None:
    """Case does not count, and only for ASCII."""
    assert PIPEDRIVE.allow("https://Acme.PIPEDRIVE.com")
    assert not AllowedApiDomains(("https://k.example",)).allow("https://\N{KELVIN SIGN}.example")


def test_a_simulator_can_be_allowed() -> None:
    """The pattern allows any port of a host, and still no path."""
    local = AllowedApiDomains(("https://*.pipedrive.com", "http://127.0.0.1:*"))

    assert local.allow("http://127.0.0.1:8080")
    assert local.allow("https://acme.pipedrive.com")
    assert not local.allow("http://127.0.0.1:8080/path")
    assert not local.allow("http://127.0.0.1:80@evil.example")
    assert not local.allow("http://127x0.0.1:80")


def test_nothing_is_allowed_without_a_pattern() -> None:
    """The default is to refuse."""
    assert not AllowedApiDomains(()).allow("https://acme.pipedrive.com")
