"""The operator's settings: one frozen type, read once from a YAML file and the environment.

The names are those of the chart's `config:` value. An environment variable wins over the file:
`controller.pollInterval` is PIPEDRIVE_OPERATOR_CONTROLLER__POLL_INTERVAL. Nothing else in the operator reads
the environment, and no secret is a setting: secrets are files, or Secrets of the operator's namespace.
"""

import difflib
import os
import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, Self

import yaml
from pydantic import Field, HttpUrl, ValidationError, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict, YamlConfigSettingsSource

from pipedrive_operator.config.sections import PositiveDuration, Section
from pipedrive_operator.config.vault import VaultSettings
from pipedrive_operator.core.resource.shapes import Duration, Name, VaultPath

ENVIRONMENT_PREFIX: Final = "PIPEDRIVE_OPERATOR_"
_SERVICE_LINK: Final = re.compile(r"(SERVICE_HOST|SERVICE_PORT\w*|PORT(_\d+_\w+)?)$")
"""What the kubelet sets for a Service named pipedrive-operator; see enableServiceLinks of a pod."""


class SettingsError(Exception):
    """The settings cannot be used; the message names each field and what is wrong with it."""


class AppSettings(Section):
    """An OAuth2 client that credentials may name instead of a path in Vault."""

    connection: Annotated[Name, Field(description="The Vault connection that its document is on.")] = "default"
    mount: Annotated[VaultPath, Field(description="The KV version 2 mount.")] = "secret"
    path: Annotated[VaultPath, Field(description="The path of the document with the client id and secret.")]
    id_key: Annotated[str, Field(description="The key of the client id.")] = "client_id"
    secret_key: Annotated[str, Field(description="The key of the client secret.")] = "client_secret"
    allowed_namespaces: Annotated[
        tuple[str, ...],
        Field(description="The namespaces whose credentials may use it; `*` stands for any characters."),
    ]


class PipedriveSettings(Section):
    """How Pipedrive is reached."""

    api_url: Annotated[HttpUrl, Field(description="The API for API tokens; another one only in tests.")] = HttpUrl(
        "https://api.pipedrive.com"
    )
    oauth_url: Annotated[HttpUrl, Field(description="The OAuth2 server; another one only in tests.")] = HttpUrl(
        "https://oauth.pipedrive.com"
    )
    allowed_api_domains: Annotated[
        tuple[str, ...],
        Field(
            description="Patterns, one of which an `api_domain` that Pipedrive names must match; others only in tests."
        ),
    ] = ("https://*.pipedrive.com",)
    proxy: Annotated[HttpUrl | None, Field(description="An HTTP proxy; none is taken from the environment.")] = None
    ca_file: Annotated[Path | None, Field(description="CA certificates, where a proxy presents its own.")] = None
    timeout: Annotated[
        PositiveDuration, Field(le=timedelta(minutes=2), description="How long an answer may take, 2m at most.")
    ] = timedelta(seconds=15)
    requests_per_second: Annotated[
        float, Field(gt=0, description="How often Pipedrive is asked who a token is, over all credentials.")
    ] = 50
    apps: Annotated[
        dict[Name, AppSettings], Field(description="OAuth2 clients by the name that `spec.oauth2.client.app` uses.")
    ] = {}


class KubernetesSettings(Section):
    """How the API server is reached: as a pod, or by a kubeconfig."""

    kubeconfig: Annotated[
        Path | None, Field(description="A kubeconfig; without it the pod's ServiceAccount is used.")
    ] = None
    context: Annotated[str | None, Field(description="The kubeconfig's context; its current one by default.")] = None
    cluster_name: Annotated[
        Name | None, Field(description="What `{cluster}` stands for in pathPrefixes, where clusters share a Vault.")
    ] = None
    namespaces: Annotated[tuple[Name, ...], Field(description="The namespaces to watch; all when empty.")] = ()
    operator_namespace: Annotated[
        Name | None, Field(description="Where the Lease and the escrow are; the pod's namespace by default.")
    ] = None
    timeout: Annotated[PositiveDuration, Field(description="How long an answer may take.")] = timedelta(seconds=20)


class ControllerSettings(Section):
    """How often things are looked at, and how many at once."""

    workers: Annotated[int, Field(ge=1, le=1000, description="How many credentials are worked on at once.")] = 20
    poll_interval: Annotated[
        PositiveDuration, Field(description="How often Vault is read, to find what a person changed there.")
    ] = timedelta(minutes=5)
    verify_interval: Annotated[
        PositiveDuration, Field(description="How often Pipedrive is asked whether a value is still accepted.")
    ] = timedelta(hours=1)
    resync_interval: Annotated[
        PositiveDuration, Field(description="How often everything is listed, to find what the watches missed.")
    ] = timedelta(minutes=10)


class RolloutSettings(Section):
    """Whether credentials may restart workloads, which takes the right to patch them."""

    enabled: Annotated[
        bool, Field(description="Without it `spec.rollout` of a credential is not carried out, and that is told.")
    ] = False
    min_interval: Annotated[
        PositiveDuration, Field(description="The least time between two restarts of a workload.")
    ] = timedelta(minutes=10)


class LeaderElectionSettings(Section):
    """Which of several replicas acts."""

    enabled: Annotated[
        bool, Field(description="Without it there must be one replica, and its updates leave a gap.")
    ] = True
    lease_name: Annotated[Name, Field(description="The Lease, in the operator's namespace.")] = "pipedrive-operator"
    lease_duration: Annotated[
        Duration,
        Field(ge=timedelta(seconds=15), description="After how long another replica takes over from a dead one."),
    ] = timedelta(seconds=30)


class LogFormat(StrEnum):
    """How log lines are written."""

    JSON = "json"
    CONSOLE = "console"


class LogLevel(StrEnum):
    """How much is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogSettings(Section):
    """The log, on standard output."""

    format: Annotated[LogFormat, Field(description="`json`, or `console` for people.")] = LogFormat.JSON
    level: Annotated[LogLevel, Field(description="`debug`, `info`, `warning` or `error`.")] = LogLevel.INFO


class HttpSettings(Section):
    """The endpoint for probes and metrics."""

    address: Annotated[str, Field(description="Where to listen; the default is all of the pod's addresses.")] = (
        "0.0.0.0"  # noqa: S104  in a pod, the kubelet comes from outside
    )
    port: Annotated[int, Field(ge=0, le=65535, description="The port; 0 for a free one.")] = 8080


class Settings(BaseSettings):
    """All settings."""

    model_config = SettingsConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)
    pipedrive: PipedriveSettings = PipedriveSettings()
    vault: VaultSettings = VaultSettings()
    kubernetes: KubernetesSettings = KubernetesSettings()
    controller: ControllerSettings = ControllerSettings()
    rollout: RolloutSettings = RolloutSettings()
    leader_election: LeaderElectionSettings = LeaderElectionSettings()
    log: LogSettings = LogSettings()
    http: HttpSettings = HttpSettings()

    @model_validator(mode="after")
    def _cluster_has_a_name(self) -> Self:
        for name, connection in self.vault.connections.items():
            if self.kubernetes.cluster_name is None and any("{cluster}" in one for one in connection.path_prefixes):
                message = f"kubernetes.clusterName is needed with {{cluster}} in vault.connections.{name}.pathPrefixes"
                raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _lease_outlasts_a_call(self) -> Self:
        if self.leader_election.enabled and self.leader_election.lease_duration < 1.5 * self.pipedrive.timeout:
            raise ValueError("leaderElection.leaseDuration must be one and a half times pipedrive.timeout at least")
        return self


def load_settings(config: Path | None) -> Settings:
    """Read the settings from a YAML file, if there is one, and the environment.

    Raises:
        SettingsError: something is wrong with them; all of it is named.
    """
    environment = EnvSettingsSource(Settings, env_prefix=ENVIRONMENT_PREFIX, env_nested_delimiter="__")
    try:
        found = _merged(_file(config), _camel(environment()))
        settings = Settings.model_validate(found)
    except ValidationError as error:
        raise SettingsError("\n".join(_explained(detail) for detail in error.errors())) from None
    unknown = sorted(_unknown_variables(os.environ))
    if unknown:
        known = ", ".join(f"{ENVIRONMENT_PREFIX}{section.upper()}__..." for section in Settings.model_fields)
        message = f"{', '.join(unknown)}: no such setting; the variables are {known}"
        raise SettingsError(message)
    return settings


def _file(config: Path | None) -> dict[str, Any]:
    if config is None:
        return {}
    try:
        config.open().close()  # the source passes over a file that is not there
        found = YamlConfigSettingsSource(Settings, yaml_file=config)()
    except FileNotFoundError:
        message = f"{config} does not exist: name another file with --config"
        raise SettingsError(message) from None
    except (OSError, yaml.YAMLError, ValueError, TypeError) as error:
        message = f"{config} cannot be read as YAML: {error}"
        raise SettingsError(message) from error
    return found


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one tree of settings over another."""
    merged = dict(below)
    for key, value in above.items():
        held = merged.get(key)
        both = isinstance(held, Mapping) and isinstance(value, Mapping)
        merged[key] = _merged(held, value) if both else value  # type: ignore[arg-type]  # both are mappings then
    return merged


def _camel(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Write the names of environment variables as the file has them."""
    return {to_camel(key): _camel(value) if isinstance(value, Mapping) else value for key, value in tree.items()}


def _unknown_variables(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield our variables whose section does not exist; an unknown field of a section is found by validation."""
    for name in environment:
        rest = name.removeprefix(ENVIRONMENT_PREFIX)
        if (
            rest != name
            and not _SERVICE_LINK.fullmatch(rest)
            and rest.split("__")[0].lower() not in Settings.model_fields
        ):
            yield name


def _explained(detail: ErrorDetails) -> str:
    path = ".".join(str(part) for part in detail["loc"])
    if detail["type"] != "extra_forbidden":
        sentence = detail["msg"].removeprefix("Value error, ")
        return f"{path}: {sentence}" if path else sentence
    wrong = str(detail["loc"][-1])
    near = difflib.get_close_matches(wrong, _names_beside(detail["loc"]), n=1)
    return f"{path}: no such setting" + (f"; did you mean {near[0]}?" if near else "")


def _names_beside(location: tuple[int | str, ...]) -> list[str]:
    """Return the names that could stand where a wrong one stands, going down the schema by its location."""
    fields = Settings.model_json_schema(by_alias=True)
    node: dict[str, Any] = fields
    for part in location[:-1]:
        entries = [node.get("additionalProperties"), *node.get("patternProperties", {}).values()]
        inner: dict[str, Any] = node.get("properties", {}).get(part) or next((one for one in entries if one), {})
        reference = inner.get("$ref")
        node = fields["$defs"][reference.rsplit("/", 1)[-1]] if reference else inner
    return list(node.get("properties", {}))
