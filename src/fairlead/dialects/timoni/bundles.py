"""Timoni bundles and runtimes: what is asked of CUE to read them, and plain models of what they say.

A bundle names instances of modules with their values; a runtime names clusters, and values that are read from objects in them. Fields of a bundle
with `@timoni(runtime:TYPE:NAME)` take their values from those, from the environment, and from the cluster's own name and group.
Nothing here fetches, applies or knows of plans: who does is told in words of this module's own.
"""

from __future__ import annotations

import base64
import json
from binascii import Error as BadBase64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from fairlead.render.evaluations import SUFFIXES, Evaluated, Evaluation, Inject, Seek
from fairlead.render.packages import NOWHERE, Layer, Mistake, Mistaken
from fairlead.words import Ref, Resource, Where

from .problems import mistaken

NAME_VALUE: Final = "TIMONI_CLUSTER_NAME"
GROUP_VALUE: Final = "TIMONI_CLUSTER_GROUP"
LATEST: Final = "latest"
"""The version of a module when a bundle names none."""

_NAMES: Final = '=~"^[a-z0-9]([-a-z0-9_.]*[a-z0-9])?$" & strings.MaxRunes(63)'
_BUNDLE: Final = f"""import "strings"

#FairleadName: string & {_NAMES}
#FairleadBundle: {{
	apiVersion: string & =~"^v1alpha1$"
	name:       #FairleadName
	instances: [#FairleadName]: {{
		module: close({{
			url:     string & =~"^(oci|file)://.*$"
			version: *"{LATEST}" | string
			digest?: string
		}})
		namespace: #FairleadName
		values: {{...}}
	}}
}}

bundle: #FairleadBundle
""".encode()
_RUNTIME: Final = b"""import "strings"

#FairleadValueName: string & =~"^[A-Za-z0-9]([-A-Za-z0-9_]*[A-Za-z0-9])?$" & strings.MaxRunes(63)
#FairleadRuntime: {
	apiVersion: string & =~"^v1alpha1$"
	name:       #FairleadValueName
	clusters?: [string & =~"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$" & strings.MaxRunes(63)]: {
		group:       string
		kubeContext: string
	}
	values?: [...{
		query:    string
		for: [#FairleadValueName]: string
		optional: *false | bool
	}]
}

runtime: #FairleadRuntime
"""
_BUNDLE_SCHEMA: Final = "bundle.schema.cue"
_RUNTIME_SCHEMA: Final = "runtime.schema.cue"


@dataclass(frozen=True, slots=True)
class Instance:
    """An instance of a bundle: which module (`oci://...` or `file://...`, a version, a digest or ""), where it goes, and its values.

    `written` is the bundle's file that names the module, as the user gave it; a relative `file://` is relative to that file's directory.
    """

    name: str
    namespace: str
    url: str
    version: str = LATEST
    digest: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    written: Where = NOWHERE

    def layer(self) -> Layer:
        """Return the values as a layer for `modules.prepare`; messages point at the instance in the bundle."""
        name = f"{self.written.file or 'bundle'}#{self.name}.json"
        return Layer(name, json.dumps({"values": self.values}, ensure_ascii=False))


@dataclass(frozen=True, slots=True)
class Bundle:
    """Instances by one name, in the order in which they are applied."""

    name: str
    instances: tuple[Instance, ...]


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster of a runtime: its name, its group, and the context of the kubeconfig that reaches it ("": the current one)."""

    name: str
    group: str = ""
    context: str = ""

    def values(self) -> dict[str, str]:
        """Return what a bundle may know of the cluster, by name. These go before values of any other origin."""
        return {NAME_VALUE: self.name, GROUP_VALUE: self.group}


@dataclass(frozen=True, slots=True)
class Query:
    """An object of a cluster from which values are read: expressions of CUE over `obj`, by the value's name.

    When it is not there, an `optional` one gives no values; any other is a mistake.
    """

    ref: Ref
    api_version: str
    values: tuple[tuple[str, str], ...]
    optional: bool = False
    where: Where = NOWHERE


@dataclass(frozen=True, slots=True)
class Runtime:
    """Where a bundle goes, cluster after cluster, and what is read there for it."""

    name: str
    clusters: tuple[Cluster, ...] = ()
    queries: tuple[Query, ...] = ()

    def selected(self, name: str = "*", group: str = "*") -> tuple[Cluster, ...]:
        """Return the clusters of a name and a group; `*` or nothing stands for any."""
        return tuple(
            cluster
            for cluster in self.clusters
            if name in {"", "*", cluster.name} and group in {"", "*", cluster.group}
        )


def bundle_question(files: Sequence[Layer], values: Mapping[str, str]) -> Evaluation:
    """Return what to ask of CUE about a bundle in these files (CUE, YAML, JSON), which are unified; `values` are for its attributes."""
    return _question(
        files,
        _BUNDLE_SCHEMA,
        _BUNDLE,
        (Seek("", check=True), Seek("bundle"), Seek("bundle.instances", fields=True)),
        Inject("timoni", "runtime", dict(values)),
    )


def read_bundle(files: Sequence[Layer], answer: Evaluated) -> Bundle:
    """Return the bundle that CUE's answer has. Raises Mistaken with everything that CUE found wrong."""
    found = _read(files, answer, "bundle")
    places = {
        row.path: Where(row.place.file, row.place.line, ".bundle.instances." + ".".join(row.path))
        for row in answer.rows.get("bundle.instances", ())
    }
    return Bundle(
        found["name"],
        tuple(
            Instance(
                name,
                one["namespace"],
                one["module"]["url"],
                one["module"].get("version") or LATEST,
                one["module"].get("digest") or "",
                one.get("values") or {},
                places.get((name, "module", "url"), places.get((name,), NOWHERE)),
            )
            for name, one in found["instances"].items()
        ),
    )


def runtime_question(files: Sequence[Layer]) -> Evaluation:
    """Return what to ask of CUE about a runtime in these files."""
    return _question(files, _RUNTIME_SCHEMA, _RUNTIME, (Seek("", check=True), Seek("runtime")))


def read_runtime(files: Sequence[Layer], answer: Evaluated) -> Runtime:
    """Return the runtime that CUE's answer has. Raises Mistaken, also for queries that name no object."""
    found = _read(files, answer, "runtime")
    mistakes: list[Mistake] = []
    queries = []
    for index, one in enumerate(found.get("values") or ()):
        where = Where(files[0].name if files else "", 0, f".runtime.values[{index}].query")
        query = _query(one, where)
        if isinstance(query, Mistake):
            mistakes.append(query)
        else:
            queries.append(query)
    if mistakes:
        raise Mistaken(*mistakes)
    clusters = tuple(
        Cluster(name, one["group"], one["kubeContext"]) for name, one in (found.get("clusters") or {}).items()
    )
    return Runtime(found["name"], clusters, tuple(queries))


def _query(one: Mapping[str, Any], where: Where) -> Query | Mistake:
    text: str = one["query"]
    kind, *parts = text.split(":")
    if kind != "k8s":
        return Mistake(f"{text!r} is no query of a cluster", where, hint="it begins with k8s:")
    if len(parts) not in {3, 4} or not all(parts):
        return Mistake(
            f"{text!r} names no object",
            where,
            hint="it is k8s:<apiVersion>:<kind>:<namespace>:<name>, or without the namespace",
        )
    api_version, kind, *space, name = parts
    ref = Ref(api_version.rpartition("/")[0], kind, space[0] if space else "", name)
    return Query(ref, api_version, tuple(one["for"].items()), bool(one["optional"]), where)


def queries_question(queries: Iterable[Query], objects: Mapping[Query, Resource | None]) -> Evaluation:
    """Return what to ask of CUE to read values from the objects that were found. Raises Mistaken for those that must be there and are not."""
    files: dict[str, bytes] = {}
    seek: list[Seek] = []
    called: dict[str, str] = {}
    mistakes = []
    for index, query in enumerate(queries):
        found = objects.get(query)
        if found is None:
            if not query.optional:
                mistakes.append(
                    Mistake(
                        f"there is no {query.ref}", query.where, hint="optional: true would do without it"
                    )
                )
            continue
        lines = [f'"{index}": {{', f"obj: {json.dumps(_opened(found))}"]
        lines += [f"out: {json.dumps(name)}: ({expression})" for name, expression in query.values]
        files[f"{index}.cue"] = "\n".join((*lines, "}", "")).encode()
        called[f"{index}.cue"] = f"the values of {query.ref}"
        seek.append(Seek(f'"{index}".out'))
    if mistakes:
        raise Mistaken(*mistakes)
    return Evaluation(files, package="_", entry=tuple(files), seek=tuple(seek), called=called)


def read_queries(answer: Evaluated) -> dict[str, str]:
    """Return the values that CUE's answer has, by name, as text. Raises Mistaken."""
    if answer.problems:
        raise mistaken(answer.problems, {}, {}, about="the values of the runtime")
    values: dict[str, str] = {}
    mistakes = []
    for found in answer.values.values():
        for name, value in found.items():
            if isinstance(value, str):
                values[name] = value
            elif isinstance(value, bool | int | float):
                values[name] = json.dumps(value)
            else:
                mistakes.append(Mistake(f"the value of {name} is no text, number or boolean"))
    if mistakes:
        raise Mistaken(*mistakes)
    return values


def _opened(found: Resource) -> Resource:
    """Return the object; the data of a Secret as the text that it stands for."""
    data = found.get("data")
    if found.get("kind") != "Secret" or not isinstance(data, Mapping):
        return found
    return {**found, "data": {key: _decoded(value) for key, value in data.items()}}


def _decoded(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return base64.b64decode(value, validate=True).decode()
    except (BadBase64, ValueError):
        return value


def _question(
    files: Sequence[Layer],
    schema: str,
    text: bytes,
    seek: tuple[Seek, ...],
    inject: Inject | None = None,
) -> Evaluation:
    named: dict[str, bytes] = {}
    called: dict[str, str] = {}
    for index, layer in enumerate(files):
        suffix = next((end for end in SUFFIXES if layer.name.endswith(end)), None)
        if suffix is None:
            raise Mistaken(
                Mistake(
                    "it is neither CUE, YAML nor JSON",
                    Where(layer.name),
                    hint=f"names end with {', '.join(SUFFIXES)}",
                )
            )
        name = f"{index}{suffix}"
        named[name] = layer.text.encode()
        called[name] = layer.name
    named[schema] = text
    return Evaluation(
        named,
        package="_",
        entry=tuple(named),
        inject=inject,
        seek=seek,
        called=called,
        support=frozenset({schema}),
    )


def _read(files: Sequence[Layer], answer: Evaluated, what: str) -> dict[str, Any]:
    if answer.problems:
        given = {layer.name: layer.text.encode() for layer in files}
        raise mistaken(answer.problems, given, {}, about=", ".join(given))
    found = answer.values.get(what)
    if not isinstance(found, dict):
        raise Mistaken(Mistake(f"there is no {what}", Where(", ".join(layer.name for layer in files))))
    return found
