"""Runs a test file of Kyverno's command line: policies over resources as that command does, and compares with what is expected.

A resource goes through the mutating policies first, in the order they are named, each on what the ones before it made, then through
image verification and validation, then generation. Variables that a test states take the place of lookups; images and
resources of its Context answer what policies ask. Nothing is fetched or read here: texts, the parser and the loader of policies
are handed in.
Source: kyverno/kyverno cmd/cli/kubectl-kyverno, commands/test and processor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Protocol

from fairlead.dialects.kyverno.suites import (
    Asker,
    Check,
    Expected,
    Suite,
    Values,
    in_folder,
    read_asker,
)
from fairlead.dialects.kyverno.suites_comparing import matching, tidied, unlike
from fairlead.judge.judging import run
from fairlead.judge.policies import Book, Judged, Outcome, Phase, Policy
from fairlead.judge.reading import Source
from fairlead.judge.subjects import Operation, Subject, Target, subject_of
from fairlead.judge.suites import Row
from fairlead.judge.surroundings import Kinds, Lacking, Surroundings
from fairlead.tongues.paths import find, mapping, mappings, text, words
from fairlead.words import Finding, Need, Ref, Resource, Severity, Snapshot

CLASSIC = "kyverno.io"
"""The API group of the policies whose values, operations and rule names follow Kyverno's older conventions."""

_ROUNDS = 32
_EPOCH = datetime(2024, 1, 1, tzinfo=UTC)

Parse = Callable[[str, str], Sequence[Source]]
"""(file, text) -> its documents, whatever they are."""


class Loaded(Protocol):
    """What a loader gives: the policies and what is wrong with their documents."""

    @property
    def book(self) -> Book:
        """The policies."""

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is wrong with, or unsupported in, the documents."""


Load = Callable[[Iterable[Source]], Loaded]

Merge = Callable[[str, str, Resource, Resource], Resource]
"""See judge.surroundings.Surroundings.merge."""


@dataclass(slots=True)
class Response:
    """What one policy says of one resource: its outcomes by rule, and the resource before and after."""

    policy: Policy
    before: Resource
    after: Resource
    outcomes: list[Judged] = field(default_factory=list)


@dataclass(slots=True)
class _Answers(Mapping[Need, Any]):
    """Answers to what policies ask of registries, from the images that a test's Context states."""

    images: Mapping[str, Mapping[str, Any]]

    def __getitem__(self, need: Need) -> Any:
        if need.what == "image.data":
            for name in (need.about.name, *(value for _, value in need.detail)):
                if name in self.images:
                    return self.images[name]
        raise KeyError(need)

    def __iter__(self) -> Iterator[Need]:
        return iter(())

    def __len__(self) -> int:
        return 0


class _Bench:
    """Everything that a test names, read; and the policies, compiled."""

    def __init__(
        self,
        suite: Suite,
        files: Mapping[str, str],
        parse: Parse,
        load: Load,
        kinds: Kinds,
        now: datetime,
        merge: Merge | None,
    ) -> None:
        self._files, self._parse, self._kinds = files, parse, kinds
        self.missing: list[str] = []
        self.values = Values()
        for source in self._sources(suite.values):
            self.values.add(source.content)
        self.values.add(suite.stated)
        askers = [read_asker(source.content) for source in self._sources(suite.user)]
        self.asker = askers[0] if askers else Asker()
        sources = [self._settled(one) for one in self._sources(*suite.policies, *suite.exceptions)]
        self._order = {source.ref: index for index, source in reversed(list(enumerate(sources)))}
        self.loaded = load(sources)
        self.policies = sorted(
            self.loaded.book.policies, key=lambda one: self._order.get(one.source, len(self._order))
        )
        self.resources = list(self._objects(*suite.resources))
        self.targets = {_key(one): one for one in self._objects(*suite.targets)}
        self.payloads = [(name, one.content) for name in suite.payloads for one in self._sources(name)]
        around = [*self.resources, *self.targets.values(), *self._objects(*suite.params)]
        around += [
            item for source in self._sources(*suite.cluster) for item in self._cluster(suite, source.content)
        ]
        images: dict[str, Mapping[str, Any]] = {}
        for source in self._sources(suite.context):
            around += [self.placed(one) for _, one in mappings(source.content, "spec", "resources")]
            images |= {text(one, "image"): one for _, one in mappings(source.content, "spec", "images")}
        around += self._objects(*(row.cloned for row in suite.expected))
        around += self.values.spaces.values()
        self.around = Surroundings(
            view=Snapshot(around),
            now=now,
            kinds=kinds,
            answers=_Answers(images),
            given=self.values.given,
            merge=merge,
        )

    def read(self, name: str) -> dict[tuple[str, str, str, str], Resource]:
        """Return the objects of a file by apiVersion, kind, namespace and name."""
        return {_key(one): one for one in self._objects(name)}

    def _sources(self, *names: str) -> Iterator[Source]:
        for name in dict.fromkeys(names):
            if not name:
                continue
            found = in_folder(name, self._files)
            if not found:
                self.missing.append(name)
            for file in found:
                yield from self._parse(file, self._files[file])

    def _objects(self, *names: str) -> Iterator[Resource]:
        """Yield the objects of the files, each once: of two with one name the first counts. Lists are opened."""
        seen = set()
        for source in self._sources(*names):
            content: Any = source.content
            opened = (
                [one for _, one in mappings(content, "items")]
                if text(content, "kind").endswith("List") and find(content, ("items",)) is not None
                else [content]
            )
            for one in opened:
                if isinstance(one, dict) and one.get("kind"):
                    placed = self.placed(one)
                    if _key(placed) not in seen:
                        seen.add(_key(placed))
                        yield placed

    def placed(self, resource: Resource) -> Resource:
        """Return the object with the namespace `default`, if it lives in one and says none."""
        ref = Ref.of(resource)
        if ref.namespace or not self._kinds.namespaced(ref.group, ref.kind):
            return resource
        return {**resource, "metadata": {**mapping(resource, "metadata"), "namespace": "default"}}

    def _settled(self, source: Source) -> Source:
        if source.ref.kind == "Policy" and not source.ref.namespace:
            return Source(self.placed(source.content), source.locate)
        return source

    def _cluster(self, suite: Suite, content: Any) -> Iterator[Resource]:
        if content.get("kind") != "ClusterResource":
            yield self.placed(content)
            return
        folder = suite.file.rpartition("/")[0]
        for name in words(content, "spec", "crds"):
            yield from self._objects(f"{folder}/{name}" if folder else name)
        for _, one in mappings(content, "spec", "resources"):
            yield self.placed(one)

    def subject(self, policy: Policy, resource: Resource) -> Subject:
        """Return the request that the test imagines for a resource under a policy."""
        ref = Ref.of(resource)
        classic = policy.source.group == CLASSIC
        stated = self.values.of_resource(policy.source.name, ref.name) if classic else self.values.everywhere
        operation: Operation = "CREATE"
        if stated.get("request.operation") in {"UPDATE", "DELETE"}:
            operation = stated["request.operation"]
        for part in ("object", "oldObject"):
            if any(key.startswith(f"request.{part}.") for key in stated):
                resource = _injected(resource, f"request.{part}.", stated)
        subject = replace(
            subject_of(
                resource,
                self._kinds.plural(ref.group, ref.kind),
                space=self.values.spaces.get(ref.namespace),
                user=self.asker.user,
                operation=operation,
            ),
            roles=self.asker.roles,
            cluster_roles=self.asker.cluster_roles,
        )
        for sub in self.values.subresources:
            target = subject.target
            if (target.group, target.version, target.kind) == (sub.group, sub.version, sub.kind):
                plural = self._kinds.plural(sub.parent_group, sub.parent_kind)
                parent = Target(
                    sub.parent_group, sub.parent_version, sub.parent_kind, plural, sub.name, operation
                )
                return replace(subject, target=parent)
        return subject


def _injected(resource: Resource, prefix: str, stated: Mapping[str, Any]) -> Resource:
    """Return the object with the values that are stated for places in it."""
    made = dict(resource)
    for key, value in stated.items():
        if key.startswith(prefix):
            *above, last = key.removeprefix(prefix).split(".")
            at = made
            for step in above:
                at[step] = dict(at[step]) if isinstance(at.get(step), dict) else {}
                at = at[step]
            at[last] = value
    return made


def _key(resource: Resource) -> tuple[str, str, str, str]:
    ref = Ref.of(resource)
    return text(resource, "apiVersion"), ref.kind, ref.namespace, ref.name


def judge_suite(
    suite: Suite,
    files: Mapping[str, str],
    *,
    parse: Parse,
    load: Load,
    kinds: Kinds,
    now: datetime = _EPOCH,
    merge: Merge | None = None,
) -> tuple[list[Row], list[Finding]]:
    """Return a row for each expectation and resource, and what is wrong with the test's policies.

    `files` are texts by name as `Suite.files` gives them; what is not there is not found. `parse` reads a text's documents, `load` makes policies
    of documents of any format, `merge` lays apply configurations over objects.
    """
    bench = _Bench(suite, files, parse, load, kinds, now, merge)
    findings = [*bench.loaded.findings, *(_absent(suite, name) for name in bench.missing)]
    responses = {_key(one): list(_apply(bench, one)) for one in bench.resources}
    for name, content in bench.payloads:
        if isinstance(content, dict):
            responses["", "", "", name] = list(_apply_payload(bench, content))
    rows = [row for expected in suite.expected for row in _told(bench, expected, responses, findings)]
    for check in suite.checks:
        rows += _checked(check, responses)
    return rows, findings


def _absent(suite: Suite, name: str) -> Finding:
    return Finding(
        rule="test.missing",
        severity=Severity.WARNING,
        subject=Ref("", "File", "", suite.file),
        message=f"names {name}, which is not there",
    )


_STAGES: tuple[tuple[Callable[[Policy], bool], Phase], ...] = (
    (lambda one: one.source.group == CLASSIC, "mutate"),
    (lambda one: one.source.group == CLASSIC, "validate"),
    (lambda one: one.source.group == "admissionregistration.k8s.io", "mutate"),
    (lambda one: one.source.group not in {CLASSIC, "admissionregistration.k8s.io"}, "mutate"),
    (lambda one: one.source.group != CLASSIC, "validate"),
    (lambda one: one.source.group != CLASSIC, "generate"),
    (lambda one: one.source.group == CLASSIC, "generate"),
    (lambda _: True, "cleanup"),
)


def _apply(bench: _Bench, resource: Resource) -> Iterator[Response]:
    current = resource
    for belongs, phase in _STAGES:
        for policy in bench.policies:
            rules = [rule for rule in policy.rules if rule.phase == phase]
            if not rules or not belongs(policy):
                continue
            subject = bench.subject(policy, current)
            response = Response(policy, resource, current)
            for rule in rules:
                if not rule.concerns(subject.target):
                    continue
                said = _run(bench, subject, policy, rule)
                response.outcomes += said
                for one in said:
                    if one.outcome.object is not None and subject.object is not None:
                        subject = subject.become(one.outcome.object)
            if phase == "mutate" and subject.object is not None:
                response.after = current = subject.object
            if phase == "cleanup" and not response.outcomes:
                response.outcomes = [
                    Judged(policy, rules[0], Outcome(result="fail", message="resource did not match"))
                ]
            yield response


def _apply_payload(bench: _Bench, content: Resource) -> Iterator[Response]:
    """Judge what is no Kubernetes object: only policies that read plain JSON concern it."""
    subject = Subject(target=Target("", "", "", ""), name="", object=content, user=bench.asker.user)
    for policy in bench.policies:
        response = Response(policy, content, content)
        for rule in policy.rules:
            if rule.phase == "validate" and rule.concerns(subject.target):
                response.outcomes += _run(bench, subject, policy, rule)
        yield response


def _run(bench: _Bench, subject: Subject, policy: Policy, rule: Any) -> list[Judged]:
    try:
        return run(subject, policy, rule, bench.around)
    except Lacking as lacking:
        wanted = ", ".join(f"{need.what} of {need.about}" for need in lacking.needs)
        said = Outcome(result="error", message=f"the test does not state the {wanted}")
        return [Judged(policy, rule, said)]


def _told(
    bench: _Bench,
    expected: Expected,
    responses: Mapping[tuple[str, str, str, str], Sequence[Response]],
    findings: Sequence[Finding],
) -> Iterator[Row]:
    everything = {**dict.fromkeys(bench.targets), **dict.fromkeys(responses)}
    wanted = [
        (name, [key for key in everything if _named(key, name, expected.kind)]) for name in expected.resources
    ]
    wanted += [
        (str(spec.get("name")), [key for key in everything if _specified(key, spec)])
        for spec in expected.specs
    ]
    if not wanted:
        wanted = [("/".join(part for part in key[2:] if part), [key]) for key in everything]
        wanted = [(name, keys) for name, keys in wanted if not expected.kind or keys[0][1] == expected.kind]
    for name, keys in wanted:
        row = Row(
            policy=expected.policy,
            rule=expected.rule,
            kind=expected.kind,
            resource=name,
            wanted=expected.result,
            got="",
            ok=False,
            reason="Not found",
        )
        policies = [one for one in bench.policies if _is_policy(one, expected.policy)]
        if not policies:
            reason = next(
                (f"Invalid policy: {one.message}" for one in findings
                 if one.rule == "policy.broken" and one.subject.name == expected.policy.rpartition("/")[2]),
                "Policy not found",
            )  # fmt: skip
            yield replace(row, reason=reason)
            continue
        compared = [one for key in keys for one in _compared(bench, expected, row, key, responses)]
        yield _worst(compared, row)


def _worst(compared: Sequence[Row], row: Row) -> Row:
    if not compared:
        return row
    return next((one for one in compared if not one.ok), compared[0])


def _named(key: tuple[str, str, str, str], name: str, kind: str) -> bool:
    if kind and key[1] and key[1] != kind:
        return False
    namespace, slash, last = name.rpartition("/")
    return key[3] == name or (bool(slash) and (key[2], key[3]) == (namespace, last))


def _specified(key: tuple[str, str, str, str], spec: Mapping[str, Any]) -> bool:
    group, version = spec.get("group") or "", spec.get("version") or ""
    if key[0] != (f"{group}/{version}" if group else version):
        return False
    if spec.get("kind") and spec["kind"] != key[1]:
        return False
    return key[2] == (spec.get("namespace") or "") and key[3] == spec.get("name")


def _is_policy(policy: Policy, name: str) -> bool:
    namespace, _, last = name.rpartition("/")
    return policy.source.name == last and (not namespace or policy.source.namespace == namespace)


def _is_rule(expected: Expected, name: str) -> bool:
    if expected.ruleless or not expected.rule:
        return True
    return name in {expected.rule, f"autogen-{expected.rule}", f"autogen-cronjob-{expected.rule}"}


def _compared(
    bench: _Bench,
    expected: Expected,
    row: Row,
    key: tuple[str, str, str, str],
    everything: Mapping[tuple[str, str, str, str], Sequence[Response]],
) -> Iterator[Row]:
    """Yield a row for each outcome that the expectation is about; one more when the resource was not concerned at all."""
    target = bench.targets.get(key)
    if target is not None:
        yield from _as_target(
            bench, expected, row, target, (one for those in everything.values() for one in those)
        )
    responses = [one for one in everything.get(key, ()) if _is_policy(one.policy, expected.policy)]
    count = 0
    for response in responses:
        for one in response.outcomes:
            if not _is_rule(expected, one.rule.name):
                continue
            if one.rule.phase == "generate":
                proposed = _proposed(one.outcome) if one.outcome.result == "pass" else []
                for resource in proposed:
                    count += 1
                    yield _checked_result(bench, expected, row, one.outcome, resource)
                if not proposed:
                    count += 1
                    yield _checked_result(bench, expected, row, one.outcome, None)
            else:
                count += 1
                after = response.after if one.rule.phase == "mutate" else response.before
                yield _checked_result(bench, expected, row, one.outcome, after)
    if responses and not count and target is None:
        if expected.generated or expected.result == "fail":
            yield replace(row, reason=f"Want {row.wanted}, got excluded")
        else:
            yield replace(row, ok=True, got="", reason="Excluded")


def _as_target(
    bench: _Bench, expected: Expected, row: Row, target: Resource, responses: Iterable[Response]
) -> Iterator[Row]:
    """Yield a row for each outcome that changes a target, whichever resource triggered it."""
    ref = Ref.of(target)
    for response in responses:
        for one in response.outcomes if _is_policy(response.policy, expected.policy) else ():
            for change in one.outcome.changes if _is_rule(expected, one.rule.name) else ():
                if change.ref == ref and isinstance(change.body, dict):
                    yield _checked_result(bench, expected, row, one.outcome, change.body)


def _proposed(outcome: Outcome) -> list[Resource]:
    """Return what there should be by a rule, whether it is to be written or there already."""
    generated = outcome.properties.get("generated")
    if isinstance(generated, list):
        return generated
    return [
        change.body for change in outcome.changes if change.verb != "delete" and isinstance(change.body, dict)
    ]


def _checked_result(
    bench: _Bench, expected: Expected, row: Row, outcome: Outcome, resource: Resource | None
) -> Row:
    got = outcome.result
    row = replace(row, got=got, message=outcome.message)
    for file in (expected.patched, expected.generated):
        if not file or resource is None:
            continue
        wanted = bench.read(file)
        if not wanted:
            return replace(row, reason=f"Resource error: {file} is not there")
        alike = wanted.get(_key(bench.placed(resource)))
        as_wanted = expected.result == "fail" and got == "pass"  # what is made must not be what the file says
        if alike is None:
            if as_wanted:
                return replace(row, ok=True, reason=f"Resource diff: not in {file}")
            continue
        differing = matching(tidied(resource), tidied(alike))
        if differing is not None:
            return replace(row, ok=as_wanted, reason=f"Resource diff: {differing}")
    if got != expected.result:
        return replace(row, reason=f"Want {expected.result}, got {got}")
    return replace(row, ok=True, reason="Ok")


def _checked(
    check: Check, responses: Mapping[tuple[str, str, str, str], Sequence[Response]]
) -> Iterator[Row]:
    """Yield a row for each outcome that a check selects: its assertion must hold, or, for `error`, must not."""
    for response in (one for those in responses.values() for one in those):
        if unlike(check.resource, response.before) or unlike(check.policy, _shown(response.policy)):
            continue
        for one in response.outcomes:
            if unlike(check.rule, {"name": one.rule.name}):
                continue
            said = {
                "name": one.rule.name,
                "ruleType": _RULE_TYPES.get(one.rule.phase, ""),
                "message": one.outcome.message,
                "status": one.outcome.result,
            }
            for assertion, right in ((check.right, True), (check.wrong, False)):
                if assertion is None:
                    continue
                differing = unlike(assertion, said)
                ok = (differing is None) is right
                wrong = differing or "The assertion succeeded but was expected to fail"
                yield Row(
                    policy=response.policy.source.name,
                    rule=one.rule.name,
                    kind=text(response.before, "kind"),
                    resource=text(response.before, "metadata", "name"),
                    wanted="",
                    got=one.outcome.result,
                    ok=ok,
                    reason="Ok" if ok else wrong,
                    message=one.outcome.message,
                )


_RULE_TYPES = {
    "validate": "Validation",
    "mutate": "Mutation",
    "generate": "Generation",
    "cleanup": "Deletion",
}


def _shown(policy: Policy) -> Resource:
    source = policy.source
    return {
        "kind": source.kind,
        "metadata": {"name": source.name, "namespace": source.namespace, "labels": dict(policy.labels)},
    }
