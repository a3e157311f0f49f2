"""Test files of Kyverno's command line (`kyverno-test.yaml`): which policies, resources and values, and what is expected of each.

Reads the Test document, the Values, the UserInfo and the Context that it names; `suites_running` runs them. Texts are handed in and
parsed by whoever has them: nothing here reads a file. Both forms of a test are read: `cli.kyverno.io/v1alpha1` and the older one
without apiVersion; deprecated fields (`status`, `resource`, `namespace`, `patchedResource`) mean what they used to.
Source: kyverno/kyverno cmd/cli/kubectl-kyverno, apis/v1alpha1 and commands/test.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fairlead.judge.reading import Source, broken, unsupported
from fairlead.judge.subjects import ANONYMOUS
from fairlead.tongues.paths import find, mapping, mappings, text, words
from fairlead.words import Finding, Page, Resource, User

OPERATIONS = frozenset({"CREATE", "UPDATE", "DELETE"})
RESULTS = frozenset({"pass", "fail", "warn", "error", "skip"})

_PATHS = ("policies", "resources", "targetResources", "paramResources", "exceptions", "clusterResources")

_POLICY_TYPES = (
    "isValidatingAdmissionPolicy",
    "isMutatingAdmissionPolicy",
    "isValidatingPolicy",
    "isMutatingPolicy",
    "isGeneratingPolicy",
    "isDeletingPolicy",
    "isImageValidatingPolicy",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """One entry of `results`.

    `policy` may be `namespace/name`, each of `resources` too; no resources means every one. `ruleless` is set for the kinds of
    policies that have no rules. `patched`, `generated` and `cloned` are files; `specs` name resources exactly.
    """

    policy: str
    rule: str = ""
    kind: str = ""
    result: str
    resources: tuple[str, ...] = ()
    specs: tuple[Mapping[str, str], ...] = ()
    patched: str = ""
    generated: str = ""
    cloned: str = ""
    ruleless: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One entry of `checks`: which responses, and the assertion that must hold of them, or must not (`wrong`)."""

    resource: Any = None
    policy: Any = None
    rule: Any = None
    right: Any = None
    wrong: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """A test file. All file names are relative to where the test's own name is, and normalised."""

    name: str
    file: str
    policies: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    params: tuple[str, ...] = ()
    exceptions: tuple[str, ...] = ()
    cluster: tuple[str, ...] = ()
    payloads: tuple[str, ...] = ()
    values: str = ""
    user: str = ""
    context: str = ""
    stated: Mapping[str, Any] = field(default_factory=dict)
    expected: tuple[Expected, ...] = ()
    checks: tuple[Check, ...] = ()

    @property
    def files(self) -> tuple[str, ...]:
        """Every file or folder that the test names, each once. Those of its clusterResources may name more."""
        rows = (name for one in self.expected for name in (one.patched, one.generated, one.cloned))
        named = (
            *self.policies, *self.resources, *self.targets, *self.params, *self.exceptions, *self.cluster,
            *self.payloads, self.values, self.user, self.context, *rows,
        )  # fmt: skip
        return tuple(dict.fromkeys(name for name in named if name))


def is_suite(content: Any) -> bool:
    """Return whether a document is a test: a Test of the command line, or the older form, which states no kind."""
    if not isinstance(content, dict):
        return False
    if content.get("kind") == "Test":
        return text(content, "apiVersion").startswith("cli.kyverno.io/")
    old = "apiVersion" not in content and "kind" not in content
    return old and isinstance(content.get("policies"), list) and isinstance(content.get("resources"), list)


def read_suite(file: str, source: Source) -> tuple[Suite, list[Finding]]:
    """Return the test that a document states, and what in it is wrong or not supported. Never raises over content."""
    page = source.page()
    findings: list[Finding] = []
    name = page.page("metadata").take("name") or page.take("name") or ""
    paths = {key: _paths(page, key, file) for key in _PATHS}
    payloads = [_beside(file, one) for one in (page.take("jsonPayload"), *_texts(page.take("jsonPayloads")))]
    stated = page.take("values", {})
    suite = Suite(
        name=str(name),
        file=file,
        policies=paths["policies"],
        resources=paths["resources"],
        targets=paths["targetResources"],
        params=paths["paramResources"],
        exceptions=paths["exceptions"],
        cluster=paths["clusterResources"],
        payloads=tuple(one for one in payloads if one),
        values=_beside(file, page.take("variables")),
        user=_beside(file, page.take("userinfo")),
        context=_beside(file, page.take("context")),
        stated=stated if isinstance(stated, dict) else {},
        expected=tuple(_rows(page, file, source, findings)),
        checks=tuple(_checks(page)),
    )
    return suite, findings + unsupported(page, source)


def _rows(page: Page, file: str, source: Source, findings: list[Finding]) -> Iterator[Expected]:
    for row in page.pages("results"):
        result = str(row.take("result") or row.take("status") or "").lower()
        row.take("status")
        if result not in RESULTS:
            findings.append(broken(source, f"{row.where.path}.result", f"{result!r} is no result of a test"))
        namespace, policy = row.take("namespace", ""), str(row.take("policy", ""))
        resources = [*_texts(row.take("resources")), *_texts(row.take("resource"))]
        specs = row.take("resourceSpecs")
        ruleless = [bool(row.take(name)) for name in _POLICY_TYPES]
        yield Expected(
            policy=policy,
            rule=str(row.take("rule", "")),
            kind=str(row.take("kind", "")),
            result=result,
            resources=tuple(
                f"{namespace}/{one}" if namespace and "/" not in one else one for one in resources
            ),
            specs=tuple(one for one in specs if isinstance(one, dict)) if isinstance(specs, list) else (),
            patched=_beside(file, row.take("patchedResources") or row.take("patchedResource")),
            generated=_beside(file, row.take("generatedResource")),
            cloned=_beside(file, row.take("cloneSourceResource")),
            ruleless=any(ruleless),
        )
        row.take("patchedResource")


def _checks(page: Page) -> Iterator[Check]:
    for one in page.pages("checks"):
        match = one.page("match")
        yield Check(
            resource=match.take("resource"),
            policy=match.take("policy"),
            rule=match.take("rule"),
            right=one.take("assert"),
            wrong=one.take("error"),
        )


def _texts(value: Any) -> list[str]:
    if isinstance(value, list):
        return [str(one) for one in value if isinstance(one, str | int | float)]
    return [value] if isinstance(value, str) and value else []


def _paths(page: Page, key: str, file: str) -> tuple[str, ...]:
    return tuple(_beside(file, one) for one in _texts(page.take(key)))


def _beside(file: str, name: Any) -> str:
    """Return a file's name as the test's own name is given; addresses stay as they are."""
    if not isinstance(name, str) or not name:
        return ""
    if name.startswith(("http://", "https://")):
        return name
    return posixpath.normpath(posixpath.join(posixpath.dirname(file), name))


@dataclass(frozen=True, slots=True)
class Subresource:
    """What stands for a subresource: its own kind, and the kind whose subresource it is."""

    group: str
    version: str
    kind: str
    name: str
    parent_group: str
    parent_version: str
    parent_kind: str


@dataclass(slots=True)
class Values:
    """Variables that a test states: for all policies, for one policy's rules, and for single resources.

    `spaces` are Namespace objects that namespace selectors and CEL's namespaceObject see. Of the values that are stated for the
    elements of a foreach, the first holds for all of them, as in Kyverno since its engine is no part of its command line.
    """

    everywhere: dict[str, Any] = field(default_factory=dict)
    resources: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    rules: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    elements: dict[tuple[str, str], dict[str, list[Any]]] = field(default_factory=dict)
    spaces: dict[str, Resource] = field(default_factory=dict)
    subresources: list[Subresource] = field(default_factory=list)

    def add(self, content: Any) -> None:
        """Take in one Values document, or the same fields stated in the test itself."""
        self.everywhere.update(mapping(content, "globalValues"))
        for _, policy in mappings(content, "policies"):
            name = text(policy, "name")
            for _, resource in mappings(policy, "resources"):
                key = (name, text(resource, "name"))
                self.resources.setdefault(key, {}).update(mapping(resource, "values"))
            for _, rule in mappings(policy, "rules"):
                key = (name, text(rule, "name"))
                self.rules.setdefault(key, {}).update(mapping(rule, "values"))
                lists = mapping(rule, "foreachValues")
                self.elements.setdefault(key, {}).update(
                    {one: values for one, values in lists.items() if isinstance(values, list)}
                )
        for _, selector in mappings(content, "namespaceSelector"):
            name = text(selector, "name")
            labels = mapping(selector, "labels")
            self.spaces.setdefault(
                name,
                {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}},
            )
        for _, space in mappings(content, "namespaces"):
            name = text(space, "metadata", "name")
            self.spaces[name] = {"apiVersion": "v1", "kind": "Namespace", **space}
        self.subresources += [
            _subresource(mapping(one, "subresource"), mapping(one, "parentResource"))
            for _, one in mappings(content, "subresources")
        ]

    def of_resource(self, policy: str, resource: str) -> dict[str, Any]:
        """Return what is stated about a resource under a policy, whatever the rule."""
        return {**self.everywhere, **self.resources.get((policy, resource), {})}

    def given(self, policy: str, rule: str, resource: str) -> Mapping[str, Any]:
        """Return all variables that are stated for a rule of a policy about a resource (see Surroundings.given)."""
        stated = self.of_resource(policy, resource)
        for name in (_plain(rule), rule):
            stated |= self.rules.get((policy, name), {})
            stated |= {
                key: values[0] for key, values in self.elements.get((policy, name), {}).items() if values
            }
        if stated.get("request.operation") in OPERATIONS:
            del stated[
                "request.operation"
            ]  # the request itself says so, until a rule looks at what was before
        return stated


def _plain(rule: str) -> str:
    """Return the name of the rule that one for pods' owners was made from."""
    return rule.removeprefix("autogen-cronjob-").removeprefix("autogen-")


def _subresource(own: Mapping[str, Any], parent: Mapping[str, Any]) -> Subresource:
    return Subresource(
        group=text(own, "group"),
        version=text(own, "version"),
        kind=text(own, "kind"),
        name=text(own, "name").partition("/")[2],
        parent_group=text(parent, "group"),
        parent_version=text(parent, "version"),
        parent_kind=text(parent, "kind"),
    )


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks for what the test applies, and what they are bound to."""

    user: User = ANONYMOUS
    roles: tuple[str, ...] = ()
    cluster_roles: tuple[str, ...] = ()


def read_asker(content: Any) -> Asker:
    """Return who a UserInfo document describes; also the older form, whose fields are not under `userInfo`."""
    info = mapping(content, "userInfo") or mapping(content, "requestInfo", "userInfo") or mapping(content)
    roles = content if find(content, ("userInfo",)) else mapping(content, "requestInfo") or content
    extra = mapping(info, "extra")
    user = User(
        name=text(info, "username"),
        groups=tuple(words(info, "groups")),
        uid=text(info, "uid"),
        extra=tuple(sorted((key, tuple(words(extra, key))) for key in extra)),
    )
    return Asker(user, tuple(words(roles, "roles")), tuple(words(roles, "clusterRoles")))


def in_folder(name: str, files: Mapping[str, Any]) -> Sequence[str]:
    """Return the names among the files that a name stands for: itself, or, when it is a folder, the YAML and JSON in it."""
    if name in files:
        return (name,)
    prefix = "" if name == "." else f"{name}/"
    inside = (one for one in files if one.startswith(prefix) and "/" not in one[len(prefix) :])
    return sorted(one for one in inside if one.endswith((".yaml", ".yml", ".json")))
