"""Generates the parts of the chart's JSON schema that follow from other sources.

`config` comes from the settings models, and descriptions come from values.yaml. The rest is written by hand. The schema
is draft 7, which Helm 3, Helm 4 and editors support.
"""

import json
from typing import Any

from generated.chart_values import CHART, values
from pipedrive_operator.config.settings import Settings

Json = dict[str, Any]

PATH = CHART / "values.schema.json"
CHART_DECIDES = {
    "KubernetesSettings": ("kubeconfig", "context", "namespaces", "operatorNamespace"),
    "ConsentSettings": ("enabled", "publicUrl", "operatorUrl", "address", "port", "tls"),
}
"""Settings that the chart sets itself: they follow from running in a pod, `watchNamespaces` and `consent`."""
CHART_NEEDS = {("HttpSettings", "port"): {"minimum": 1}}
"""Stricter rules for settings in a chart: the probes need a known port."""
_DROPPED = ("title", "x-sentence")


def text() -> str:
    """Return the schema with `config` and the descriptions up to date."""
    schema = json.loads(PATH.read_text())
    settings = _clean(
        Settings.model_json_schema(by_alias=True, mode="serialization", ref_template="#/definitions/{model}")
    )
    schema["definitions"] = _for_the_chart(settings.pop("$defs"))
    schema["properties"]["config"] = settings | {"description": "The operator's settings file."}
    for value in values():
        _describe(schema, value.path, value.description)
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _clean(node: Any) -> Any:
    """Drop keys that mean nothing to a chart's user, and reject map keys that do not match their pattern."""
    if isinstance(node, list):
        return [_clean(item) for item in node]
    if not isinstance(node, dict):
        return node
    kept = {key: _clean(value) for key, value in node.items() if key not in _DROPPED or isinstance(value, dict)}
    return kept | {"additionalProperties": False} if "patternProperties" in kept else kept


def _for_the_chart(definitions: Json) -> Json:
    for section, fields in CHART_DECIDES.items():
        for field in fields:
            del definitions[section]["properties"][field]
    for (section, field), rule in CHART_NEEDS.items():
        definitions[section]["properties"][field] |= rule
    return definitions


def _describe(schema: Json, path: tuple[str, ...], description: str) -> None:
    """Set a value's description, which editors show. Settings already have theirs."""
    if path[0] == "config":
        return
    node = schema
    for key in path:
        node = node["properties"][key]
    node["description"] = description
