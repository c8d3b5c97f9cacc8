"""Every wrong shape of the settings: the message names the file, the setting and the fix, in words of the operator."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipedrive_operator.config.errors import SettingsError
from pipedrive_operator.config.loading import load_settings
from support.properties import reads_anything

LIBRARY_WORDS = ("Input should", "valid dictionary", "Field required", "should match pattern", "datetime.", "pydantic")
VARIABLES = "environment variables"


def message_about(content: bytes, folder: Path) -> str:
    """Return the message about a settings file with that content, with the folder left out."""
    path = folder / "settings.yaml"
    path.write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        load_settings(path)
    return str(caught.value).replace(f"{folder}/", "")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "settings.yaml contains no settings: write {} to use the defaults, or name another file with --config"),
        (b"# nothing\n---\n", "settings.yaml contains no settings: write {}"),
        (b"- a", "settings.yaml must contain sections such as `vault:`; it contains a list"),
        (b"vault", "settings.yaml must contain sections such as `vault:`; it contains text"),
        (b"5", "settings.yaml must contain sections such as `vault:`; it contains a number"),
        (b"2026-01-01", "settings.yaml must contain sections such as `vault:`; it contains a date"),
        (b"1: 2", "settings.yaml, line 1, column 1: a name must be text: put 1 in quotes, or correct it"),
        (b"log: {~: 2}", "settings.yaml, line 1, column 7: a name must be text: put ~ in quotes, or correct it"),
        (b"log: {[a]: 2}", "settings.yaml, line 1, column 7: a name must be text, not a list or a mapping"),
        (
            b"a: [",
            "settings.yaml, line 1, column 5: not valid YAML: expected the node content, but found '<stream end>'",
        ),
        (b"log:\n  level: info\n format: json\n", "settings.yaml, line 3, column 2: not valid YAML: "),
        (b"log:\n\tlevel: info\n", "settings.yaml, line 2, column 1: not valid YAML: a tab: indent with spaces"),
        (b"log: {}\nlog: {}\n", "settings.yaml, line 2, column 1: `log` is set twice: remove one of the two"),
        (b"log: {level: info, level: debug}", "settings.yaml, line 1, column 20: `level` is set twice"),
        (b"log: {level: a\0b}", "settings.yaml, line 1: not valid YAML: the character U+0000: remove it"),
        (b"# caf\xe9\nlog: {}\n", "settings.yaml, line 1: not UTF-8 text: save the file in UTF-8"),
        ("log: {}".encode("utf-16"), "settings.yaml, line 1: not UTF-8 text: save the file in UTF-8"),
        (b"http: {port: !!int ''}", "settings.yaml, line 1, column 14: not valid YAML: no value of the type !!int"),
        (b"http: {port: 1" + b"0" * 5000 + b"}", "settings.yaml, line 1, column 14: not valid YAML: no value of the"),
        (b"log: !person {}", "settings.yaml, line 1, column 6: not valid YAML: could not determine a constructor"),
        (b"log: *other", "settings.yaml, line 1, column 6: not valid YAML: found undefined alias 'other'"),
        (b"log: {}\n---\nlog: {}\n", "settings.yaml, line 2, column 1: not valid YAML: "),
        (b"[" * 10_000, "settings.yaml is nested too deeply"),
        (b"controller: 5", "settings.yaml: controller: must be a section with its settings below it; it is a number"),
        (b"controller:", "settings.yaml: controller: must be a section with its settings below it; it is empty"),
        (b"vault: {connections: 5}", "vault.connections: must be a section with its settings below it; it is a number"),
        (b"pipedrive: {apps: {a: }}", "pipedrive.apps.a: must be a section with its settings below it; it is empty"),
        (
            b"vault: {connections: {Bad_Name: {address: 'https://x'}}}",
            "vault.connections: the name Bad_Name must be lower",
        ),
        (b"vault: {connections: {x: {}}}", "vault.connections.x.address: is required. Address of the server, such as"),
        (
            b"vault: {connections: {x: {address: x y}}}",
            "x.address: must be an address that starts with http:// or https",
        ),
        (
            b"vault: {connections: {x: {address: 'ftp://x'}}}",
            "x.address: must be an address that starts with http:// or",
        ),
        (
            b"vault: {connections: {x: {address: 'http://x', mounts: []}}}",
            "x.mounts: must be a list with at least one entry",
        ),
        (b"vault: {connections: {x: {address: 'http://x', namespace: /admin}}}", "x.namespace: must be a path such as"),
        (
            b"vault: {connections: {x: {address: 'http://x', pathPrefixes: [a]}}}",
            "x.pathPrefixes[0]: must be a path that",
        ),
        (
            b"vault: {connections: {x: {address: 'http://x', serverName: ''}}}",
            "x.serverName: must be text that is not emp",
        ),
        (
            b"vault: {connections: {x: {address: 'http://x', caFile: 5}}}",
            "x.caFile: must be the path of a file; it is a nu",
        ),
        (
            b'kubernetes: {kubeconfig: "a\\0b"}',
            "kubernetes.kubeconfig: must be the path of a file, without the character U",
        ),
        (b"kubernetes: {namespaces: crm}", "kubernetes.namespaces: must be a list, such as [a, b]; it is text"),
        (b"kubernetes: {context: 5}", "kubernetes.context: must be text; it is a number: put it in quotes"),
        (b"kubernetes: {context: on}", "kubernetes.context: must be text; it is true or false: put it in quotes"),
        (b"kubernetes: {context: 2026-01-01}", "kubernetes.context: must be text; it is a date: put it in quotes"),
        (
            b"kubernetes: {context: [a]}",
            "kubernetes.context: must be text; it is a list: write one value, without brac",
        ),
        (b"kubernetes: {context: {a: b}}", "kubernetes.context: must be text; it is a section: write one value, wit"),
        (
            b"vault: {connections: {x: {address: ['https://x']}}}",
            "x.address: must be an address that starts with http:// or https://; it is a list: write one value, with",
        ),
        (
            b"vault: {connections: {x: {address: 'http://x', caFile: {a: b}}}}",
            "x.caFile: must be the path of a file; it is a section: write one value, without names below it",
        ),
        (b"controller: {workers: 0}", "settings.yaml: controller.workers: must be a whole number from 1 to 1000"),
        (b"controller: {workers: many}", "controller.workers: must be a whole number from 1 to 1000; it is text"),
        (b"controller: {workers: 1.5}", "controller.workers: must be a whole number from 1 to 1000"),
        (b"controller: {pollInterval: 0s}", "controller.pollInterval: must be longer than 0s"),
        (b"controller: {pollInterval: [1s]}", "controller.pollInterval: is not a duration such as 90s, 20m or 1h30m"),
        (b"pipedrive: {requestsPerSecond: 0}", "pipedrive.requestsPerSecond: must be a number above 0"),
        (b"pipedrive: {requestsPerSecond: .nan}", "pipedrive.requestsPerSecond: must be a number above 0"),
        (b"rollout: {enabled: maybe}", "rollout.enabled: must be true or false; it is text"),
        (b"pipedrive: {timeout: 121s}", "pipedrive.timeout: must be at most 2m"),
        (b"leaderElection: {leaseDuration: 14s}", "leaderElection.leaseDuration: must be at least 15s"),
        (b"log: {level: loud}", "log.level: must be debug, info, warning or error"),
        (b"log: {level: 3}", "log.level: must be debug, info, warning or error; it is a number"),
        (b"nonsense: 1", "settings.yaml: nonsense: no such setting"),
        (b'"a\\nb": 1', r"settings.yaml: 'a\nb': no such setting"),
    ],
)
def test_the_message_names_file_setting_and_fix(tmp_path: Path, content: bytes, expected: str) -> None:
    """It never quotes the validation library, whose words are about Python."""
    message = message_about(content, tmp_path)

    assert expected in message
    assert not any(words in message for words in LIBRARY_WORDS)


def test_a_byte_order_mark_is_ignored(tmp_path: Path) -> None:
    """Editors on Windows write one."""
    path = tmp_path / "settings.yaml"
    path.write_bytes(b"\xef\xbb\xbfcontroller: {workers: 3}")

    assert 3 == load_settings(path).controller.workers


def test_a_merge_key_may_repeat_what_it_overrides(tmp_path: Path) -> None:
    """Only two equal keys in one mapping are a mistake."""
    path = tmp_path / "settings.yaml"
    path.write_text(
        "pipedrive:\n  apps:\n    a: &a {path: a, mount: apps, allowedNamespaces: [crm]}\n    b: {<<: *a, path: b}\n"
    )

    apps = load_settings(path).pipedrive.apps

    assert [("apps", "a"), ("apps", "b")] == [(app.mount, app.path) for app in apps.values()]


def test_a_directory_is_reported(tmp_path: Path) -> None:
    """A volume is often mounted at the path of the file."""
    with pytest.raises(SettingsError, match="is a directory: name the file in it with --config"):
        load_settings(tmp_path)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (PermissionError(13, "Permission denied"), "permission denied: let the operator's user read it"),
        (OSError(5, "Input/output error"), "input/output error: name another file with --config"),
    ],
)
def test_an_unreadable_file_is_reported(monkeypatch: pytest.MonkeyPatch, error: OSError, expected: str) -> None:
    """The message quotes the operating system."""

    def fail(_: Path) -> bytes:
        raise error

    monkeypatch.setattr(Path, "read_bytes", fail)

    with pytest.raises(SettingsError, match=expected):
        load_settings(Path("settings.yaml"))


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("CONTROLLER__WORKERS", "many", "PIPEDRIVE_OPERATOR_CONTROLLER__WORKERS: controller.workers: must be a whole"),
        (
            "KUBERNETES__NAMESPACES",
            "crm",
            'PIPEDRIVE_OPERATOR_KUBERNETES__NAMESPACES: must be JSON, such as ["a", "b"]',
        ),
        (
            "KUBERNETES__NAMESPACES",
            "5",
            "PIPEDRIVE_OPERATOR_KUBERNETES__NAMESPACES: kubernetes.namespaces: must be a list",
        ),
        ("CONTROLLER", "5", "PIPEDRIVE_OPERATOR_CONTROLLER: controller: must be a section with its settings below it"),
        ("CONTROLLER", "{", "PIPEDRIVE_OPERATOR_CONTROLLER: must be JSON"),
        ("VAULT__CONNECTIONS__X__MOUNTS", '["a"]', f"{VARIABLES}: vault.connections.x.address: is required"),
        (
            "CONTROLLER__WORKER",
            "3",
            "PIPEDRIVE_OPERATOR_CONTROLLER__WORKER: controller.worker: no such setting; did you",
        ),
        ("NONSENSE", "3", "PIPEDRIVE_OPERATOR_NONSENSE: no such setting"),
    ],
)
def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str) -> None:
    """Rather than the file, which does not contain the mistake."""
    monkeypatch.setenv(f"PIPEDRIVE_OPERATOR_{name}", value)

    with pytest.raises(SettingsError) as caught:
        load_settings(None)

    assert expected in str(caught.value)
    assert not any(words in str(caught.value) for words in LIBRARY_WORDS)


VALID: dict[str, Any] = {
    "vault": {
        "connections": {
            "default": {
                "address": "https://vault.example.com:8200",
                "auth": {"method": "jwt", "jwtSecretRef": {"name": "a", "key": "b"}},
                "mounts": ["secret"],
                "pathPrefixes": ["pipedrive/{namespace}/"],
            }
        }
    },
    "pipedrive": {"timeout": "15s", "apps": {"crm-sync": {"path": "a", "allowedNamespaces": ["crm"]}}},
    "kubernetes": {"namespaces": ["crm"], "kubeconfig": "/a"},
    "rollout": {"enabled": True},
    "log": {"level": "info"},
    "http": {"port": 8080},
}
"""Settings of every type, in sections, lists and maps of names."""


def places(tree: object) -> list[tuple[Any, ...]]:
    """Return the path of every value in a tree."""
    entries = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [(), *((key, *rest) for key, value in entries for rest in places(value))]


def with_change(change: tuple[tuple[Any, ...], object, object]) -> object:
    """Return valid settings in which a value at some place is replaced, under another name if one is given."""
    (*above, last), name, value = change
    document = copy.deepcopy(VALID)
    node: Any = document
    for part in above:
        node = node[part]
    if name is not None and isinstance(node, dict):
        node[name] = node.pop(last)
        return document
    node[last] = value
    return document


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.dates()
    | st.binary(max_size=3)
    | st.sampled_from(["5s", "0s", "https://vault.example.com", "token", "a/", "/file", "", "a\x07b"])
    | st.text(max_size=5)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SCALARS, inner, max_size=4),
    max_leaves=9,
)
CHANGED = st.tuples(st.sampled_from(places(VALID)[1:]), st.none() | SCALARS, VALUES).map(with_change)


def is_understood(path: Path) -> bool:
    """Return whether a file gives settings, or a message that names it, in words of the operator."""
    try:
        return bool(load_settings(path))
    except SettingsError as error:
        return str(path) in str(error) and not any(words in str(error) for words in LIBRARY_WORDS)


@reads_anything
@given(CHANGED | VALUES)
def test_any_document_gives_settings_or_a_settings_error(tmp_path: Path, document: object) -> None:
    """It never ends in a traceback, or with the words of the validation library."""
    path = tmp_path / "settings.yaml"
    path.write_text(yaml.dump(document, allow_unicode=True))

    assert is_understood(path)


@reads_anything
@given(st.binary() | st.text(alphabet="ab:-[]{}&*!|>'\"%#?,\t\n 01~<=.").map(str.encode))
def test_any_bytes_give_settings_or_a_settings_error(tmp_path: Path, content: bytes) -> None:
    """YAML can be invalid in many ways."""
    path = tmp_path / "settings.yaml"
    path.write_bytes(content)

    assert is_understood(path)
