"""Make the message tables of Kubernetes' protobuf encoding, and the table of fields that Go always writes.

Reads the field numbers and types of generated.proto files and the JSON names of Go struct tags from the public modules
k8s.io/api, k8s.io/apimachinery, k8s.io/apiextensions-apiserver and k8s.io/kube-aggregator, which `go mod download` gets.
Only facts (numbers, names, types) are taken. Run it again for another release:

    python tools/make_messages.py v0.32.3
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent
MESSAGES = ROOT / "src/fairlead/faces/kube/messages.json"
STRUCTS = ROOT / "src/fairlead/keep/structs.py"

MODULES = ("api", "apimachinery", "apiextensions-apiserver", "kube-aggregator")
PACKAGES = {
    "apimachinery": ("pkg/apis/meta/v1", "pkg/api/resource", "pkg/util/intstr", "pkg/runtime"),
    "apiextensions-apiserver": ("pkg/apis/apiextensions/v1",),
    "kube-aggregator": ("pkg/apis/apiregistration/v1",),
    "api": (
        "admissionregistration/v1",
        "apps/v1",
        "authentication/v1",
        "authorization/v1",
        "autoscaling/v1",
        "autoscaling/v2",
        "batch/v1",
        "certificates/v1",
        "coordination/v1",
        "core/v1",
        "discovery/v1",
        "events/v1",
        "flowcontrol/v1",
        "networking/v1",
        "node/v1",
        "policy/v1",
        "rbac/v1",
        "scheduling/v1",
        "storage/v1",
    ),
}
SCALARS = {
    "string": "s",
    "bytes": "y",
    "bool": "b",
    "int32": "i",
    "int64": "i",
    "uint32": "i",
    "uint64": "i",
    "double": "d",
}
SPECIAL = frozenset(
    {
        "meta.v1.Time",
        "meta.v1.MicroTime",
        "meta.v1.Duration",
        "meta.v1.FieldsV1",
        "resource.Quantity",
        "intstr.IntOrString",
        "runtime.RawExtension",
        "runtime.Unknown",
        "apiextensions.v1.JSON",
    }
)
"""Messages whose JSON is not an object; the decoder knows them by name."""

ZERO: dict[str, object] = {
    "meta.v1.Time": None,
    "meta.v1.MicroTime": None,
    "resource.Quantity": "0",
    "intstr.IntOrString": 0,
    "runtime.RawExtension": None,
}
"""What Go writes for the zero value of a struct that is no object in JSON."""

_MESSAGE = re.compile(r"^message (\w+) \{(.*?)^\}", re.MULTILINE | re.DOTALL)
_FIELD = re.compile(
    r"^\s*(?:(optional|required|repeated)\s+)?(map<\s*string\s*,\s*([\w.]+)\s*>|[\w.]+)\s+(\w+)\s*=\s*(\d+);",
    re.MULTILINE,
)
_STRUCT = re.compile(r"^type (\w+) struct \{(.*?)^\}", re.MULTILINE | re.DOTALL)
_TAG = re.compile(r"^\s*([^`/]+?)\s*`([^`]*)`", re.MULTILINE)
_GROUP = re.compile(r'^const GroupName = "([^"]*)"', re.MULTILINE)


@dataclass(frozen=True)
class Tag:
    """What Go says of a field: its JSON name, and whether it is inlined, left out when empty, a pointer."""

    name: str
    inline: bool
    omit: bool
    pointer: bool
    plain: bool


@dataclass
class Package:
    """One Go package with its messages and the tags of its structs by field number."""

    name: str
    group: str
    messages: dict[str, list[tuple[int, str, str, bool, bool]]] = field(default_factory=dict)
    tags: dict[str, dict[int, Tag]] = field(default_factory=dict)
    kinds: set[str] = field(default_factory=set)


def download(version: str) -> dict[str, Path]:
    """Return where each module's source lies."""
    found = {}
    with tempfile.TemporaryDirectory() as directory:
        for module in MODULES:
            out = subprocess.run(
                ["go", "mod", "download", "-json", f"k8s.io/{module}@{version}"],
                check=True,
                capture_output=True,
                cwd=directory,
            )
            found[module] = Path(json.loads(out.stdout)["Dir"])
    return found


def short(name: str, package: str) -> str:
    """Return `core.v1.Pod` for a message's name as a proto file gives it."""
    if "." not in name:
        return f"{package}.{name}"
    name = name.removeprefix(".").removeprefix("k8s.io.")
    for prefix in (
        "api.",
        "apimachinery.pkg.apis.",
        "apimachinery.pkg.api.",
        "apimachinery.pkg.util.",
        "apimachinery.pkg.",
        "apiextensions_apiserver.pkg.apis.",
        "kube_aggregator.pkg.apis.",
    ):
        if name.startswith(prefix):
            return name.removeprefix(prefix)
    raise ValueError(f"a message of an unknown package: {name}")


def read(directory: Path) -> Package:
    """Read one package."""
    parts = directory.parts
    version = re.fullmatch(r"v\d\w*", parts[-1])
    package = Package(".".join(parts[-2:]) if version else parts[-1], "")
    proto = re.sub(r"//[^\n]*", "", (directory / "generated.proto").read_text())
    for name, body in _MESSAGE.findall(proto):
        package.messages[name] = [
            (
                int(number),
                value or kind,
                short(value or kind, package.name) if (value or kind) not in SCALARS else "",
                label == "repeated",
                bool(value),
            )
            for label, kind, value, _, number in _FIELD.findall(body)
        ]
    for path in sorted(directory.glob("*.go")):
        if path.name.startswith(("zz_", "generated")) or path.name.endswith("_test.go"):
            continue
        text = path.read_text()
        group = _GROUP.search(text)
        if group:
            package.group = group[1]
        for name, body in _STRUCT.findall(text):
            tags = dict(_tags(body))
            if name in package.messages:
                package.tags[name] = tags
            if re.search(r"^\s*(?:metav1\.)?TypeMeta\s+`", body, re.MULTILINE):
                package.kinds.add(name)
    return package


def _tags(body: str) -> Iterator[tuple[int, Tag]]:
    for declaration, text in _TAG.findall(body):
        described = re.search(r'json:"([^"]*)"', text)
        numbered = re.search(r'protobuf:"(\w+),(\d+)', text)
        if numbered is None:
            continue
        name, *options = (described[1] if described else "").split(",")
        type_ = declaration.split()[-1]
        yield (
            int(numbered[2]),
            Tag(
                name,
                "inline" in options or (described is not None and not name),
                "omitempty" in options,
                type_.startswith("*"),
                not type_.startswith(("*", "[", "map")),
            ),
        )


def fields(package: Package, name: str) -> list[list[object]]:
    """Return the rows of a message's table: number, JSON name, code and, for messages, which."""
    rows: list[list[object]] = []
    if f"{package.name}.{name}" in SPECIAL:
        return rows
    for number, kind, reference, repeated, mapped in package.messages[name]:
        tag = package.tags.get(name, {}).get(number)
        if tag is None:
            if not package.tags.get(name):
                continue
            raise ValueError(f"{package.name}.{name} has a field {number} without a tag")
        code = SCALARS.get(kind, "m")
        if repeated:
            code += "*"
        if mapped:
            code += "%"
        if tag.inline:
            code += ">"
        if tag.omit and tag.plain and code in {"s", "i", "b", "d"}:
            code += "0"
        rows.append([number, tag.name, code, *([reference] if reference else [])])
    return rows


def values(package: Package, name: str, packages: dict[str, Package]) -> dict[str, object]:
    """Return what Go writes for a struct's fields that are there even when nobody set them, by JSON name."""
    found: dict[str, object] = {}
    for number, kind, reference, repeated, mapped in package.messages[name]:
        tag = package.tags.get(name, {}).get(number)
        if tag is None:
            continue
        owner, _, bare = reference.rpartition(".")
        if tag.inline:
            found |= values(packages[owner], bare, packages)
        elif repeated or mapped or not tag.plain:
            if not tag.omit:
                found[tag.name] = None
        elif reference:
            if reference in ZERO:
                found[tag.name] = ZERO[reference]
            elif bare in packages[owner].tags:
                found[tag.name] = {}
        elif not tag.omit:
            found[tag.name] = {"s": "", "i": 0, "b": False, "d": 0}.get(SCALARS[kind])
    return {key: value for key, value in sorted(found.items()) if key}


def main(version: str) -> None:
    """Write both tables."""
    places = download(version)
    packages = {}
    for module, directories in PACKAGES.items():
        for directory in directories:
            package = read(places[module] / directory)
            packages[package.name] = package
    kinds = {
        f"{package.group}/{package.name.rpartition('.')[2]}/{kind}": f"{package.name}.{kind}"
        for package in packages.values()
        for kind in package.kinds
        if kind in package.messages and package.name not in {"meta.v1", "runtime"}
    }
    kinds |= {f"//{kind}": f"meta.v1.{kind}" for kind in packages["meta.v1"].kinds}
    messages = {
        f"{package.name}.{name}": rows
        for package in packages.values()
        for name in package.messages
        if (rows := fields(package, name)) or f"{package.name}.{name}" not in SPECIAL
    }
    lines = [
        f"{json.dumps(name)}:{json.dumps(messages[name], separators=(',', ':'))}" for name in sorted(messages)
    ]
    MESSAGES.write_text(
        '{"kinds":'
        + json.dumps(dict(sorted(kinds.items())), separators=(",", ":"))
        + ',\n"messages":{\n'
        + ",\n".join(lines)
        + "\n}}\n"
    )
    present: dict[str, dict[str, object]] = {}
    for package in packages.values():
        for name in package.messages:
            present.setdefault(name, {}).update(values(package, name, packages))
    lines = [
        f"    {json.dumps(name)}: {' '.join(f'{key}={json.dumps(value)}' for key, value in sorted(found.items()))!r},\n"
        for name, found in sorted(present.items())
        if found and not name.endswith("List")
    ]
    text = STRUCTS.read_text()
    start = text.index("_PRESENT: Mapping")
    end = text.index("\n\nPRESENT: ")
    STRUCTS.write_text(f"{text[:start]}_PRESENT: Mapping[str, str] = {{\n{''.join(lines)}}}{text[end:]}")


if __name__ == "__main__":
    main(sys.argv[1])
