"""ConstraintTemplate: what it checks, by which engine, and which kind of constraint it creates.

A template that cannot be used is a finding at its place, down to the line of its Rego; the others go on.
Source: github.com/open-policy-agent/frameworks constraint/pkg (apis/templates, client/crds), error texts included.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from fairlead.dialects.gatekeeper import celcode
from fairlead.dialects.gatekeeper.celcode import CelCode, compile_cel
from fairlead.dialects.gatekeeper.inventories import required
from fairlead.dialects.gatekeeper.regocode import Code, Unusable, compile_code
from fairlead.judge.reading import Source, broken, unsupported
from fairlead.keep import structures
from fairlead.keep.errors import Cause
from fairlead.keep.validating_custom import Judge, judging
from fairlead.words import Finding, Page, Resource

GROUP: Final = "constraints.gatekeeper.sh"
"""The group of all constraints."""

TARGET: Final = "admission.k8s.gatekeeper.sh"
"""The only target that there is."""

VERSIONS: Final = ("v1beta1", "v1alpha1")
"""The versions in which constraints are served; the first one is stored."""

_TEXTS: Final = {"type": "array", "items": {"type": "string"}}
_SELECTOR: Final = {
    "type": "object",
    "properties": {
        "matchLabels": {"type": "object", "additionalProperties": {"type": "string"}},
        "matchExpressions": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["key", "operator"],
                "properties": {
                    "key": {"type": "string"},
                    "operator": {"type": "string", "enum": ["In", "NotIn", "Exists", "DoesNotExist"]},
                    "values": _TEXTS,
                },
            },
        },
    },
}
_WILDCARD: Final = {"type": "string", "pattern": r"^\*?[-:a-z0-9]*\*?$"}
_MATCH: Final = {
    "type": "object",
    "properties": {
        "source": {"type": "string", "enum": ["All", "Generated", "Original"]},
        "kinds": {
            "type": "array",
            "items": {"type": "object", "properties": {"apiGroups": _TEXTS, "kinds": _TEXTS}},
        },
        "scope": {"type": "string"},
        "namespaces": {"type": "array", "items": _WILDCARD},
        "excludedNamespaces": {"type": "array", "items": _WILDCARD},
        "labelSelector": _SELECTOR,
        "namespaceSelector": _SELECTOR,
        "name": _WILDCARD,
    },
}
_SCOPED: Final = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            "action": {"type": "string"},
            "enforcementPoints": {
                "type": "array",
                "items": {"type": "object", "properties": {"name": {"type": "string"}}},
            },
        },
    },
}


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """One template that can be used. `operations` are those it asks for, empty for the webhook's own (create and update)."""

    source: Source
    name: str
    kind: str
    code: Code | CelCode
    schema: Mapping[str, Any]
    operations: frozenset[str]
    looks_up: frozenset[tuple[str, str]]
    judge: Judge | None
    fill: Callable[[Any], None] | None

    @property
    def title(self) -> str:
        """How people call it."""
        notes = (self.source.content.get("metadata") or {}).get("annotations") or {}
        return str(notes.get("metadata.gatekeeper.sh/title") or self.kind)

    def filled(self, constraint: Resource) -> Resource:
        """Return the constraint with the defaults of the template's schema."""
        if self.fill is None:
            return constraint
        made = copy.deepcopy(constraint)
        self.fill(made)
        return made

    def faults(self, constraint: Resource) -> list[Cause]:
        """Return what the template's schema refuses of a constraint."""
        causes: list[Cause] = []
        if self.judge is not None:
            self.judge(constraint, "", causes)
        return causes


def _preserving(schema: Any) -> Any:
    """Return a schema that keeps unknown fields everywhere: what `legacySchema` means."""
    if not isinstance(schema, dict):
        return schema
    made = {key: _preserving_part(key, value) for key, value in schema.items()}
    if made.get("type", "object") == "object" or "properties" in made:
        made["x-kubernetes-preserve-unknown-fields"] = True
    return made


def _preserving_part(key: str, value: Any) -> Any:
    if key in {"properties", "patternProperties"} and isinstance(value, dict):
        return {name: _preserving(inner) for name, inner in value.items()}
    if key in {"items", "additionalProperties", "not"}:
        return _preserving(value)
    if key in {"allOf", "anyOf", "oneOf"} and isinstance(value, list):
        return [_preserving(inner) for inner in value]
    return value


def _schema(parameters: Any, *, legacy: bool) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "match": _MATCH,
        "enforcementAction": {"type": "string", "default": "deny"},
        "scopedEnforcementActions": _SCOPED,
    }
    if isinstance(parameters, dict):
        spec["parameters"] = _preserving(parameters) if legacy else parameters
    return {
        "type": "object",
        "properties": {
            "metadata": {"type": "object", "properties": {"name": {"type": "string", "maxLength": 63}}},
            "spec": {"type": "object", "properties": spec},
            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        },
    }


def _rego_findings(error: Unusable, source: Source, paths: Mapping[int, str]) -> list[Finding]:
    found = []
    for fault in error.faults:
        path = paths.get(fault.module, paths[-1])
        finding = broken(source, path, f"{path}: line {fault.line}, column {fault.column}: {fault.message}")
        if finding.where.line and fault.line:
            line = finding.where.line + fault.line
            finding = replace(finding, where=replace(finding.where, line=line))
        found.append(finding)
    return found


def _rego(
    text: Any, libs: list[str], version: str, path: str, source: Source
) -> tuple[Code | None, list[Finding]]:
    if not isinstance(text, str) or not text.strip():
        return None, [broken(source, path, f"{path}: rego source missing required field: rego")]
    if version not in {"", "v0", "v1"}:
        return None, [broken(source, path, f"{path}: unknown version of Rego: {version}")]
    base = path.removesuffix(".rego")
    paths = {-1: path, **{index: f"{base}.libs[{index}]" for index in range(len(libs))}}
    try:
        return compile_code(text, libs, version or "v0"), []
    except Unusable as error:
        return None, _rego_findings(error, source, paths)


def _code(target: Page, source: Source) -> tuple[Code | CelCode | None, list[Finding]]:
    """Compile a target's code: CEL where there is any, else Rego, as Gatekeeper prefers them."""
    text, libs = target.take("rego"), target.texts("libs")
    rego: tuple[str, Page] | None = None
    cel: tuple[str, Page] | None = None
    findings: list[Finding] = []
    for one in target.pages("code"):
        engine = str(one.take("engine", ""))
        where = f"{one.where.path}.source"
        inner = one.page("source")
        if engine == celcode.ENGINE:
            cel = cel or (where, inner)
        elif engine == "Rego":
            rego = rego or (where, inner)
        else:
            inner_path = f"{one.where.path}.engine"
            findings.append(broken(source, inner_path, f'unknown engine: "{engine}"'))
    if rego is not None:
        rego_text, rego_version = rego[1].take("rego"), str(rego[1].take("version", ""))
        rego_libs, path = rego[1].texts("libs"), f"{rego[0]}.rego"
    else:
        rego_text, rego_version, rego_libs, path = text, "", libs, f"{target.where.path}.rego"
    if cel is not None:
        code, more = compile_cel(cel[1], source)
        return code, findings + more
    if findings and rego_text is None:
        return None, findings
    made, more = _rego(rego_text, rego_libs, rego_version, path, source)
    return made, findings + more


def read(source: Source) -> tuple[list[Template], list[Finding]]:
    """Read a ConstraintTemplate."""
    page = source.page()
    notes = page.page("metadata")
    for key in source.content.get("metadata") or ():
        notes.take(str(key))
    spec = page.page("spec")
    crd = spec.page("crd").page("spec")
    names = crd.page("names")
    kind = names.take("kind", "")
    names.take("shortNames")
    validation = crd.page("validation")
    parameters = validation.take("openAPIV3Schema")
    legacy = validation.take("legacySchema", False)
    targets = spec.pages("targets")
    findings: list[Finding] = []
    name = source.ref.name
    if not isinstance(kind, str) or not kind:
        findings.append(broken(source, ".spec.crd.spec.names.kind", f"template {name} has no kind"))
    elif name != kind.lower():
        text = f'template\'s name "{name}" is not equal to the lowercase of CRD\'s Kind: "{kind.lower()}"'
        findings.append(broken(source, ".metadata.name", text))
    if len(targets) != 1:
        text = f"expected exactly 1 item in targets, got {len(targets)}"
        findings.append(broken(source, ".spec.targets", text))
        return [], findings + unsupported(page, source)
    target = targets[0]
    given = str(target.take("target", ""))
    if given != TARGET:
        text = f"target {given} not recognized, known targets [{TARGET}]"
        findings.append(broken(source, f"{target.where.path}.target", text))
    operations = frozenset(target.texts("operations"))
    code, more = _code(target, source)
    findings += more
    annotations = (source.content.get("metadata") or {}).get("annotations")
    kinds, more = required(source, annotations)
    findings += more
    schema = _schema(parameters, legacy=legacy is True)
    judge: Judge | None = None
    fill: Callable[[Any], None] | None = None
    try:
        judge, fill = judging(schema, root=True), structures.filling(schema)
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        path = ".spec.crd.spec.validation.openAPIV3Schema"
        findings.append(broken(source, path, f"{path} is no schema: {error}"))
    findings += unsupported(page, source)
    if code is None or given != TARGET or not isinstance(kind, str) or name != kind.lower():
        return [], findings
    return [Template(source, name, kind, code, schema, operations, kinds, judge, fill)], findings


def definition_of(template: Resource) -> Resource:
    """Return the CustomResourceDefinition that a ConstraintTemplate creates. Parts that are missing become empty."""
    spec = ((template.get("spec") or {}).get("crd") or {}).get("spec") or {}
    names = spec.get("names") or {}
    validation = spec.get("validation") or {}
    kind = str(names.get("kind") or "")
    plural = kind.lower()
    schema = _schema(validation.get("openAPIV3Schema"), legacy=validation.get("legacySchema") is True)
    labels = dict((template.get("metadata") or {}).get("labels") or {})
    columns = [
        {
            "name": "enforcement-action",
            "type": "string",
            "description": "Type of enforcement action",
            "jsonPath": ".spec.enforcementAction",
        },
        {
            "name": "total-violations",
            "type": "integer",
            "description": "Total number of violations",
            "jsonPath": ".status.totalViolations",
        },
    ]
    called: dict[str, Any] = {
        "kind": kind,
        "listKind": f"{kind}List",
        "plural": plural,
        "singular": plural,
        "categories": ["constraint", "constraints"],
    }
    if names.get("shortNames"):
        called["shortNames"] = list(names["shortNames"])
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{plural}.{GROUP}",
            "labels": {**labels, "gatekeeper.sh/constraint": "yes"},
        },
        "spec": {
            "group": GROUP,
            "names": called,
            "scope": "Cluster",
            "conversion": {"strategy": "None"},
            "versions": [
                {
                    "name": version,
                    "served": True,
                    "storage": version == VERSIONS[0],
                    "schema": {"openAPIV3Schema": copy.deepcopy(schema)},
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": copy.deepcopy(columns),
                }
                for version in VERSIONS
            ],
        },
    }
