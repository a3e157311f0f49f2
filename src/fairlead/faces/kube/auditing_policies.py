"""Audit policies (audit.k8s.io/v1 Policy): how much of each request is written down, and at which of its stages.

The first rule that fits decides; where none does, nothing is written. Source: k8s.io/apiserver pkg/audit/policy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from fairlead.words import Page, User, Where

NONE, METADATA, REQUEST, RESPONSE = range(4)
LEVELS = {"None": NONE, "Metadata": METADATA, "Request": REQUEST, "RequestResponse": RESPONSE}
NAMES = tuple(LEVELS)
STAGES = ("RequestReceived", "ResponseStarted", "ResponseComplete", "Panic")
_VERSIONS = ("audit.k8s.io/v1", "audit.k8s.io/v1beta1")
_LARGEST = 1 << 20


class BadPolicy(ValueError):
    """A policy cannot be used. Its text has a line for each reason, with file, line and path where they are known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a policy is asked about. `resource` is "" for a path that is no resource's."""

    verb: str
    user: User
    path: str = ""
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """Resources of one group: plural names with subresources (`pods`, `pods/log`, `*/status`, `pods/*`, `*`), and names of objects."""

    group: str
    resources: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    def fits(self, asked: Asked) -> bool:
        """Whether a request is about one of them."""
        if self.group != asked.group:
            return False
        if not self.resources:
            return True
        if self.names and asked.name not in self.names:
            return False
        whole = f"{asked.resource}/{asked.subresource}" if asked.subresource else asked.resource
        return any(
            one in {"*", whole}
            or (one.startswith("*/") and bool(asked.subresource) and one[2:] == asked.subresource)
            or (one.endswith("/*") and one[:-2] == asked.resource)
            for one in self.resources
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRule:
    """One rule. What is empty fits everything; with namespaces or resources it is about resources, with URLs about paths only."""

    level: int
    users: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    verbs: frozenset[str] = frozenset()
    namespaces: frozenset[str] = frozenset()
    resources: tuple[Resources, ...] = ()
    urls: tuple[str, ...] = ()
    omit_stages: frozenset[str] = frozenset()
    omit_managed: bool = False

    def fits(self, asked: Asked) -> bool:
        """Whether the rule is about a request."""
        if self.users and asked.user.name not in self.users:
            return False
        if self.groups and self.groups.isdisjoint(asked.user.groups):
            return False
        if self.verbs and asked.verb not in self.verbs:
            return False
        if self.namespaces or self.resources:
            return self._about(asked)
        if self.urls:
            return not asked.resource and any(_under(url, asked.path) for url in self.urls)
        return True

    def _about(self, asked: Asked) -> bool:
        if not asked.resource:
            return False
        if self.namespaces and asked.namespace not in self.namespaces:
            return False
        return not self.resources or any(one.fits(asked) for one in self.resources)


def _under(url: str, path: str) -> bool:
    if url == "*":
        return True
    return path.startswith(url[:-1]) if url.endswith("*") else path == url


@dataclass(frozen=True, slots=True)
class Judged:
    """What is written of a request."""

    level: int = NONE
    omit_stages: frozenset[str] = frozenset()
    omit_managed: bool = False


@dataclass(frozen=True, slots=True)
class AuditPolicy:
    """Rules in order."""

    rules: tuple[AuditRule, ...]

    def judge(self, asked: Asked) -> Judged:
        """Return what is written of a request. Secrets and tokens are never more than told of, whatever a rule says."""
        for one in self.rules:
            if one.fits(asked):
                level = min(one.level, METADATA) if is_secret(asked) else one.level
                return Judged(level, one.omit_stages, one.omit_managed)
        return Judged()


def is_secret(asked: Asked) -> bool:
    """Whether the request's or answer's object holds a secret or a token."""
    if asked.subresource == "token":
        return True
    return (asked.group, asked.resource) in {
        ("", "secrets"), ("authentication.k8s.io", "tokenreviews"), ("authentication.k8s.io", "tokenrequests"),
    }  # fmt: skip


def read(text: str, file: str = "") -> AuditPolicy:
    """Return the policy in a file. Raises BadPolicy."""
    if len(text) > _LARGEST:
        raise BadPolicy(f"{file}: the policy is too large")
    try:
        content = yaml.load(text, Loader=yaml.CSafeLoader)
        root = yaml.compose(text, Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BadPolicy(f"{file}: {error}") from None
    if not isinstance(content, Mapping):
        raise BadPolicy(f"{file}: the policy is no mapping")
    reader = _Reader(file, root)
    policy = reader.policy(Page(content))
    if reader.faults:
        raise BadPolicy("\n".join(reader.faults))
    return policy


class _Reader:
    """Reads a policy and collects what is wrong with it."""

    def __init__(self, file: str, root: yaml.Node | None) -> None:
        self.faults: list[str] = []
        self._file = file
        self._root = root

    def policy(self, page: Page) -> AuditPolicy:
        version, kind = page.take("apiVersion", ""), page.take("kind", "")
        page.take("metadata")
        if version not in _VERSIONS:
            self._fault(".apiVersion", f"{version or 'no version'} is not one of {', '.join(_VERSIONS)}")
        if kind != "Policy":
            self._fault(".kind", "must be Policy")
        stages = self._stages(page, "omitStages", "")
        managed = page.take("omitManagedFields", False) is True
        rules = [
            self._rule(one, f".rules[{at}]", stages, managed=managed)
            for at, one in enumerate(page.pages("rules"))
        ]
        if not rules:
            self._fault(".rules", "a policy must have rules")
        for place in page.left():
            self._fault(place.path, "is not a field of an audit policy, or is of the wrong type")
        return AuditPolicy(tuple(rules))

    def _rule(self, page: Page, path: str, stages: frozenset[str], *, managed: bool) -> AuditRule:
        level = page.take("level", "")
        if level not in LEVELS:
            self._fault(f"{path}.level", f"{level or 'no level'} is not one of {', '.join(NAMES)}")
        urls = tuple(page.texts("nonResourceURLs"))
        namespaces, resources = page.texts("namespaces"), page.pages("resources")
        for at, url in enumerate(urls):
            if url != "*" and (not url.startswith("/") or "*" in url[:-1]):
                self._fault(
                    f"{path}.nonResourceURLs[{at}]",
                    f"{url} must begin with a slash, and have a star only at its end",
                )
        if urls and (namespaces or resources):
            self._fault(
                f"{path}.nonResourceURLs",
                "rules cannot apply to both regular resources and non-resource URLs",
            )
        own = page.take("omitManagedFields")
        return AuditRule(
            level=LEVELS.get(level, NONE),
            users=frozenset(page.texts("users")),
            groups=frozenset(page.texts("userGroups")),
            verbs=frozenset(page.texts("verbs")),
            namespaces=frozenset(namespaces),
            resources=tuple(
                self._resources(one, f"{path}.resources[{at}]") for at, one in enumerate(resources)
            ),
            urls=urls,
            omit_stages=stages | self._stages(page, "omitStages", path),
            omit_managed=managed if own is None else own is True,
        )

    def _resources(self, page: Page, path: str) -> Resources:
        group, names = str(page.take("group", "")), tuple(page.texts("resourceNames"))
        resources = tuple(page.texts("resources"))
        if names and not resources:
            self._fault(f"{path}.resourceNames", "using resourceNames requires at least one resource")
        return Resources(group=group, resources=resources, names=names)

    def _stages(self, page: Page, key: str, path: str) -> frozenset[str]:
        found = page.texts(key)
        for at, one in enumerate(found):
            if one not in STAGES:
                self._fault(f"{path}.{key}[{at}]", f"{one} is not one of {', '.join(STAGES)}")
        return frozenset(found)

    def _fault(self, path: str, message: str) -> None:
        self.faults.append(f"{Where(self._file, self._line(path), path)}: {message}")

    def _line(self, path: str) -> int:
        node, line = self._root, 1
        for step in path.replace("[", ".[").split(".")[1:]:
            pairs: Sequence[Any] = node.value if isinstance(node, yaml.CollectionNode) else ()
            if isinstance(node, yaml.MappingNode):
                found = next(((key, value) for key, value in pairs if key.value == step), None)
                if found is None:
                    break
                node, line = found[1], found[0].start_mark.line + 1
            elif step.startswith("[") and step[1:-1].isdigit() and int(step[1:-1]) < len(pairs):
                node = pairs[int(step[1:-1])]
                line = node.start_mark.line + 1
            else:
                break
        return line


def _quiet(**told: Any) -> AuditRule:
    return AuditRule(level=NONE, **told)


_ONLY_SAID = frozenset({"get", "list", "watch"})
_COMPONENTS = frozenset(
    {"system:nodes", "fairlead.dev:sensors", "fairlead.dev:platforms", "system:serviceaccounts:kube-system"}
)
DEFAULT = AuditPolicy(
    (
        _quiet(urls=("/healthz*", "/livez*", "/readyz*", "/version*", "/metrics")),
        _quiet(groups=frozenset({"system:authenticated"}), urls=("/api*", "/openapi*")),
        _quiet(resources=(Resources(group="coordination.k8s.io", resources=("leases",)),)),
        _quiet(resources=(Resources(group="", resources=("events",)), Resources(group="events.k8s.io", resources=("events",)))),
        _quiet(groups=_COMPONENTS, verbs=_ONLY_SAID),
        _quiet(groups=_COMPONENTS, resources=tuple(Resources(group=group, resources=("*/status",)) for group in ("", "apps", "batch"))),
        _quiet(groups=_COMPONENTS, resources=(Resources(group="discovery.k8s.io", resources=("endpointslices",)),)),
        AuditRule(
            level=METADATA, omit_stages=frozenset({"RequestReceived"}),
            resources=(Resources(group="", resources=("secrets", "serviceaccounts/token")), Resources(group="authentication.k8s.io")),
        ),
        AuditRule(level=METADATA, omit_stages=frozenset({"RequestReceived"}), verbs=_ONLY_SAID),
        AuditRule(
            level=METADATA, omit_stages=frozenset({"RequestReceived"}),
            resources=(Resources(group="", resources=("*/status", "pods/exec", "pods/attach", "pods/portforward")),),
        ),
        AuditRule(
            level=RESPONSE, omit_stages=frozenset({"RequestReceived"}), omit_managed=True,
            verbs=frozenset({"create", "update", "patch", "delete", "deletecollection"}),
        ),
        AuditRule(level=METADATA, omit_stages=frozenset({"RequestReceived"})),
    )
)  # fmt: skip
"""What Falco's rules need and little besides: changes whole, reads and secrets by name, the platform's own chatter not at all."""
