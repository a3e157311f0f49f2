"""Charts as their files have them: metadata, values, templates, other files, and the charts inside, unpacked or as archives.

The texts of errors are Helm's. Must never take a file that the chart has twice the same way, nor look outside the package.
Source: helm.sh/helm/v3/pkg/chart and pkg/chart/loader.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from fairlead.dialects.helm.archives import BadArchive, unpack
from fairlead.tongues import yamls
from fairlead.tongues.gotemplate import GoError, semvers
from fairlead.tongues.gotemplate.collecting import deep_copy
from fairlead.tongues.gotemplate.encoding import as_go, read_yaml
from fairlead.tongues.gotemplate.printing import float_text, quoted

DEEPEST: Final = 12
"""How deep charts may lie inside charts."""
TEXTS: Final = [
    "name",
    "home",
    "version",
    "description",
    "icon",
    "apiVersion",
    "condition",
    "tags",
    "appVersion",
    "kubeVersion",
    "type",
]
"""The fields of Chart.yaml that are texts; numbers there become texts."""
FIELDS: Final = frozenset(
    {*TEXTS, "sources", "keywords", "maintainers", "deprecated", "annotations", "dependencies", "engine"}
)
_ALIAS = re.compile(r"[a-zA-Z0-9_-]+\Z")


class BadChart(Exception):
    """The files are no chart; `file` is the one that is wrong, where it is known."""

    def __init__(self, message: str, file: str = "", line: int = 0) -> None:
        super().__init__(message)
        self.file, self.line = file, line


@dataclass(slots=True)
class Dependency:
    """A chart that a chart wants to have inside. `name` becomes the alias once charts were looked up."""

    name: str
    version: str = ""
    repository: str = ""
    condition: str = ""
    tags: list[str] = field(default_factory=list)
    imports: list[Any] = field(default_factory=list)
    alias: str = ""
    enabled: bool = False


@dataclass(slots=True, eq=False)
class Chart:
    """A chart and those inside it. What it was loaded from is shared; `values` and the lists are its own."""

    metadata: dict[str, Any]
    values: dict[str, Any] = field(default_factory=dict)
    schema: bytes | None = None
    templates: list[tuple[str, str]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    wanted: list[Dependency] = field(default_factory=list)
    locked: Mapping[str, str] = field(default_factory=dict)
    """Versions by name, from the lock file."""
    inside: list[Chart] = field(default_factory=list)
    parent: Chart | None = None
    file_where: str = ""
    """Where its files lie in the package, for messages."""

    @property
    def name(self) -> str:
        """Its name, or the alias that a parent gave it."""
        return str(self.metadata["name"])

    @property
    def path(self) -> str:
        """Its place among charts: `shop/charts/cache`."""
        return self.name if self.parent is None else f"{self.parent.path}/charts/{self.name}"

    @property
    def library(self) -> bool:
        """Whether it has only definitions for others."""
        return str(self.metadata.get("type", "")).lower() == "library"

    def hold(self, charts: list[Chart]) -> None:
        """Have these charts inside, and no others."""
        self.inside = charts
        for chart in charts:
            chart.parent = self

    def clone(self, name: str) -> Chart:
        """Return the chart once more under another name, with the same charts inside."""
        made = Chart(
            {**self.metadata, "name": name},
            self.values,
            self.schema,
            self.templates,
            self.files,
            self.wanted,
            self.locked,
            self.inside,
            self.parent,
            self.file_where,
        )
        for chart in self.inside:
            chart.parent = made
        return made


def load(files: Mapping[str, bytes], where: str = "", depth: int = 0) -> Chart:
    """Return the chart that lies in these files. Raises BadChart."""
    if depth > DEEPEST:
        raise BadChart(f"charts inside charts, more than {DEEPEST} deep")
    if "Chart.yaml" not in files:
        raise BadChart("Chart.yaml file is missing")
    metadata = dict(_mapping(files["Chart.yaml"], f"{where}Chart.yaml", "cannot load Chart.yaml"))
    if "requirements.yaml" in files:
        metadata.update(
            _mapping(files["requirements.yaml"], f"{where}requirements.yaml", "cannot load requirements.yaml")
        )
    chart = Chart(_described(metadata, f"{where}Chart.yaml"), file_where=where)
    first_version = chart.metadata["apiVersion"] == "v1"
    packed: dict[str, dict[str, bytes]] = {}
    for name in sorted(files):
        data = files[name]
        match name:
            case "Chart.yaml" | "requirements.yaml" | "requirements.lock" | "Chart.lock":
                if name.endswith(".lock"):
                    chart.locked = _locked(data, f"{where}{name}", name)
                if name.startswith("requirements.") and first_version:
                    chart.files[name] = data
            case "values.yaml":
                chart.values = dict(_mapping(data, f"{where}{name}", "cannot load values.yaml"))
            case "values.schema.json":
                chart.schema = data
            case _ if name.startswith("templates/"):
                chart.templates.append(
                    (name, data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape"))
                )
            case _ if name.startswith("charts/") and not name.endswith(".prov"):
                inner, _, rest = name.removeprefix("charts/").partition("/")
                packed.setdefault(inner, {})[rest] = data
            case _:
                chart.files[name] = data
    chart.wanted = [_dependency(item) for item in chart.metadata.get("dependencies") or []]
    _validate(chart)
    chart.hold(
        [made for inner in sorted(packed) if (made := _inner(chart, inner, packed[inner], where, depth))]
    )
    return chart


def _inner(chart: Chart, name: str, files: Mapping[str, bytes], where: str, depth: int) -> Chart | None:
    if name[:1] in {"_", "."}:
        return None
    if name.endswith(".tgz") and "" not in files:
        raise BadChart(
            f"error unpacking subchart tar in {chart.name}: expected {name}, got {name}/{min(files)}"
        )
    try:
        if name.endswith(".tgz"):
            return load(unpack(files[""]), f"{where}charts/{name}/", depth + 1)
        folder = {path: data for path, data in files.items() if path}
        return load(folder, f"{where}charts/{name}/", depth + 1) if folder else None
    except (BadChart, BadArchive) as fault:
        raise BadChart(
            f"error unpacking subchart {name} in {chart.name}: {fault}",
            getattr(fault, "file", "") or f"{where}charts/{name}",
            getattr(fault, "line", 0),
        ) from None


def _mapping(data: bytes, file: str, trouble: str) -> dict[str, Any]:
    found, line, problem = _parsed(data)
    if problem:
        raise BadChart(f"{trouble}: error converting YAML to JSON: yaml: {problem}", file, line)
    if found is None:
        return {}
    if not isinstance(found, dict):
        sort = {str: "string", list: "array", bool: "bool"}.get(type(found), "number")
        raise BadChart(
            f"{trouble}: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {sort} "
            "into Go value of type map[string]interface {}",
            file,
        )
    copied: dict[str, Any] = deep_copy(found)
    return copied


@lru_cache(maxsize=256)
def _parsed(data: bytes) -> tuple[Any, int, str]:
    """The first document, with numbers as Helm has them; and where there is none, the line and what is wrong."""
    try:
        return as_go(read_yaml(data.removeprefix(b"\xef\xbb\xbf").decode())), 0, ""
    except yamls.BadYaml as fault:
        return None, fault.line, fault.message
    except UnicodeDecodeError:
        return None, 0, "invalid leading UTF-8 octet"
    except GoError as fault:
        return None, 0, str(fault)


def _textual(value: Any) -> Any:
    """A number or boolean where a text is wanted becomes one."""
    if value is None:
        return ""
    if type(value) is bool:
        return "true" if value else "false"
    return (
        float_text(value, "f")
        if type(value) is float and value.is_integer() and abs(value) < 1e21
        else (float_text(value) if type(value) is float else value)
    )


def _described(metadata: dict[str, Any], file: str) -> dict[str, Any]:
    """The metadata with the fields' own names and types."""
    known = {name.lower(): name for name in FIELDS}
    described: dict[str, Any] = {}
    for key, value in metadata.items():
        name = key if key in FIELDS else known.get(key.lower(), key)
        if name in TEXTS:
            text = _textual(value)
            if not isinstance(text, str):
                sort = "object" if isinstance(text, dict) else "array"
                raise BadChart(
                    "cannot load Chart.yaml: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal "
                    f"{sort} into Go struct field Metadata.{name} of type string",
                    file,
                )
            described[name] = "".join(" " if letter.isspace() else letter for letter in text)
        elif name == "annotations" and isinstance(value, dict):
            described[name] = {each: _textual(text) for each, text in value.items()}
        else:
            described[name] = value
    described["apiVersion"] = described.get("apiVersion") or "v1"
    return described


def _dependency(item: Any) -> Dependency:
    if not isinstance(item, dict):
        raise BadChart("validation: dependencies must not contain empty or null nodes")
    text = {
        key: str(_textual(item.get(key)) or "")
        for key in ("name", "version", "repository", "condition", "alias")
    }
    tags, imports = item.get("tags"), item.get("import-values")
    return Dependency(
        text["name"],
        text["version"],
        text["repository"],
        text["condition"],
        alias=text["alias"],
        tags=[str(_textual(tag)) for tag in tags] if isinstance(tags, list) else [],
        imports=imports if isinstance(imports, list) else [],
    )


def _validate(chart: Chart) -> None:
    metadata, file = chart.metadata, f"{chart.file_where}Chart.yaml"

    def wrong(message: str) -> BadChart:
        return BadChart(f"validation: {message}", file)

    name, version = metadata.get("name", ""), metadata.get("version", "")
    if not name:
        raise wrong("chart.metadata.name is required")
    if name in {".", ".."}:
        raise wrong(f"chart.metadata.name {quoted(name)} is not allowed")
    if "/" in name:
        raise wrong(f"chart.metadata.name {quoted(name)} is invalid")
    if not version:
        raise wrong("chart.metadata.version is required")
    try:
        semvers.parse(version)
    except GoError:
        raise wrong(f"chart.metadata.version {quoted(version)} is invalid") from None
    if metadata.get("type", "") not in {"", "application", "library"}:
        raise wrong("chart.metadata.type must be application or library")
    seen: set[str] = set()
    for wanted in chart.wanted:
        if wanted.alias and not _ALIAS.match(wanted.alias):
            raise wrong(f"dependency {quoted(wanted.name)} has disallowed characters in the alias")
        key = wanted.alias or wanted.name
        if key in seen:
            raise wrong(f"more than one dependency with name or alias {quoted(key)}")
        seen.add(key)


def _locked(data: bytes, file: str, name: str) -> dict[str, str]:
    found = _mapping(data, file, f"cannot load {name}")
    dependencies = found.get("dependencies")
    return {
        str(item.get("name")): str(_textual(item.get("version")) or "")
        for item in (dependencies if isinstance(dependencies, list) else [])
        if isinstance(item, dict)
    }
