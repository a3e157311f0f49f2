"""Judges what is written in files, or what a cluster holds, by the policies of any format.

One LIST a kind, one pass over the objects. Brings the judge together with files and clusters; holds no rules.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from fairlead.diagnose.rules import RULES
from fairlead.dialects import polaris
from fairlead.dialects.kyverno.suites import Values
from fairlead.dialects.manifests import Document, Unamendable, amend, parse
from fairlead.drivers.cluster import AsyncCluster
from fairlead.judge.judging import judge, mutate
from fairlead.judge.mending import mend
from fairlead.judge.policies import Action, Assembled, Book, Judged, Result
from fairlead.judge.practices import DIALECT, SYSTEM, Practice, repaired
from fairlead.judge.practices import policies as compiled
from fairlead.judge.reading import Source
from fairlead.judge.subjects import ANONYMOUS, Operation, Subject, subject_of
from fairlead.judge.surroundings import Kinds, Surroundings
from fairlead.reactor.admit import Unanswered
from fairlead.reactor.applying import Applier
from fairlead.reactor.discovering import discover, listable
from fairlead.reactor.examine import gather, read_files
from fairlead.reactor.judging import Answerer, Provider, asking
from fairlead.reactor.kindnames import KindNames, catalogue_of
from fairlead.reactor.policies import ALWAYS, Loaded, dialect_of, load
from fairlead.reactor.practising import GRAVE, PAIRINGS, paired
from fairlead.tongues import jsonpatch
from fairlead.words import Finding, Need, Ref, Resource, Severity, Snapshot, User, View, Where

if TYPE_CHECKING:
    from fairlead.drivers.signatures.roots import Root
    from fairlead.reactor.unwrapping import Unwrapped
    from fairlead.reactor.verifying_images import Images

T = TypeVar("T")
Answering = Callable[[Sequence[Need]], Awaitable[Mapping[Need, Any]]]

_UNJUDGED = frozenset({
    ("", "Event"), ("events.k8s.io", "Event"), ("coordination.k8s.io", "Lease"), ("", "Endpoints"),
    ("discovery.k8s.io", "EndpointSlice"), ("", "ComponentStatus"), ("wgpolicyk8s.io", "PolicyReport"),
    ("wgpolicyk8s.io", "ClusterPolicyReport"),
})  # fmt: skip
"""What a cluster holds that nobody wrote: it is looked up by policies, but not judged itself."""


async def nobody(needs: Sequence[Need]) -> Mapping[Need, Any]:
    """Answer no Need."""
    return {
        need: Unanswered(f"{need.what} of {need.about.name or need.about} is not at hand here")
        for need in needs
    }


async def _offline(need: Need, _: float) -> Any:
    raise Unanswered(f"{need.about.name}: policies do not reach the network here; --online lets them")


async def _vet(need: Need, seconds: float) -> Any:
    from fairlead.reactor.verifying import vet  # few policies are written in CUE

    return await vet(need, seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """Who asks for what: the request that is imagined for each object, and what is stated in place of what policies look up."""

    user: User = ANONYMOUS
    roles: tuple[str, ...] = ()
    cluster_roles: tuple[str, ...] = ()
    operation: Operation = "CREATE"
    scan: bool = False
    values: Values | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one rule says of one object, ready to be told. `places` are where in the files, the first the worst."""

    policy: str
    rule: str
    dialect: str
    subject: Ref
    api_version: str
    result: Result
    message: str = ""
    wanted: str = ""
    actions: frozenset[Action] = frozenset()
    places: tuple[Where, ...] = ()
    severity: str = ""
    category: str = ""
    title: str = ""
    warnings: tuple[str, ...] = ()
    mutated: bool = False


@dataclass(slots=True)
class Judgement:
    """What came of judging many objects. `outcomes` keep each object's results as the engine gave them."""

    rows: list[Row] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    outcomes: list[tuple[Subject, list[Judged]]] = field(default_factory=list)
    objects: int = 0
    policies: int = 0
    rules: int = 0

    def count(self, result: Result) -> int:
        """Return how many rows have the result."""
        return sum(row.result == result for row in self.rows)


@dataclass(slots=True)
class Repair:
    """One file's new text, the rules that changed it, and what was left."""

    file: str
    text: str
    by: list[str]
    left: list[str]


class Bench:
    """Policies and objects read from files (and, if there is one, a cluster's view), ready to be judged."""

    def __init__(
        self,
        policies: Mapping[str, str],
        resources: Mapping[str, str],
        *,
        now: datetime,
        view: View | None = None,
        kinds: Kinds | None = None,
        circumstances: Circumstances | None = None,
        practices: Sequence[Practice] = (),
        registries: Sequence[str] = (),
        spared: Collection[str] = (),
        checks: Collection[str] = (),
        built: bool = False,
        packages: Unwrapped | None = None,
        policy_packages: Unwrapped | None = None,
    ) -> None:
        """Read policies and resources, each by file.

        `packages` are those among the resources, rendered, and `policy_packages` those among the policies. With `built` Kustomize trees are
        judged as what would be applied, otherwise as their files have it.

        `practices` are judged besides the policies; images of the `registries` are allowed then, and what is in namespaces that are
        `spared` is not looked at by them. `checks` are practices of several objects (`practising.PAIRINGS`).
        """
        configurations, policies = _configurations(policies)
        policy_documents, self.findings = read_files(policies, packages=policy_packages)
        self.documents, said = read_files(resources, built=built, every=True, packages=packages)
        self.findings += said
        self.loaded: Loaded = load(Source(one.content, one.where) for one in policy_documents)
        self.findings += self.loaded.findings
        models, asked = self._configured(configurations)
        if models.policies:
            book = Book((*self.loaded.book.policies, *models.policies))
            self.loaded = replace(self.loaded, book=book)
        self.policies = self.loaded.book
        self._practices = tuple(practices)
        self.checks = frozenset(checks) | asked
        self._now = now
        if practices:
            also = compiled(practices, registries, spared)
            self.loaded = replace(self.loaded, book=Book((*self.policies.policies, *also)))
        self.policy_documents = [one for one in policy_documents if _is_policy(one.ref)] + configurations
        self._circumstances = circumstances or Circumstances()
        values = self._circumstances.values
        everything = [one.content for one in (*policy_documents, *self.documents)]
        everything += values.spaces.values() if values is not None else ()
        self._view = view if view is not None else Snapshot(everything)
        catalogue = catalogue_of(everything)
        self._kinds = kinds if kinds is not None else KindNames(catalogue)
        self._answering: Answering = nobody
        applier = Applier(catalogue)
        self.around = Surroundings(
            view=self._view,
            now=now,
            kinds=self._kinds,
            merge=applier.merge,
            atomics=applier.atomics,
            given=values.given if values is not None else None,
        )

    def _configured(self, configurations: Iterable[Document]) -> tuple[Assembled, frozenset[str]]:
        """Read Polaris's configurations; return their policies, and which checks of several objects they ask for."""
        models: list[polaris.Configuration] = []
        for one in configurations:
            read, said = polaris.configuration(Source(one.content, one.where))
            models += read
            self.findings += said
        assembled = polaris.assemble(models, PAIRINGS)
        self.findings += assembled.findings
        asked = {
            check
            for model in models
            for check, severity in model.severities.items()
            if check in PAIRINGS and severity != "ignore"
        }
        return assembled, frozenset(asked)

    @asynccontextmanager
    async def answerer(
        self,
        *,
        online: bool,
        cluster: AsyncCluster | None = None,
        images: bool = False,
        usual: Root | None = None,
    ) -> AsyncIterator[None]:
        """Let policies ask guests, the cluster, and with `online` the network, while the context is open.

        `images` lets them ask registries, and have signatures verified by `usual`, or else sigstore's own trust root.
        """
        from fairlead.reactor.guesting import GuestProvider

        asked: Images | None = None
        if images or online:
            from fairlead.reactor.verifying_images import Images

            asked = Images(lambda: self._view, usual=usual)
        guests = GuestProvider(
            lambda: self._view, self._kinds, online=online, images=asked if online else None
        )
        closed = {} if online else {"http": _offline, "dns": _offline, "externaldata": _offline}
        seen = {"image.verification": asked, "image.data": asked} if asked is not None else {}
        providers: dict[str, Provider] = {"guest": guests, "cue.vet": _vet, **closed, **seen}
        answerer = Answerer(lambda: self._view, cluster=cluster, providers=providers)
        self._answering = answerer.answer
        try:
            yield
        finally:
            self._answering = nobody
            await guests.close()
            if asked is not None:
                await asked.close()

    async def judge(self) -> Judgement:
        """Judge every object of the files."""
        found = self._judgement()
        for document in self.documents:
            subject = self.subject(document.content)
            found.objects += 1
            judged = await self._outcomes(subject)
            found.outcomes.append((subject, judged))
            found.rows += [row(subject, one, document.where) for one in judged]
        found.rows += self._together()
        found.rows = list(
            dict.fromkeys(found.rows)
        )  # overlays that differ elsewhere have a fault of their base in common
        return found

    def _together(self) -> list[Row]:
        """Return what several objects of the files together show of good practice."""
        written = {one.ref: one for one in self.documents}

        def locate(ref: Ref, path: str) -> Where:
            return written[ref].where(path) if ref in written else Where(path=path)

        contents = {ref: one.content for ref, one in written.items()}
        found = paired(contents.values(), self._now, locate, checks=self.checks) if self.checks else []
        return [_row_of(one, contents.get(one.subject, {})) for one in found]

    async def judge_objects(self, objects: Iterable[Resource]) -> Judgement:
        """Judge objects that are written nowhere."""
        found = self._judgement()
        for one in objects:
            subject = self.subject(one)
            found.objects += 1
            judged = await self._outcomes(subject)
            found.outcomes.append((subject, judged))
            found.rows += [row(subject, each, _nowhere) for each in judged]
        return found

    def _judgement(self) -> Judgement:
        policies = [one for one in self.loaded.book.policies if one.dialect not in ALWAYS]
        rules = sum(len(policy.rules) for policy in policies)
        return Judgement(findings=list(self.findings), policies=len(policies), rules=rules)

    def subject(self, content: Resource) -> Subject:
        """Return the request that is imagined for an object."""
        ref = Ref.of(content)
        asked = self._circumstances
        namespace = ref.namespace or ("default" if self._kinds.namespaced(ref.group, ref.kind) else "")
        subject = subject_of(
            content,
            self._kinds.plural(ref.group, ref.kind),
            space=self._view.get("", "Namespace", "", namespace) if namespace else None,
            user=asked.user,
            operation=asked.operation,
            scan=asked.scan,
        )
        if (ref.group, ref.kind) != ("", "Namespace"):
            subject = replace(subject, namespace=namespace)
        return replace(subject, roles=asked.roles, cluster_roles=asked.cluster_roles)

    async def _outcomes(self, subject: Subject) -> list[Judged]:
        def step(around: Surroundings) -> list[Judged]:
            changed, said = mutate(subject, self.loaded.book, around)
            return said + judge(changed, self.loaded.book, around)

        return await self._asking(step)

    async def _asking(self, step: Callable[[Surroundings], T]) -> T:
        return await asking(step, self.around, self._answering)

    async def repair(self, texts: Mapping[str, str]) -> list[Repair]:
        """Return the files that mutations and remedies change. `texts` are the files as they are."""
        repairs: dict[str, Repair] = {}
        for document in reversed(self.documents):  # from the end, so that the lines above stay where they are
            better, made = repaired(document.content, self._practices, self._view)
            subject = self.subject(better)
            mended = await self._asking(partial(mend, subject, self.policies))
            operations = jsonpatch.diff(document.content, mended.object)
            if not operations or document.file not in texts:
                continue
            repair = repairs.setdefault(document.file, Repair(document.file, texts[document.file], [], []))
            try:
                repair.text = amend(repair.text, document.line, mended.object, operations)
                repair.by += [f"{document.ref}: {_told(one)}" for one in made]
                repair.by += [f"{document.ref}: {name}" for name in mended.by]
            except Unamendable as error:
                repair.left.append(f"{document.ref}: {error}")
        return list(repairs.values())


def _told(practice: Practice) -> str:
    return f"{practice.rule}, at the risk that {practice.risk}" if practice.risk else practice.rule


async def judge_cluster(
    cluster: AsyncCluster,
    policies: Mapping[str, str],
    *,
    now: datetime,
    namespace: str = "",
    circumstances: Circumstances | None = None,
    online: bool = False,
    practices: Sequence[Practice] = (),
    registries: Sequence[str] = (),
    checks: Collection[str] = (),
    images: bool = False,
    usual: Root | None = None,
    policy_packages: Unwrapped | None = None,
) -> Judgement:
    """Judge what a cluster (or one namespace of it) holds, by the policies of the texts and by practices, or if there are none by its own.

    Practices do not look at Kubernetes' own namespaces, unless it is one of them that is asked for.

    Raises Unreachable and Refusal.
    """
    catalogue = await discover(cluster)
    kinds = listable(catalogue)
    view, unseen = await gather(cluster, "", kinds)
    bench = Bench(
        policies,
        {},
        now=now,
        view=view,
        kinds=KindNames(catalogue),
        circumstances=replace(circumstances or Circumstances(), scan=True),
        practices=practices,
        registries=registries,
        spared=SYSTEM - {namespace},
        policy_packages=policy_packages,
        checks=checks,
    )
    if not policies and not practices and not checks:
        bench.loaded = load(Source(one) for one in view)
    bench.findings += [
        Finding(
            rule="judge.unseen",
            severity=Severity.WARNING,
            subject=Ref(group, kind, "", ""),
            message="could not be listed and is not judged",
        )
        for group, kind in sorted(unseen)
    ]
    async with bench.answerer(online=online, cluster=cluster, images=images, usual=usual):
        found = await bench.judge_objects(
            one
            for one in view
            if (ref := Ref.of(one)).namespace == namespace or not namespace
            if (ref.group, ref.kind) not in _UNJUDGED
        )
    if bench.checks:
        found.rows += [
            _row_of(
                one, view.get(one.subject.group, one.subject.kind, one.subject.namespace, one.subject.name)
            )
            for one in paired(view, now, checks=bench.checks, scope="live", unseen=unseen)
            if (space := _space(one.subject)) == namespace or (not namespace and space not in SYSTEM)
        ]
    return found


def _space(ref: Ref) -> str:
    """Return the namespace that an object lives in, or is."""
    return ref.name if (ref.group, ref.kind) == ("", "Namespace") else ref.namespace


def _row_of(one: Finding, subject: Resource | None) -> Row:
    """Return what several objects show together as a Row about the one that is blamed."""
    grave = one.rule in GRAVE
    return Row(
        policy=one.rule,
        rule="",
        dialect=DIALECT,
        subject=one.subject,
        api_version=(subject or {}).get("apiVersion") or "",
        result="fail" if grave else "warn",
        message=one.message,
        wanted=one.cause,
        actions=frozenset({"deny"} if grave else {"warn"}),
        places=(one.where,),
        severity="high" if grave else "medium",
        category="access" if one.rule.startswith("access.") else "reliability",
        title=RULES.get(one.rule, ""),
    )


def _configurations(texts: Mapping[str, str]) -> tuple[list[Document], dict[str, str]]:
    """Return the configurations of Polaris's among files, and the other files."""
    found: list[Document] = []
    rest: dict[str, str] = {}
    for name, text in texts.items():
        documents = parse(name, text)[0] if "checks" in text or "customChecks" in text else []
        if documents and all(polaris.is_configuration(one.content) for one in documents):
            found += documents
        else:
            rest[name] = text
    return found, rest


def _is_policy(ref: Ref) -> bool:
    return bool(dialect_of(ref.group, ref.kind))


def _nowhere(path: str) -> Where:
    return Where(path=path)


def row(subject: Subject, judged: Judged, locate: Callable[[str], Where]) -> Row:
    """Return an outcome as a Row. `locate` gives the place of a path in the subject's document."""
    policy, outcome = judged.policy, judged.outcome
    result = outcome.result
    if result == "fail" and not policy.scored:
        result = "warn"
    paths, wanted = outcome.told()
    return Row(
        policy=policy.name,
        rule=judged.rule.name,
        dialect=policy.dialect,
        subject=subject.ref,
        api_version=subject.present.get("apiVersion") or "",
        result=result,
        message=outcome.message,
        wanted=wanted,
        actions=outcome.actions,
        places=tuple(locate(path) for path in paths) or (locate(""),),
        severity=policy.severity,
        category=policy.category,
        title=policy.title,
        warnings=outcome.warnings,
        mutated=outcome.object is not None,
    )


def finding(one: Row) -> Finding:
    """Return a Row that is not fine as a Finding."""
    grave = one.result == "error" or (one.result == "fail" and "deny" in one.actions)
    return Finding(
        rule=f"{one.policy}/{one.rule}" if one.rule else one.policy,
        severity=Severity.CRITICAL if grave else Severity.WARNING,
        subject=one.subject,
        message=one.message or "fails",
        cause=f"Would pass: {one.wanted}." if one.wanted else "",
        where=one.places[0] if one.places else Where(),
    )


__all__ = [
    "Answering",
    "Bench",
    "Circumstances",
    "Document",
    "Judgement",
    "Repair",
    "Row",
    "finding",
    "judge_cluster",
    "nobody",
    "row",
]
