"""Rule files and policies of any dialect -> one set of rules for the engine: told apart by what they say, each read by its dialect.

Reads files where it is given paths; holds no rules of its own. What is wrong in a file is a finding with its place, and the rest is used.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import yaml

from fairlead.dialects import falco, tracee
from fairlead.dialects.falco import Auditor
from fairlead.dialects.tracingpolicy import assembling, placing
from fairlead.dialects.tracingpolicy.filters import Host
from fairlead.dialects.tracingpolicy.placing import Told
from fairlead.sense import behaviours
from fairlead.sense.fields import Around, Fields
from fairlead.sense.rules import Rule
from fairlead.tongues import yamls
from fairlead.words import Finding, Ref, Resource, Severity, Where

SUFFIXES: Final = frozenset({".yaml", ".yml", ".json"})
LARGEST: Final = 16 << 20
"""Bytes that one file may have."""
_FALCO = re.compile(
    r"^-\s+(?:rule|macro|list|required_engine_version|required_plugin_versions)\s*:", re.MULTILINE
)
_POLICY = re.compile(r"^\s*\"?kind\"?\s*:\s*\"?TracingPolicy", re.MULTILINE)
_TRACEE = re.compile(r"^\s*\"?apiVersion\"?\s*:\s*\"?tracee\.", re.MULTILINE)

Sort = Literal["falco", "tracee", "tracingpolicy", ""]


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What rules are read for: what fields may ask, what the kernel can do, what the host is, and since when it is watched (ns)."""

    around: Around = field(default_factory=Around)
    abilities: frozenset[str] = frozenset()
    host: Host = assembling.NO_HOST
    begun: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruleset:
    """All that came of files and objects. `auditor` judges the control plane's audit events, None where no rule is about them.

    `policies` maps each TracingPolicy's key (name, or namespace/name) to where its functions are seen.
    """

    rules: tuple[Rule, ...] = ()
    findings: tuple[Finding, ...] = ()
    auditor: Auditor | None = None
    policies: Mapping[str, Sequence[Told]] = field(default_factory=dict)


def sort(text: str) -> tuple[Sort, list[Any]]:
    """Return whose rules a text holds, and its documents where they are TracingPolicies. Text that is no YAML is told by its look."""
    try:
        yamls.check_depth(text)
        documents = [one for one in yaml.load_all(text, Loader=yaml.CSafeLoader) if one is not None]
    except (yaml.YAMLError, ValueError, RecursionError):
        return ("falco" if _FALCO.search(text) else "tracee" if _TRACEE.search(text) else "tracingpolicy" if _POLICY.search(text) else ""), []  # fmt: skip
    if any(isinstance(one, list) for one in documents):
        return "falco", []
    if any(tracee.is_tracee(one) for one in documents):
        return "tracee", []
    if any(isinstance(one, Mapping) and _policies_in(one) for one in documents):
        return "tracingpolicy", documents
    return "", documents


def _policies_in(document: Mapping[Any, Any]) -> bool:
    items = document.get("items")
    held = [document, *(items if isinstance(items, list) else [])]
    return any(
        isinstance(one, Mapping) and str(one.get("kind") or "").startswith("TracingPolicy") for one in held
    )


def load(
    files: Sequence[tuple[str, str]],
    surroundings: Surroundings | None = None,
    *,
    documents: Sequence[Resource] = (),
    minimum: str = "Debug",
    own: bool = False,
) -> Ruleset:
    """Return what files (name, text) and TracingPolicy objects of a cluster come to.

    `minimum` is the least of Falco's priorities whose rules are enabled; `own` adds fairlead's own behaviours. Never raises over content.
    """
    about = surroundings or Surroundings()
    sorted_: dict[Sort, list[tuple[str, str]]] = {"falco": [], "tracee": []}
    policies: list[tuple[str, Any]] = [("", one) for one in documents]
    findings: list[Finding] = []
    for name, text in files:
        whose, parsed = sort(text)
        if whose == "tracingpolicy":
            policies += [(name, one) for one in parsed]
            if not parsed:
                findings.append(_unread(name, text))
        elif whose:
            sorted_[whose].append((name, text))
        elif parsed or text.strip():
            findings.append(_foreign(name))
    rules: list[Rule] = []
    read = falco.load(sorted_["falco"], fields=Fields(about.around), minimum=minimum)
    rules += read.rules
    findings += read.findings
    seen = tracee.load(sorted_["tracee"], begun=about.begun, machine=about.host.machine)
    rules += seen.rules
    findings += seen.findings
    traced = assembling.load(policies, about.abilities, about.host)
    rules += traced.rules
    findings += traced.findings
    if own:
        rules += behaviours.rules()
        findings += behaviours.missing()
    return Ruleset(
        rules=tuple(_distinct(rules, findings)),
        findings=tuple(findings),
        auditor=read.auditor if any(one.enabled for one in read.auditor.rules) else None,
        policies={one.key: placing.placements(one, about.abilities) for one in traced.policies},
    )


def _distinct(rules: Iterable[Rule], findings: list[Finding]) -> Iterable[Rule]:
    """Yield the rules whose key is the first of its kind: what the kernel passes on is told apart by keys."""
    keys: set[str] = set()
    for rule in rules:
        if rule.key in keys:
            message = f"there is another rule {rule.name} of {rule.dialect}; this one is left out"
            findings.append(Finding(rule="sense.doubled", severity=Severity.WARNING, subject=_file(rule.where.file), message=message, where=rule.where))  # fmt: skip
            continue
        keys.add(rule.key)
        yield rule


def _file(name: str) -> Ref:
    return Ref("", "File", "", name)


def _foreign(name: str) -> Finding:
    return Finding(
        rule="sense.file",
        severity=Severity.WARNING,
        subject=_file(name),
        message="holds no rules: neither Falco's nor Tracee's, and no TracingPolicy",
        where=Where(name),
    )


def _unread(name: str, text: str) -> Finding:
    """Return what is wrong with a text that looks like a TracingPolicy and is no YAML."""
    said, line = "it is no YAML", 0
    try:
        for _ in yaml.parse(text, Loader=yaml.CSafeLoader):
            continue
    except yaml.MarkedYAMLError as error:
        said, line = error.problem or said, error.problem_mark.line + 1 if error.problem_mark else 0
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        said = str(error)
    return Finding(
        rule="sense.file", severity=Severity.CRITICAL, subject=_file(name), message=f"cannot be read: {said}", where=Where(name, line)
    )  # fmt: skip


def read(paths: Iterable[Path]) -> tuple[list[tuple[str, str]], list[Finding]]:
    """Return names and texts of files, and of those in folders by their names. What cannot be read is a finding."""
    files: list[tuple[str, str]] = []
    findings: list[Finding] = []
    for path in paths:
        try:
            inside = sorted(one for one in path.rglob("*") if one.suffix in SUFFIXES and one.is_file()) if path.is_dir() else [path]  # fmt: skip
        except OSError as error:
            findings.append(_unreadable(path, error.strerror or str(error)))
            continue
        for one in inside:
            try:
                if one.stat().st_size > LARGEST:
                    findings.append(_unreadable(one, f"is larger than {LARGEST >> 20} MiB"))
                else:
                    files.append((str(one), one.read_text(encoding="utf-8")))
            except OSError as error:
                findings.append(_unreadable(one, error.strerror or str(error)))
            except UnicodeDecodeError:
                findings.append(_unreadable(one, "is not UTF-8"))
    return files, findings


def _unreadable(path: Path, why: str) -> Finding:
    return Finding(
        rule="sense.file", severity=Severity.CRITICAL, subject=_file(str(path)), message=f"cannot be read: {why}", where=Where(str(path))
    )  # fmt: skip
