"""Rendered texts into stages: documents, hooks apart from what stays, each in Helm's order.

Must never drop a document silently. Source: helm.sh/helm/v3/pkg/releaseutil, pkg/action/hooks.go.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal

from fairlead.render.packages import Mistake, Moment, Stage
from fairlead.tongues import yamls
from fairlead.tongues.gotemplate.collecting import deep_copy
from fairlead.tongues.gotemplate.encoding import read_yaml
from fairlead.words import Finding, Ref, Resource, Severity, Where

ORDER: Final = [
    "PriorityClass",
    "Namespace",
    "NetworkPolicy",
    "ResourceQuota",
    "LimitRange",
    "PodSecurityPolicy",
    "PodDisruptionBudget",
    "ServiceAccount",
    "Secret",
    "SecretList",
    "ConfigMap",
    "StorageClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "CustomResourceDefinition",
    "ClusterRole",
    "ClusterRoleList",
    "ClusterRoleBinding",
    "ClusterRoleBindingList",
    "Role",
    "RoleList",
    "RoleBinding",
    "RoleBindingList",
    "Service",
    "DaemonSet",
    "Pod",
    "ReplicationController",
    "ReplicaSet",
    "Deployment",
    "HorizontalPodAutoscaler",
    "StatefulSet",
    "Job",
    "CronJob",
    "IngressClass",
    "Ingress",
    "APIService",
]
"""Kinds in the order in which they are installed; others come after them, by name."""
_RANK: Final = {kind: rank for rank, kind in enumerate(ORDER)}
_SEPARATOR = re.compile(r"(?:^|[\t\n\f\r ]*\n)---[\t\n\f\r ]*")

Phase = Literal["pre", "post", "test"]
_MOMENTS: Final[Mapping[str, Moment]] = {
    "install": "install",
    "upgrade": "upgrade",
    "rollback": "rollback",
    "delete": "delete",
}
EVENTS: Final[Mapping[str, tuple[Phase, Moment]]] = {
    **{f"pre-{word}": ("pre", moment) for word, moment in _MOMENTS.items()},
    **{f"post-{word}": ("post", moment) for word, moment in _MOMENTS.items()},
    "test": ("test", "test"),
    "test-success": ("test", "test"),
}
"""What each event of a hook means: before or after the chart's own objects, and when."""
Cleanup = Literal["before", "succeeded", "failed"]
CLEANUP: Final[Mapping[str, Cleanup]] = {
    "before-hook-creation": "before",
    "hook-succeeded": "succeeded",
    "hook-failed": "failed",
}


@dataclass(frozen=True, slots=True)
class Document:
    """One object that a template rendered, the template, the line of its output where it begins, and its text."""

    file: str
    line: int
    body: Resource
    text: str = ""


@dataclass(frozen=True, slots=True)
class Hook:
    """An object that runs at events, rather than staying."""

    document: Document
    events: tuple[tuple[Phase, Moment], ...]
    weight: int
    cleanup: frozenset[Cleanup]


def documents(file: str, text: str) -> tuple[list[Document], list[Mistake]]:
    """Return the objects of a rendered text, and what is no YAML or no object in it."""
    found: list[Document] = []
    mistakes: list[Mistake] = []
    for line, part in _split(text):
        # Helm cuts the space around a document off, and puts a line break behind it.
        body, at, problem = _loaded(f"{part}\n")
        if problem:
            lines = part.splitlines()
            excerpt = lines[at - 1] if 0 < at <= len(lines) else ""
            message = f"YAML parse error on {file}: error converting YAML to JSON: yaml: {problem}"
            mistakes.append(Mistake(message, Where(file), excerpt=excerpt))
        elif body is None:
            continue
        elif not isinstance(body, dict):
            sort = "array" if isinstance(body, list) else "string" if isinstance(body, str) else "number"
            message = (
                f"YAML parse error on {file}: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {sort} "
                "into Go value of type releaseutil.SimpleHead"
            )
            excerpt = part.splitlines()[0]
            mistakes.append(
                Mistake(message, Where(file), excerpt=excerpt, hint="a document has to be an object")
            )
        elif wrong := _headless(body):
            mistakes.append(
                Mistake(f"{wrong} in the output of {file}", Where(file), excerpt=part.splitlines()[0])
            )
        else:
            found.extend(Document(file, line, item, part) for item in _flat(deep_copy(body)))
    return found, mistakes


def _split(text: str) -> Iterator[tuple[int, str]]:
    """The documents of a text, as Helm cuts them, with the line of the text where each begins."""
    whole = text.strip()
    line = text.count("\n", 0, text.find(whole)) + 1 if whole else 1
    at = 0
    ends = [(match.start(), match.end()) for match in _SEPARATOR.finditer(whole)] + [(len(whole), len(whole))]
    for end, following in ends:
        part = whole[at:end].strip()
        if part:
            yield line, part
        line += whole.count("\n", at, following)
        at = following


@lru_cache(maxsize=2048)
def _loaded(text: str) -> tuple[Any, int, str]:
    """The value of a document, or the line and what is wrong with it. The value is shared."""
    try:
        return read_yaml(text), 0, ""
    except yamls.BadYaml as fault:
        return None, fault.line, fault.message


def _headless(body: Resource) -> str:
    if not body:
        return "an empty object"
    for key in ("kind", "apiVersion"):
        if not isinstance(body.get(key), str) or not body[key]:
            return f"an object without {key}"
    if not isinstance(body.get("metadata", {}), dict | None):
        return "an object whose metadata is no mapping"
    return ""


def _flat(body: Resource) -> list[Resource]:
    """The objects of a List, or the object."""
    if body["kind"] == "List" and body["apiVersion"] == "v1" and isinstance(body.get("items"), list):
        return [item for item in body["items"] if isinstance(item, dict)]
    return [body]


def marks(body: Resource) -> dict[str, Any]:
    """Return an object's annotations, empty where it has none."""
    found = (body.get("metadata") or {}).get("annotations")
    return found if isinstance(found, dict) else {}


def apart(found: Iterable[Document], chart: str) -> tuple[list[Document], list[Hook], list[Finding]]:
    """Return what stays and what are hooks, each in the order of installation, and what is told of hooks nobody knows."""
    staying: list[Document] = []
    hooks: list[Hook] = []
    findings: list[Finding] = []
    for document in found:
        said = marks(document.body)
        if "helm.sh/hook" not in said:
            staying.append(document)
            continue
        names = [word.strip().lower() for word in str(said["helm.sh/hook"]).split(",")]
        if any(name not in EVENTS for name in names):
            findings.append(
                Finding(
                    rule="helm.hook",
                    severity=Severity.WARNING,
                    subject=Ref.of(document.body),
                    message=f'{chart}: the hook "{said["helm.sh/hook"]}" is none that Helm knows; the object is left out',
                    where=Where(document.file, 0, ".metadata.annotations"),
                )
            )
            continue
        policies = str(said.get("helm.sh/hook-delete-policy") or "before-hook-creation")
        cleanup = frozenset(
            CLEANUP[word]
            for word in (each.strip().lower() for each in policies.split(","))
            if word in CLEANUP
        )
        hooks.append(Hook(document, tuple(EVENTS[name] for name in names), _weight(said), cleanup))
    staying.sort(key=lambda document: rank(document.body))
    hooks.sort(key=lambda hook: rank(hook.document.body))
    hooks.sort(key=lambda hook: (hook.weight, _name(hook.document.body)))
    return staying, hooks, findings


def _weight(said: Mapping[str, Any]) -> int:
    written = str(said.get("helm.sh/hook-weight", ""))
    return int(written) if re.fullmatch(r"[+-]?[0-9]{1,18}", written, re.ASCII) else 0


def _name(body: Resource) -> str:
    return str((body.get("metadata") or {}).get("name") or "")


def rank(body: Resource) -> tuple[int, str]:
    """Return what objects are sorted by within a stage."""
    kind = str(body["kind"])
    return (_RANK[kind], "") if kind in _RANK else (len(ORDER), kind)


def stages(definitions: list[Document], staying: list[Document], hooks: list[Hook]) -> tuple[Stage, ...]:
    """Return the stages: definitions of kinds, hooks before, what stays, hooks after, tests. Each hook has a stage of its own."""
    made: list[Stage] = []
    if definitions:
        made.append(
            Stage(
                "crds",
                tuple(document.body for document in definitions),
                places=tuple(Where(document.file, document.line) for document in definitions),
            )
        )
    made += _hooked(hooks, "pre")
    if staying:
        files = tuple(Where(document.file) for document in staying)
        made.append(Stage("main", tuple(document.body for document in staying), places=files))
    made += _hooked(hooks, "post")
    made += _hooked(hooks, "test")
    return tuple(made)


def _hooked(hooks: list[Hook], phase: Phase) -> Iterator[Stage]:
    for hook in hooks:
        moments = frozenset(moment for when, moment in hook.events if when == phase)
        if moments:
            ref = Ref.of(hook.document.body)
            yield Stage(
                f"{phase}: {ref.kind} {ref.name}",
                (hook.document.body,),
                moments=moments,
                one_off=True,
                cleanup=hook.cleanup,
                places=(Where(hook.document.file),),
            )


def images(objects: Iterable[Resource]) -> tuple[str, ...]:
    """Return the images that containers in these objects run, each once, sorted."""
    found: set[str] = set()
    stack: list[Any] = list(objects)
    while stack:
        item = stack.pop()
        if isinstance(item, list):
            stack.extend(each for each in item if isinstance(each, dict | list))
            continue
        for key, value in item.items():
            if value.__class__ is str:  # most are
                continue
            if isinstance(value, dict):
                stack.append(value)
            elif isinstance(value, list):
                stack.append(value)
                if key in _CONTAINERS:
                    found.update(
                        each["image"]
                        for each in value
                        if isinstance(each, dict) and isinstance(each.get("image"), str)
                    )
    return tuple(sorted(found - {""}))


_CONTAINERS: Final = frozenset({"containers", "initContainers", "ephemeralContainers"})
