"""Checks the chart with tools that need no cluster, and with kubeconform against the schemas of a real one."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipedrive_operator.config.loading import load_settings
from support.chart import CHART, MATRIX
from support.tenant import eventually
from testbed.control_plane import ControlPlane
from testbed.helm import Helm
from testbed.kubectl import KubectlError
from testbed.kubernetes_schemas import LOCATION, write_schemas

Manifest = dict[str, Any]
Render = Callable[..., list[Manifest]]


@pytest.mark.parametrize("values", MATRIX, ids=lambda path: path.stem)
def test_helm_lint_finds_nothing(helm: Helm, values: Path) -> None:
    """There is not even a warning."""
    assert "0 chart(s) failed" in helm("lint", "--strict", str(CHART), f"--values={values}")


def test_the_chart_suites_pass(programs: dict[str, Path]) -> None:
    """They test every template, with the engine of Helm 3, which helm-unittest contains."""
    done = subprocess.run((programs["helm-unittest"], CHART), capture_output=True, text=True, check=False)

    assert (0, "") == (done.returncode, done.stderr), done.stdout


@pytest.fixture(scope="session")
def schemas(control_plane: ControlPlane, render: Render, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the schemas of all kinds that the chart can create."""
    folder = tmp_path_factory.mktemp("schemas")
    versions = {one["apiVersion"] for values in MATRIX for one in render(f"--values={values}")}

    def written() -> bool:
        """Write the schemas once those of kinds that were installed a moment ago are served."""
        try:
            write_schemas(control_plane, versions, folder)
        except KubectlError:
            return False
        return True

    eventually(written)
    return folder


def kubeconform(programs: dict[str, Path], schemas: Path, manifests: list[Manifest]) -> str:
    """Return what kubeconform reports."""
    command = (programs["kubeconform"], "-schema-location", f"{schemas}/{LOCATION}")
    text = yaml.safe_dump_all(manifests)
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False).stdout


@pytest.mark.parametrize("values", MATRIX, ids=lambda path: path.stem)
def test_kubeconform_finds_nothing(programs: dict[str, Path], schemas: Path, render: Render, values: Path) -> None:
    """It uses the API server's own schemas, and refuses unknown fields."""
    assert "" == kubeconform(programs, schemas, render(f"--values={values}"))


def test_kubeconform_finds_a_misspelt_field(programs: dict[str, Path], schemas: Path, render: Render) -> None:
    """This proves that the test above can fail."""
    manifests = render()
    deployment = next(one for one in manifests if one["kind"] == "Deployment")
    deployment["spec"]["template"]["spec"]["serviceAcountName"] = "x"

    assert "serviceAcountName" in kubeconform(programs, schemas, manifests)


@pytest.mark.parametrize("values", MATRIX, ids=lambda path: path.stem)
def test_the_operator_accepts_its_settings(render: Render, values: Path, tmp_path: Path) -> None:
    """The file is read as it is mounted."""
    (config,) = (
        one
        for one in render(f"--values={values}")
        if one["kind"] == "ConfigMap" and not one["metadata"]["name"].endswith(("-dashboard", "-consent"))
    )
    path = tmp_path / "settings.yaml"
    path.write_text(config["data"]["settings.yaml"])

    settings = load_settings(path)

    assert "default" in settings.vault.connections
    assert settings.kubernetes.kubeconfig is None
    assert settings.kubernetes.operator_namespace is None


@pytest.mark.parametrize("tls", ["", "mine"], ids=["plain", "TLS"])
def test_the_front_takes_its_settings(render: Render, tmp_path: Path, tls: str) -> None:
    """The file is read as it is mounted, and says nothing about Vault."""
    url = "consent.enabled=true,consent.publicUrl=https://connect.example.com/x/"
    manifests = render(f"--set={url},consent.tls.secretName={tls}", "--set=config.consent.requestsPerSecond=7")
    (config,) = (
        one for one in manifests if one["kind"] == "ConfigMap" and one["metadata"]["name"].endswith("-consent")
    )
    path = tmp_path / "settings.yaml"
    path.write_text(config["data"]["settings.yaml"])

    settings = load_settings(path)

    assert "https://connect.example.com/x" == settings.consent.public_address
    assert (7, bool(tls)) == (settings.consent.requests_per_second, settings.consent.tls is not None)
    assert {} == settings.vault.connections


def test_only_a_changed_setting_restarts_the_pods(render: Render) -> None:
    """The pods carry a digest of their settings."""

    def pods(*arguments: str) -> Manifest:
        deployment = next(one for one in render(*arguments) if one["kind"] == "Deployment")
        template: Manifest = deployment["spec"]["template"]
        return template

    assert pods() == pods("--set=prometheusRule.enabled=true")
    assert pods() != pods("--set=config.log.level=debug")


def test_the_alerts_are_those_of_the_rules_file(render: Render) -> None:
    """The Prometheus templates in them are unchanged."""
    rule = next(one for one in render("--set=prometheusRule.enabled=true") if one["kind"] == "PrometheusRule")

    assert rule["spec"] == yaml.safe_load((CHART / "rules" / "alerts.yaml").read_text())


def test_an_alert_can_be_disabled(render: Render) -> None:
    """The values name it."""
    (first, *_) = (
        one
        for group in yaml.safe_load((CHART / "rules" / "alerts.yaml").read_text())["groups"]
        for one in group["rules"]
    )
    rule = next(
        one
        for one in render("--set=prometheusRule.enabled=true", f"--set=prometheusRule.disabled.{first['alert']}=true")
        if one["kind"] == "PrometheusRule"
    )

    assert first["alert"] not in {one.get("alert") for group in rule["spec"]["groups"] for one in group["rules"]}
    assert rule["spec"]["groups"]
