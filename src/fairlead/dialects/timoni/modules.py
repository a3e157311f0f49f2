"""Timoni modules: what is asked of CUE to build one, and what its answer means.

A module is a CUE package `main` whose field `values` takes the user's values and whose field `timoni` has the instance and, under `apply`,
lists of objects that are applied one after another. `values.cue` has defaults; what the user gives is laid over them before anything is
built. The name, the namespace and the versions come in by tags.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from fairlead.render import overrides
from fairlead.render.evaluations import SUFFIXES, Evaluated, Evaluation, Merge, Overlay, Seek
from fairlead.render.packages import Context, Layer, Mistake, Mistaken, Package, Rendered, Stage
from fairlead.words import Finding, Ref, Resource, Severity, Where

from .checking import PATH as CHECKS
from .checking import checks
from .problems import mistaken

NAME: Final = "timoni.cue"
"""The file by which a Timoni module is known."""
VALUES: Final = "values.cue"
SCHEMA: Final = "timoni.schema.cue"
UNRELEASED: Final = "0.0.0-devel"
"""The version of a module that is in no registry."""

API_VERSION: Final = "timoni.apiVersion"
INSTANCE: Final = "timoni.instance"
CONFIG: Final = "timoni.instance.config"
APPLY: Final = "timoni.apply"

_SCHEMA: Final = b"""package main

#FairleadInstance: {
	apiVersion: string & =~"^v1alpha1$"
	instance: {...}
	apply: [string]: [...]
	healthChecks?: [string]: {
		group:       string
		kind?:       string
		...
	}
	kubeMinorVersion?: int
}

timoni: #FairleadInstance
"""
_MODULE: Final = re.compile(r'^\s*module:\s*"([^"@]+)', re.MULTILINE)
_MAIN: Final = re.compile(r"^\s*package[ \t]+main\b", re.MULTILINE)
_SEMVER: Final = re.compile(r"v?\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?\Z")
_IMAGE: Final = ("repository", "tag", "digest", "reference")
"""The fields by which a struct of the configuration is known to be an image."""
_MOST_DEEP: Final = 200


def module_name(files: Mapping[str, bytes]) -> str:
    """Return the name that `cue.mod/module.cue` gives a module, without its major version; "" when it gives none."""
    found = _MODULE.search(files.get("cue.mod/module.cue", b"").decode(errors="replace"))
    return found.group(1) if found else ""


def module_version(where: str) -> str:
    """Return the version of a module by where it came from: a registry's tag if it is one, or else that of what was never released."""
    address = where.partition("@")[0]
    tag = address.rpartition("/")[2].partition(":")[2] if address.startswith("oci://") else ""
    return tag if _SEMVER.match(tag) else UNRELEASED


def files_of(package: Package) -> dict[str, bytes]:
    """Return the files of the module itself, by their paths below its directory."""
    if not package.target:
        return dict(package.files)
    prefix = f"{package.target}/"
    return {path[len(prefix) :]: data for path, data in package.files.items() if path.startswith(prefix)}


def prepare(
    package: Package, values: Sequence[Layer], context: Context, seek: tuple[Seek, ...] = ()
) -> Evaluation:
    """Return what to ask of CUE to build a module with these values, and `seek` besides. Raises Mistaken for values that cannot be read."""
    files = files_of(package)
    if NAME not in files:
        raise Mistaken(Mistake(f"there is no {NAME}", Where(package.where), hint="a Timoni module has one"))
    if not _MAIN.search(files[NAME].decode(errors="replace")):
        raise Mistaken(
            Mistake("it is not of the package main", Where(NAME), hint="a module is: package main")
        )
    files[SCHEMA] = _SCHEMA
    layers = overlays(values)
    return Evaluation(
        files,
        support=frozenset({SCHEMA}),
        tags={"name": context.name, "namespace": context.namespace},
        variables={
            "moduleVersion": module_version(package.where),
            "kubeVersion": context.capabilities.version.removeprefix("v"),
        },
        merge=Merge(VALUES, "values", "main", layers) if layers else None,
        seek=(
            Seek(API_VERSION),
            Seek(INSTANCE, check=True),
            Seek(APPLY),
            Seek(CONFIG, optional=True),
            Seek(CHECKS, optional=True, partial=True),
            *seek,
        ),
    )


def overlays(values: Sequence[Layer]) -> tuple[Overlay, ...]:
    """Return values as files to be laid over a module's own: files as they are, in order, and then what options set. Raises Mistaken.

    CUE has its values under `values`; YAML and JSON may.
    """
    found = [
        Overlay(
            layer.name if layer.name.endswith(SUFFIXES) else "values.yaml", layer.text.encode(), layer.name
        )
        for layer in values
        if layer.sort == "file"
    ]
    options = [layer for layer in values if layer.sort != "file"]
    if options:
        given = json.dumps({"values": overrides.merged(options)}, ensure_ascii=False)
        found.append(Overlay("options.json", given.encode(), options[0].name, holes=True))
    return tuple(found)


def finish(package: Package, values: Sequence[Layer], answer: Evaluated) -> Rendered:
    """Return the stages that CUE's answer has, in the module's order. Raises Mistaken with everything that CUE found wrong."""
    files = files_of(package)
    if answer.problems:
        laid = {overlay.called: overlay.data for overlay in overlays(values)}
        raise mistaken(answer.problems, files, laid, about=package.where)
    findings: list[Finding] = []
    lists = _lists(answer.values.get(APPLY), findings, package.where)
    everything = [item for _, objects in lists for item in objects]
    health = checks(answer.values.get(CHECKS), everything, findings, package.where)
    config = answer.values.get(CONFIG)
    return Rendered(
        sort="timoni",
        package=module_name(files),
        version=module_version(package.where),
        stages=tuple(Stage(name, objects, health) for name, objects in lists),
        findings=tuple(findings),
        images=images(config),
        values=config if isinstance(config, dict) else {},
    )


def _lists(apply: Any, findings: list[Finding], where: str) -> list[tuple[str, tuple[Resource, ...]]]:
    """Return the lists of objects by name, in the order in which they are applied. Raises Mistaken."""
    if not isinstance(apply, dict):
        raise Mistaken(Mistake("it is no struct of lists of objects", Where(where, 0, f".{APPLY}")))
    wrong = [
        Mistake("it is no list of objects", Where(where, 0, f".{APPLY}.{name}"))
        for name, items in apply.items()
        if not isinstance(items, list)
    ]
    if wrong:
        raise Mistaken(*wrong)
    return [
        (
            name,
            tuple(
                one
                for index, item in enumerate(items)
                for one in _objects(item, f".{APPLY}.{name}[{index}]", findings, where)
            ),
        )
        for name, items in apply.items()
    ]


def _objects(item: Any, path: str, findings: list[Finding], where: str) -> list[Resource]:
    """Return an object, or those of a List; what is none is left out, as Timoni does, and told."""
    if (
        isinstance(item, dict)
        and isinstance(item.get("items"), list)
        and str(item.get("kind", "")).endswith("List")
    ):
        return [
            one
            for index, part in enumerate(item["items"])
            for one in _objects(part, f"{path}.items[{index}]", findings, where)
        ]
    metadata = item.get("metadata") if isinstance(item, dict) else None
    if (
        isinstance(metadata, dict)
        and all(isinstance(item.get(key), str) and item[key] for key in ("apiVersion", "kind"))
        and isinstance(metadata.get("name"), str)
        and metadata["name"]
    ):
        return [item]
    findings.append(
        Finding(
            rule="timoni.object",
            severity=Severity.WARNING,
            subject=Ref("", "Module", "", where),
            message="it is left out, as it is no Kubernetes object: it lacks an apiVersion, a kind or a name",
            where=Where(where, 0, path),
        )
    )
    return []


def images(config: Any) -> tuple[str, ...]:
    """Return the references of all images in an instance's configuration, sorted, each once."""
    found: set[str] = set()
    rest = [(config, 0)]
    while rest:
        value, depth = rest.pop()
        if depth > _MOST_DEEP:
            continue
        if isinstance(value, dict):
            if all(isinstance(value.get(key), str) for key in _IMAGE) and value["reference"]:
                found.add(value["reference"])
            rest += [(part, depth + 1) for part in value.values()]
        elif isinstance(value, list):
            rest += [(part, depth + 1) for part in value]
    return tuple(sorted(found))
