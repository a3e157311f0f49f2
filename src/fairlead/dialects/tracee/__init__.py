"""The Tracee dialect: policies, YAML detectors and lists in; rules of sense out; detections back in Tracee's JSON.

    loaded = tracee.load([("policy.yaml", text)])
    loaded.rules, loaded.findings
    tracee.event(detection)

Reading never raises over content: what is wrong, what is not supported and what cannot be seen here become findings with file, line and path,
and everything else is used.
Source: aquasecurity/tracee, docs/policies, docs/detectors and docs/events.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from fairlead.dialects.tracee import detectors, policies
from fairlead.dialects.tracee.events import sorts
from fairlead.dialects.tracee.happenings import Sort
from fairlead.dialects.tracee.policies import Document, Watched, make_rule
from fairlead.dialects.tracee.scopes import Scope
from fairlead.dialects.tracee.writing import event
from fairlead.sense.rules import Rule
from fairlead.tongues import yamls
from fairlead.words import Finding, Page, Ref, Severity, Where

__all__ = ["Loaded", "event", "is_tracee", "load"]

LARGEST = 1024 * 1024
"""Characters that one file may have."""
_DETECTORS = {("tracee.aquasec.com/v1beta1", "Detector")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What files hold: rules, and what is wrong or not supported in them. `lists` are the shared lists by name."""

    rules: tuple[Rule, ...]
    findings: tuple[Finding, ...]
    lists: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def is_tracee(content: object) -> bool:
    """Whether a document is one of Tracee's."""
    return isinstance(content, Mapping) and _sort_of(content) != ""


def _sort_of(content: Mapping[Any, Any]) -> str:
    """What a document is: policy, detector, list, or "" for none of them."""
    kind = (str(content.get("apiVersion") or ""), str(content.get("kind") or ""))
    if kind in policies.KINDS:
        return "policy"
    if kind in _DETECTORS:
        return "detector"
    said = str(content.get("type") or "").strip().lower()
    if said == "string_list":
        return "list"
    if said == "detector" or "produced_event" in content:
        return "detector"
    if said == "policy" or ("kind" not in content and {"scope", "rules"} <= set(content)):
        return "policy"
    return ""


def load(files: Sequence[tuple[str, str]], *, begun: int = 0, machine: str = "x86_64") -> Loaded:
    """Return the rules of files, given as (name, text).

    `begun` is when the sensor began, in ns since the epoch: containers and processes that started later are new. A detector that no
    policy names is watched for on its own.
    """
    reader = _Reader()
    for name, text in files:
        reader.read(name, text)
    lists: dict[str, tuple[str, ...]] = {}
    for document in reader.held["list"]:
        found = detectors.shared_list(document)
        if found is not None and found[0] in lists:
            document.broken(".name", f"list {found[0]} exists already")
        elif found is not None:
            lists[found[0]] = found[1]
    drafts = [
        one for one in (detectors.draft(document, machine) for document in reader.held["detector"]) if one
    ]
    known: dict[str, Sort] = dict(sorts())
    made = detectors.assemble(drafts, known, lists, begun)
    known.update(made)
    rules: list[Rule] = []
    names: set[str] = set()
    for document in reader.held["policy"]:
        for rule in policies.policy(document, known, begun):
            if rule.key in names:
                document.broken(".metadata.name", f"policy {rule.detail.policies[0]} already exist")
                break
            rules.append(rule)
        names.update(rule.key for rule in rules)
    rules += _unnamed(made, {rule.name for rule in rules})
    findings = [*reader.findings, *(one for document in reader.documents for one in document.findings)]
    return Loaded(rules=tuple(rules), findings=tuple(findings), lists=lists)


def _unnamed(made: Mapping[str, Sort], named: set[str]) -> list[Rule]:
    """Rules for detectors that no policy names."""
    rules = []
    for name, sort in made.items():
        if name not in named and isinstance(sort, detectors.Detected):
            detail = Watched(sort=sort, policies=(), description=sort.description)
            rules.append(make_rule(f"tracee/detector/{sort.id}", sort, detail, {}, (Scope(),)))
    return rules


class _Reader:
    """Reads files into documents, each with the lines that its parts are on."""

    def __init__(self) -> None:
        self.documents: list[Document] = []
        self.findings: list[Finding] = []
        self.held: dict[str, list[Document]] = {"policy": [], "detector": [], "list": []}

    def read(self, name: str, text: str) -> None:
        """Read one file."""
        if len(text) > LARGEST:
            self._broken(name, 0, f"the file is too large: {len(text)} characters, at most {LARGEST}")
            return
        try:
            yamls.check_depth(text)
            nodes = list(yaml.compose_all(text, Loader=yaml.CSafeLoader))
            contents = list(yaml.load_all(text, Loader=yaml.CSafeLoader))
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            mark = getattr(error, "problem_mark", None)
            said = getattr(error, "problem", None) or str(error)
            self._broken(name, mark.line + 1 if mark else 0, f"failed to parse YAML: {said}")
            return
        for node, content in zip(nodes, contents, strict=False):
            if content is None:
                continue
            sort = _sort_of(content) if isinstance(content, Mapping) else ""
            if not sort:
                line = node.start_mark.line + 1
                self._broken(name, line, "the document is no policy, detector or list of Tracee's")
                continue
            document = Document(
                page=Page(content, Where(name)), ref=_ref(content, sort), locate=_locator(name, node)
            )
            self.documents.append(document)
            self.held[sort].append(document)

    def _broken(self, name: str, line: int, message: str) -> None:
        subject = Ref("tracee.aquasec.com", "File", "", name)
        self.findings.append(
            Finding(rule="policy.broken", severity=Severity.CRITICAL, subject=subject, message=message, where=Where(name, line))
        )  # fmt: skip


def _ref(content: Mapping[Any, Any], sort: str) -> Ref:
    meta = content.get("metadata")
    spec = content.get("spec")
    name = (
        (meta.get("name") if isinstance(meta, Mapping) else None)
        or content.get("name")
        or content.get("id")
        or (spec.get("id") if isinstance(spec, Mapping) else None)
    )
    kind = {"policy": "Policy", "detector": "Detector", "list": "List"}[sort]
    return Ref("tracee.aquasec.com", kind, "", str(name or ""))


def _locator(name: str, root: yaml.Node | None) -> Callable[[str], Where]:
    """Return what finds the line of a path in a document: of the deepest part of it that is there."""

    def locate(path: str) -> Where:
        node, line = root, (root.start_mark.line + 1 if root is not None else 0)
        for step in path.replace("[", ".[").split(".")[1:]:
            node, line = _below(node, step, line)
            if node is None:
                break
        return Where(name, line, path)

    return locate


def _below(node: yaml.Node | None, step: str, line: int) -> tuple[yaml.Node | None, int]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == step:
                return value, key.start_mark.line + 1
    elif isinstance(node, yaml.SequenceNode) and step.startswith("["):
        at = step[1:-1]
        if at.isdigit() and int(at) < len(node.value):
            found = node.value[int(at)]
            return found, found.start_mark.line + 1
    return None, line
