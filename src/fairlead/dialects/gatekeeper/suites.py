"""Test suites of Gatekeeper's command line (`suite.yaml`): a template and a constraint each, and what they say of objects.

Pure: the texts of files and the parser of documents are handed in. Source: github.com/open-policy-agent/gatekeeper
pkg/gator/verify, error texts included.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from fairlead.dialects.gatekeeper import (
    Model,
    Parts,
    constraints,
    expansions,
    inventories,
    mutators,
    templates,
)
from fairlead.dialects.gatekeeper.constraints import GATOR, Bound
from fairlead.dialects.gatekeeper.expansions import Inexpansible
from fairlead.dialects.gatekeeper.inventories import Given
from fairlead.judge.policies import Outcome
from fairlead.judge.reading import Source, unsupported
from fairlead.judge.subjects import Subject, Target, subject_of
from fairlead.judge.suites import Row
from fairlead.judge.surroundings import Kinds, Surroundings
from fairlead.tongues import regexes
from fairlead.words import Finding, Page, Resource, Snapshot, User

_EPOCH: Final = datetime(2024, 1, 1, tzinfo=UTC)

Parse = Callable[[str, str], Sequence[Source]]
"""(file, text) -> its documents, whatever they are."""


class Unfounded(Exception):
    """A test or a case cannot be run as it is written."""


@dataclass(frozen=True, slots=True)
class Assertion:
    """How many violations whose message matches are wanted: a number, or "yes" and "no"."""

    violations: int | str = "yes"
    message: str | None = None

    def __str__(self) -> str:
        about = f" matching {self.message!r}" if self.message is not None else ""
        return f"violations: {self.violations}{about}"

    def fault(self, messages: Sequence[str]) -> str:
        """Return why it does not hold, or "". Raises Unfounded."""
        count = len(messages)
        containing = ""
        if self.message is not None:
            try:
                search = regexes.compile(self.message).search
            except regexes.BadPattern as error:
                raise Unfounded(f"message contains invalid regular expression: {error}") from None
            count = sum(1 for one in messages if search(one))
            containing = f' containing "{self.message}"'
        got = f"unexpected number of violations: got {count} violations{containing} but want"
        if isinstance(self.violations, int):
            wrong = "" if count == self.violations else f"{got} exactly {self.violations}"
        elif self.violations == "yes":
            wrong = "" if count else f"{got} at least 1"
        else:
            wrong = f"{got} none" if count else ""
        return f"{wrong}: got messages [{' '.join(messages)}]" if wrong else ""


@dataclass(frozen=True, slots=True)
class Case:
    """One object, what is in the cluster beside it, and what must hold."""

    name: str
    object: str
    inventory: tuple[str, ...]
    assertions: tuple[Assertion, ...]
    skip: bool
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Test:
    """A template and a constraint with their cases. With `invalid`, the constraint must not fit the template's schema."""

    name: str
    template: str
    constraint: str
    expansions: tuple[str, ...]
    cases: tuple[Case, ...]
    invalid: bool
    skip: bool


@dataclass(frozen=True, slots=True)
class Suite:
    """A test file. File names are as they will be handed in: beside the suite's own, and normalised."""

    name: str
    file: str
    tests: tuple[Test, ...]
    skip: bool

    @property
    def files(self) -> tuple[str, ...]:
        """Every file that the suite names, each once."""
        named = [
            name
            for test in self.tests
            for name in (
                test.template,
                test.constraint,
                *test.expansions,
                *(file for case in test.cases for file in (case.object, *case.inventory)),
            )
        ]
        return tuple(dict.fromkeys(name for name in named if name))


def is_suite(content: Any) -> bool:
    """Return whether a document is a suite."""
    if not isinstance(content, Mapping):
        return False
    return content.get("kind") == "Suite" and str(content.get("apiVersion")).startswith("test.gatekeeper.sh/")


def _beside(file: str, name: Any) -> str:
    if not isinstance(name, str) or not name:
        return ""
    return posixpath.normpath(posixpath.join(posixpath.dirname(file), name))


def _all_beside(file: str, names: Any) -> tuple[str, ...]:
    listed = [names] if isinstance(names, str) else names if isinstance(names, list) else []
    return tuple(filter(None, (_beside(file, one) for one in listed)))


def _assertion(page: Page) -> tuple[Assertion, str]:
    wanted = page.take("violations")
    message = page.take("message")
    text = None if message is None else str(message)
    if wanted is None or wanted is True:
        return Assertion("yes", text), ""
    if wanted is False:
        return Assertion("no", text), ""
    if isinstance(wanted, int) and wanted >= 0:
        return Assertion(wanted, text), ""
    if wanted in {"yes", "no"}:
        return Assertion(str(wanted), text), ""
    return Assertion("yes", text), (
        'invalid yaml: assertion.violation, if set, must be a nonnegative integer, "yes", or "no"'
    )


def _case(page: Page, file: str) -> Case:
    made = [_assertion(one) for one in page.pages("assertions")]
    return Case(
        name=str(page.take("name", "")),
        object=_beside(file, page.take("object")),
        inventory=_all_beside(file, page.take("inventory")),
        assertions=tuple(one for one, _ in made),
        skip=page.take("skip", False) is True,
        fault=next((fault for _, fault in made if fault), ""),
    )


def read_suite(file: str, source: Source) -> tuple[Suite, list[Finding]]:
    """Read a suite from the document in a file."""
    page = source.page()
    page.take("metadata")
    tests = tuple(
        Test(
            name=str(one.take("name", "")),
            template=_beside(file, one.take("template")),
            constraint=_beside(file, one.take("constraint")),
            expansions=_all_beside(file, one.take("expansion")),
            cases=tuple(_case(case, file) for case in one.pages("cases")),
            invalid=one.take("invalid", False) is True,
            skip=one.take("skip", False) is True,
        )
        for one in page.pages("tests")
    )
    suite = Suite(source.ref.name, file, tests, page.take("skip", False) is True)
    return suite, unsupported(page, source)


def subject_of_review(content: Mapping[str, Any]) -> Subject:
    """Return the Subject that an AdmissionReview is about. Raises Unfounded."""
    request = content.get("request")
    if not isinstance(request, Mapping):
        raise Unfounded("missing K8s AdmissionRequest: request did not actually pass in an AdmissionRequest")
    object_, old = request.get("object"), request.get("oldObject")
    if object_ is None and old is None:
        raise Unfounded(
            'missing "object" or "oldObject" for review: AdmissionRequest does not contain an "object" or '
            '"oldObject" to review'
        )
    for one in (object_, old):
        if one is not None and not (isinstance(one, Mapping) and one.get("kind")):
            raise Unfounded("unmarshalling failed: Object 'Kind' is missing")
    operation = str(request.get("operation") or "")
    if operation == "DELETE":
        if old is None:
            raise Unfounded("invalid K8s AdmissionReview: oldObject cannot be nil for DELETE operations")
        object_ = old
    kind, resource = (request.get(key) or {} for key in ("kind", "resource"))
    user = request.get("userInfo") or {}
    extra = tuple(sorted((key, tuple(values)) for key, values in (user.get("extra") or {}).items()))
    target = Target(
        str(kind.get("group") or ""),
        str(kind.get("version") or ""),
        str(kind.get("kind") or ""),
        str(resource.get("resource") or ""),
        str(request.get("subResource") or ""),
        operation,  # type: ignore[arg-type]  # what a file says
    )
    return Subject(
        target=target,
        name=str(request.get("name") or ""),
        namespace=str(request.get("namespace") or ""),
        object=object_,
        old=old,
        user=User(
            name=str(user.get("username") or ""),
            groups=tuple(user.get("groups") or ()),
            uid=str(user.get("uid") or ""),
            extra=extra,
        ),
        dry_run=request.get("dryRun") is True,
        options=request.get("options") or {},
        uid=str(request.get("uid") or ""),
    )


class _Running:
    """One run of a suite: its files as documents, each read once."""

    def __init__(self, suite: Suite, files: Mapping[str, str], parse: Parse, kinds: Kinds) -> None:
        self.suite = suite
        self.files = files
        self.parse = parse
        self.kinds = kinds
        self.findings: list[Finding] = []
        self._documents: dict[str, Sequence[Source]] = {}
        self._models: dict[str, list[Model]] = {}

    def documents(self, name: str) -> Sequence[Source]:
        """Return the documents of a file. Raises Unfounded."""
        if name not in self._documents:
            if name not in self.files:
                raise Unfounded(f"open {name}: no such file or directory")
            self._documents[name] = [one for one in self.parse(name, self.files[name]) if one.content]
        found = self._documents[name]
        if not found:
            raise Unfounded(f'missing objects: path "{name}" defines no YAML objects')
        return found

    def models(self, name: str) -> list[Model]:
        """Return the template, constraint, or expansions and mutators in a file. Raises Unfounded."""
        if name not in self._models:
            made: list[Model] = []
            for source in self.documents(name):
                ref = source.ref
                read: Callable[[Source], tuple[Sequence[Model], list[Finding]]]
                if (ref.group, ref.kind) == ("templates.gatekeeper.sh", "ConstraintTemplate"):
                    read = templates.read
                elif ref.group == templates.GROUP:
                    read = constraints.read
                elif ref.group == "expansion.gatekeeper.sh":
                    read = expansions.read
                elif ref.group == "mutations.gatekeeper.sh" and ref.kind in mutators.READERS:
                    read = mutators.READERS[ref.kind]
                elif (ref.group, ref.kind) == ("config.gatekeeper.sh", "Config"):
                    read = inventories.read_config
                else:
                    continue
                models, findings = read(source)
                made += models
                self.findings += findings
            self._models[name] = made
        return self._models[name]

    def rows(self) -> Iterator[Row]:
        """Run every test."""
        for test in self.suite.tests:
            if self.suite.skip or test.skip:
                for case in test.cases or (Case("", "", (), (), True),):
                    yield self._row(test, case, skipped=True)
                continue
            yield from self._test(test)

    def _test(self, test: Test) -> Iterator[Row]:
        try:
            models, fits = self._bound(test)
        except Unfounded as error:
            for case in test.cases or (Case(test.name, "", (), (), False),):
                yield self._row(test, case, reason=str(error), error=True)
            return
        if test.invalid:
            got = "valid" if fits else "invalid"
            yield self._row(test, None, got=got, ok=not fits, wanted="an invalid constraint")
            return
        for case in test.cases:
            if case.skip:
                yield self._row(test, case, skipped=True)
            else:
                yield self._run(test, case, models)

    def _bound(self, test: Test) -> tuple[list[Model], bool]:
        """Return the models of a test, and whether its constraint fits its template. Raises Unfounded."""
        models = self._founded(test)
        parts = Parts(models)
        if not parts.bound and not test.invalid:
            raise Unfounded("; ".join(one.message for one in parts.findings))
        return models, bool(parts.bound)

    def _founded(self, test: Test) -> list[Model]:
        for name, what in ((test.template, "template"), (test.constraint, "constraint")):
            if not name:
                raise Unfounded(f"invalid Suite: missing {what}")
        before = len(self.findings)
        found: list[Model] = []
        for name, sort in ((test.template, templates.Template), (test.constraint, constraints.Constraint)):
            made = [one for one in self.models(name) if isinstance(one, sort)]
            if not made and not (test.invalid and sort is constraints.Constraint):
                said = "; ".join(one.message for one in self.findings[before:] or self.findings)
                raise Unfounded(said or f"{name} does not hold what the test needs")
            found += made[:1]
        for name in test.expansions:
            found += self.models(name)
        return found

    def _run(self, test: Test, case: Case, models: list[Model]) -> Row:
        try:
            outcomes = self._outcomes(case, models)
            messages = sorted(one.message for one in outcomes)
            faults = [one.fault(messages) for one in case.assertions]
        except Unfounded as error:
            return self._row(test, case, reason=str(error), error=True)
        reason = next((fault for fault in faults if fault), "")
        return self._row(
            test,
            case,
            got=f"{len(messages)} violations",
            ok=not reason,
            reason=reason,
            message="; ".join(messages),
            broken=any(one.result == "error" for one in outcomes),
        )

    def _outcomes(self, case: Case, models: list[Model]) -> list[Outcome]:
        if case.fault:
            raise Unfounded(case.fault)
        if not case.object:
            raise Unfounded("invalid Case: must define object")
        if not case.assertions:
            raise Unfounded("invalid Case: assertions must be non-empty")
        found = self.documents(case.object)
        if len(found) != 1:
            raise Unfounded(f'found multiple objects: "{case.object}" defines {len(found)} objects')
        there = [source.content for name in case.inventory for source in self.documents(name)]
        spaces = [one for one in there if one.get("kind") == "Namespace" and one.get("apiVersion") == "v1"]
        around = Surroundings(view=Snapshot(spaces), now=_EPOCH, kinds=self.kinds)
        content: Resource = found[0].content
        if content.get("kind") == "AdmissionReview" and str(content.get("apiVersion")).startswith(
            "admission.k8s.io/"
        ):
            subject = subject_of_review(content)
        else:
            subject = subject_of(content, "", scan=True)
            plural = self.kinds.plural(subject.target.group, subject.target.kind)
            subject = replace(subject, target=subject.target._replace(plural=plural))
        (bound,) = Parts(models, Given(there)).bound[:1]
        return list(_judged(bound, subject, around))

    def _row(
        self,
        test: Test,
        case: Case | None,
        *,
        got: str = "",
        ok: bool = False,
        reason: str = "",
        wanted: str = "",
        message: str = "",
        skipped: bool = False,
        error: bool = False,
        broken: bool = False,
    ) -> Row:
        refs = [one.ref for one in self._documents.get(test.constraint, ())[:1]]
        return Row(
            policy=refs[0].name if refs else test.constraint,
            rule=test.name,
            kind=refs[0].kind if refs else "",
            resource=case.name if case is not None else test.constraint,
            wanted=wanted or ", ".join(map(str, case.assertions if case is not None else ())),
            got=got,
            ok=ok,
            reason=reason,
            message=message,
            skipped=skipped,
            error=error,
            broken=broken,
        )


def _judged(bound: Bound, subject: Subject, around: Surroundings) -> Iterator[Outcome]:
    acts = bound.acts[GATOR]
    if not acts:
        return
    try:
        reviews = bound.desk.reviewed(subject, around)
    except Inexpansible as error:
        raise Unfounded(f"error expanding resource: {error}") from None
    for one in reviews:
        yield from bound.review(one, around, acts) or ()


def judge_suite(
    suite: Suite, files: Mapping[str, str], *, parse: Parse, kinds: Kinds
) -> tuple[list[Row], list[Finding]]:
    """Run a suite over the texts of its files: a row a case, and what is wrong with the documents."""
    running = _Running(suite, files, parse, kinds)
    return list(running.rows()), running.findings
