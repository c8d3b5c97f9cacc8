"""Which paths in Vault a namespace may reach."""

import posixpath
import string
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipedrive_operator.core.grant.confinement import confine, names_allow
from pipedrive_operator.core.values.errors import InvalidSpec
from support.properties import reads_anything

PREFIXES = ("pipedrive/{namespace}/", "pipedrive/shared/")
PLAIN = st.text(string.ascii_letters + string.digits + "_.@=+-", min_size=1)
HOSTILE = st.sampled_from(
    ["..", ".", "...", "", "%2f", "%2e%2e", "\\", "\n", "\x00", "\uff0f", "*", "{namespace}", "crm"]
)
PATHS = st.lists(PLAIN | HOSTILE | st.text(max_size=4), min_size=1, max_size=5).map("/".join)
BELOW = PATHS.map("pipedrive/crm/{}".format)
NEARLY_PLAIN = st.builds(
    "pipedrive/crm/{}{}{}".format, st.sampled_from(["", "a", "a/"]), HOSTILE, st.sampled_from(["", "b", "/b"])
)


@pytest.mark.parametrize("path", ["pipedrive/crm/acme", "pipedrive/crm/a/b.c_d@e=f+g-h", "pipedrive/shared/acme"])
def test_a_path_below_a_prefix_is_accepted(path: str) -> None:
    """The namespace replaces its placeholder in the prefix."""
    confine(path, prefixes=PREFIXES, namespace="crm")


@pytest.mark.parametrize(
    "path",
    [
        "pipedrive/sales/acme",
        "pipedrive/crm",
        "pipedrive/crm-2/acme",
        "pipedrive/{namespace}/acme",
        "other/pipedrive/crm/acme",
        "Pipedrive/crm/acme",
    ],
)
def test_a_path_elsewhere_is_refused_with_what_is_allowed(path: str) -> None:
    """A neighbour whose name begins with the same letters is another folder."""
    with pytest.raises(InvalidSpec) as refusal:
        confine(path, prefixes=PREFIXES, namespace="crm")

    if "{" not in path:
        assert "must start with pipedrive/crm/ or pipedrive/shared/" in refusal.value.message


@pytest.mark.parametrize(
    "path",
    [
        "pipedrive/crm/../sales/acme",
        "pipedrive/crm/./acme",
        "pipedrive/crm//acme",
        "pipedrive/crm/acme/",
        "/pipedrive/crm/acme",
        "pipedrive/crm/%2e%2e%2fsales",
        "pipedrive/crm/..%2Fsales",
        "pipedrive/crm/a%2fb",
        "pipedrive/crm/a\\b",
        "pipedrive/crm/a\n",
        "pipedrive/crm/a\x00",
        "pipedrive/crm/a b",
        "pipedrive/crm/a?b",
        "pipedrive/crm/a#b",
        "pipedrive/crm/*",
        'pipedrive/crm/a"b',
        "pipedrive/crm/\uff0f",
        "",
    ],
)
def test_a_path_that_is_not_plain_is_refused_and_not_corrected(path: str) -> None:
    """This holds even where every path is allowed."""
    with pytest.raises(InvalidSpec, match="is not a plain path"):
        confine(path, prefixes=("",), namespace="crm")


def test_a_prefix_without_a_slash_is_a_folder_all_the_same() -> None:
    """A forgotten slash does not allow other folders."""
    confine("pipedrive/crm/acme", prefixes=("pipedrive/{namespace}",), namespace="crm")

    with pytest.raises(InvalidSpec):
        confine("pipedrive/crm-2/acme", prefixes=("pipedrive/{namespace}",), namespace="crm")


def test_without_prefixes_nothing_is_allowed() -> None:
    """An empty list is not an empty prefix."""
    confine("anything/at/all", prefixes=("",), namespace="crm")

    with pytest.raises(InvalidSpec, match="lists no pathPrefixes"):
        confine("anything/at/all", prefixes=(), namespace="crm")


def test_a_cluster_is_a_part_of_the_prefix() -> None:
    """A cluster without a name allows nothing."""
    confine("east/crm/acme", prefixes=("{cluster}/{namespace}/",), namespace="crm", cluster="east")

    for prefix in ("{cluster}/", "{cluster}", "{cluster}/{namespace}/"):
        with pytest.raises(InvalidSpec):
            confine("west/crm/acme", prefixes=(prefix,), namespace="crm", cluster="east")
        with pytest.raises(InvalidSpec):
            confine("crm/acme", prefixes=(prefix,), namespace="crm", cluster="")


@reads_anything
@given(path=PATHS | BELOW | NEARLY_PLAIN)
def test_an_accepted_path_never_leaves_its_folder(path: str) -> None:
    """This holds however a server, a proxy or a policy interprets it."""
    try:
        confine(path, prefixes=("pipedrive/{namespace}/",), namespace="crm")
    except InvalidSpec:
        return

    assert posixpath.normpath(path) == path
    assert unquote(path) == path
    assert path.isascii()
    assert path.isprintable()
    assert path.split("/")[:2] == ["pipedrive", "crm"]
    assert len(path.split("/")) > 2


@reads_anything
@given(segments=st.lists(PLAIN.filter(lambda segment: segment.strip(".")), min_size=1, max_size=4))
def test_every_plain_path_below_the_prefix_is_accepted(segments: list[str]) -> None:
    """The check rejects no legitimate path."""
    confine("/".join(["pipedrive", "crm", *segments]), prefixes=PREFIXES, namespace="crm")


@pytest.mark.parametrize(
    ("patterns", "allowed"),
    [(("*",), True), (("crm",), True), (("crm-*", "c*"), True), (("CRM",), False), (("crm-*",), False), ((), False)],
)
def test_a_namespace_is_allowed_by_name_or_pattern(patterns: tuple[str, ...], allowed: bool) -> None:  # noqa: FBT001
    """None allows none."""
    assert names_allow(patterns, "crm") is allowed
