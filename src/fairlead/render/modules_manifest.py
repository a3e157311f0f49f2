"""`module.yaml`: what a native module is called, which version it is, where it runs, and what it loads from other packages.

Reads the manifest and says all that is wrong with it at once. Must never look at the module's code.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from fairlead.render.building_texts import nearest
from fairlead.render.packages import Mistake, Mistaken
from fairlead.tongues import paths, yamls
from fairlead.tongues.paths import Path
from fairlead.words import Where

MANIFEST: Final = "module.yaml"
API_VERSION: Final = "fairlead.dev/v1alpha1"

_SEMVER: Final = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?(?:\+[0-9A-Za-z.-]+)?",
    re.ASCII,
)
_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_VERSION: Final = re.compile(r"v?(\d+)\.(\d+)", re.ASCII)
_RANGE: Final = re.compile(r"\s*(>=|<=|>|<|=|==)?\s*v?(\d+)\.(\d+)(?:\.(\d+|x))?\s*", re.ASCII)
_FIELDS: Final = {
    "": ("apiVersion", "kind", "metadata", "spec"),
    "metadata": ("name", "annotations", "labels"),
    "spec": ("version", "description", "kubernetes", "library", "dependencies", "home", "sources", "icon", "keywords", "license", "maintainers"),
    "dependencies": ("name", "source", "version", "digest"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Dependency:
    """A package of Starlark files that a module loads from: by which name, and where it is fetched from."""

    name: str
    source: str
    version: str = ""
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What `module.yaml` says."""

    name: str
    version: str
    description: str = ""
    kubernetes: str = ""
    library: bool = False
    dependencies: tuple[Dependency, ...] = ()


def read(files: Mapping[str, bytes], prefix: str = "") -> Manifest:
    """Read a module's manifest. Raises Mistaken with all that is wrong with it."""
    data = files.get(MANIFEST)
    where = f"{prefix}{MANIFEST}"
    if data is None:
        raise Mistaken(Mistake(f"the module has no {MANIFEST}", Where(where)))
    try:
        document = yamls.load(data.decode())
    except (yamls.BadYaml, UnicodeDecodeError) as error:
        raise Mistaken(Mistake(f"the manifest is no YAML: {error}", Where(where))) from None
    reader = _Reading(where, data.decode())
    top = reader.mapping(document, "", _FIELDS[""])
    for field_, want in (("apiVersion", API_VERSION), ("kind", "Module")):
        if top.get(field_) != want:
            reader.note(f'must be "{want}", is {_shown(top.get(field_))}', f".{field_}")
    meta = reader.mapping(top.get("metadata"), ".metadata", _FIELDS["metadata"])
    spec = reader.mapping(top.get("spec"), ".spec", _FIELDS["spec"])
    name = meta.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        reader.note(
            f"must be at most 63 lowercase letters, digits and -, is {_shown(name)}", ".metadata.name"
        )
    version = spec.get("version")
    if not isinstance(version, str) or not _SEMVER.fullmatch(version):
        reader.note(f"must be a version such as 1.2.3, is {_shown(version)}", ".spec.version")
    allowed = spec.get("kubernetes", "")
    if not isinstance(allowed, str) or (allowed and _bounds(allowed) is None):
        reader.note(f'must be a range such as ">=1.28", is {_shown(allowed)}', ".spec.kubernetes")
    library = spec.get("library", False)
    if not isinstance(library, bool):
        reader.note(f"must be true or false, is {_shown(library)}", ".spec.library")
    dependencies: list[Dependency] = []
    listed = spec.get("dependencies") or []
    if not isinstance(listed, list):
        reader.note(f"must be a list, is {_shown(listed)}", ".spec.dependencies")
        listed = []
    for index, item in enumerate(listed):
        at = f".spec.dependencies[{index}]"
        one = reader.mapping(item, at, _FIELDS["dependencies"])
        texts = {key: one.get(key, "") for key in _FIELDS["dependencies"]}
        for key, value in texts.items():
            if not isinstance(value, str):
                reader.note(f"must be a text, is {_shown(value)}", f"{at}.{key}", "write it in quotes")
        own = texts["name"]
        if isinstance(own, str) and (not _NAME.fullmatch(own) or own in {"kubernetes", "crd", "fairlead"}):
            reader.note(f"must be a name of its own, is {_shown(own)}", f"{at}.name")
        elif any(own == known.name for known in dependencies):
            reader.note(f"two dependencies are named {_shown(own)}", f"{at}.name")
        if not texts["source"]:
            reader.note("a dependency needs a source", f"{at}.source", "write oci://...")
        dependencies.append(Dependency(**texts))
    if reader.mistakes:
        raise Mistaken(*reader.mistakes)
    return Manifest(
        str(name), str(version), str(spec.get("description") or ""), allowed, library, tuple(dependencies)
    )


@dataclass(slots=True)
class _Reading:
    """Collects what is wrong with a manifest."""

    file: str
    text: str
    mistakes: list[Mistake] = field(default_factory=list)

    def note(self, message: str, path: str, hint: str = "") -> None:
        """Note a mistake at a path."""
        line, column = _place(self.text, paths.parse(path) or ())
        lines = self.text.splitlines()
        excerpt = lines[line - 1] if 0 < line <= len(lines) else ""
        self.mistakes.append(Mistake(message, Where(self.file, line, path), column, excerpt, hint))

    def mapping(self, value: Any, path: str, fields: Sequence[str]) -> Mapping[str, Any]:
        """Return a mapping that has no other fields than these."""
        if not isinstance(value, dict):
            self.note(f"must be a mapping, is {_shown(value)}", path)
            return {}
        for key in value:
            if key not in fields:
                near = nearest(str(key), fields)
                self.note("there is no such field", f"{path}.{key}", f"did you mean {near}?" if near else "")
        return value


def _place(text: str, path: Path) -> tuple[int, int]:
    """Return line and column of what is at a path of the manifest, or of what is nearest above it; read once more, for a mistake."""
    node: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    line, column = 0, 0
    for step in path:
        if isinstance(node, yaml.MappingNode):
            entry = next((pair for pair in node.value if pair[0].value == step), None)
            if entry is None:
                break
            mark, node = entry[0].start_mark, entry[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            mark = node.start_mark
        else:
            break
        line, column = mark.line + 1, mark.column + 1
    return line, column


def _shown(value: Any) -> str:
    if value is None or value == "":
        return "missing" if value is None else "empty"
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    return f'"{value}"' if isinstance(value, str) else str(value)


def _bounds(text: str) -> list[tuple[str, tuple[int, int]]] | None:
    """Return the conditions of a range of versions: `>=1.28 <1.33`, `>=1.28, <1.33`; None for what is none."""
    out = []
    for part in re.sub(r"(?<=\d)\s+(?=[<>=])", ",", text).split(","):
        found = _RANGE.fullmatch(part)
        if found is None:
            return None
        out.append((found[1] or "=", (int(found[2]), int(found[3]))))
    return out


def runs_on(wanted: Manifest, version: str, file: str) -> None:
    """Refuse a cluster that the module does not run on."""
    major, minor = version_of(version)
    for sign, bound in _bounds(wanted.kubernetes) or () if wanted.kubernetes else ():
        have = (major, minor)
        fine = {
            ">=": have >= bound,
            ">": have > bound,
            "<=": have <= bound,
            "<": have < bound,
            "=": have == bound,
            "==": have == bound,
        }[sign]
        if not fine:
            raise Mistaken(
                Mistake(
                    f"the module wants Kubernetes {wanted.kubernetes}, the cluster is {version}",
                    Where(file, 0, ".spec.kubernetes"),
                )
            )


def version_of(text: str) -> tuple[int, int]:
    """Return major and minor of a version such as `v1.32.0`; zeros for what is none."""
    found = _VERSION.match(text)
    return (int(found[1]), int(found[2])) if found else (0, 0)
