"""The series of all credentials of one metric, kept as the text that Prometheus reads.

With the client library, thousands of credentials would take seconds to render at each scrape, and any client can ask
for one. Here a line is written when its value changes, and a scrape only joins the lines. Nothing is measured here.
"""

Labels = tuple[str, ...]


class Series:
    """A gauge with a series for each combination of labels. It may be rendered in any thread."""

    def __init__(self, name: str, help_: str, labels: Labels) -> None:
        """Start without series; the help text is a single line."""
        self._name = name
        self._head = f"# HELP {name} {help_}\n# TYPE {name} gauge\n"
        self._labels = labels
        self._lines: dict[Labels, str] = {}

    def set(self, value: float, *labels: str) -> None:
        """Set the value of a series."""
        pairs = sorted(zip(self._labels, labels, strict=True))
        written = ",".join(f'{label}="{_escaped(text)}"' for label, text in pairs)
        self._lines[labels] = f"{self._name}{{{written}}} {float(value)}\n"

    def remove(self, *labels: str) -> None:
        """Remove a series, if there is one."""
        self._lines.pop(labels, None)

    def clear(self) -> None:
        """Remove all series."""
        self._lines.clear()

    def render(self) -> bytes:
        """Return all series in Prometheus' text format."""
        return "".join([self._head, *self._lines.values()]).encode()


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
