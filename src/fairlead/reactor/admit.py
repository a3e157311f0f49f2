"""The gate of a world: judges every write by the policies that the world itself holds, in process and at once.

Keeps one Book current from the policy documents in the store, shows policies the head of that store, and turns verdicts into
refusals in Kubernetes' words. Holds no rules of its own but one: whom policies may never lock out. Must never wait: what a rule
needs from outside goes up as Lacking, is fetched, and the write is tried again.
"""

from __future__ import annotations

import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from fairlead.judge.judging import Verdict, conclude, judge, mutate
from fairlead.judge.policies import Book, Judged
from fairlead.judge.reading import Source
from fairlead.judge.subjects import Subject, Target
from fairlead.judge.surroundings import Lacking, Question, Surroundings
from fairlead.keep import authorizing
from fairlead.keep.authorizing import RBAC_GROUP, Policies
from fairlead.keep.chances import uid
from fairlead.keep.entries import Storage
from fairlead.keep.errors import Refusal, qualified
from fairlead.keep.gating import Passage
from fairlead.keep.kinds import Catalogue
from fairlead.keep.schemas import Schemas
from fairlead.keep.staging import Store
from fairlead.reactor.admitviews import HeadView, Ticks
from fairlead.reactor.applying import Applier
from fairlead.reactor.exempting import OWN_DIALECTS, exempt, only_own
from fairlead.reactor.kindnames import KindNames
from fairlead.reactor.policies import GROUPS, POD_SECURITY, Library, Loaded
from fairlead.words import Need, Ref, Resource, View

log = logging.getLogger("fairlead.admit")

Answering: TypeAlias = Callable[[Sequence[Need]], Awaitable[Mapping[Need, Any]]]
"""Fetches what is lacking: an answer for each Need, or an Exception that says why there is none."""

LATER = 10_000
"""Requests that may wait for their generate rules; of more than so many the oldest are left to the next audit."""

VIOLATIONS = 1_000
"""Violations that may wait to be written down."""

_NAMESPACES: Storage = ("", "namespaces")
_RBAC = tuple(
    (RBAC_GROUP, plural) for plural in ("roles", "clusterroles", "rolebindings", "clusterrolebindings")
)
_MATCHES_ROLES = frozenset({"kyverno"})
_LISTS_VIOLATIONS = frozenset({"jspolicy"})
_DENIED = "ValidatingAdmissionPolicy"


class PolicyGate:
    """See the module. One gate serves one world; `fork` gives the one of a copy.

    `answering` fetches what rules need from outside. `lend` gives objects that somebody has decoded already, perhaps older ones.
    """

    def __init__(
        self, answering: Answering | None = None, lend: Callable[[], View | None] | None = None
    ) -> None:
        self.later: deque[Subject] = deque(maxlen=LATER)
        """Requests that were let pass and that generate rules concern."""
        self.violations: deque[tuple[Subject, Judged]] = deque(maxlen=VIOLATIONS)
        """What JsPolicies found in requests, dry runs apart."""
        self.stir: Callable[[], None] | None = None
        """Called when something was put into either."""
        self._answering = answering
        self._lend = lend
        self._copy = False
        self._library = Library()
        self._known: dict[tuple[Storage, str, str], tuple[int, Ref]] = {}
        self._answers: Mapping[Need, Any] = {}
        self._memo: dict[Any, Any] = {}
        self._memo_stamp: object = None
        self._own: tuple[Loaded, Book] | None = None
        self._rights: Policies | None = None
        self._rights_stamp: object = None

    # What keep asks of a gate

    def attach(self, store: Store, catalogue: Catalogue, schemas: Schemas) -> Ticks:
        """See keep.gating.Gate."""
        self._store = store
        self._ticks = Ticks(_is_policy)
        self._ticks.dirty.update(storage for storage in store.head.storages() if _is_policy(storage))
        self._view = HeadView(store, catalogue, self._ticks, self._lend)
        self._kinds = KindNames(catalogue)
        self._applier = Applier(catalogue, schemas)
        return self._ticks

    @property
    def closed(self) -> bool:
        """See keep.gating.Gate."""
        return bool(self.loaded.book.policies)

    def mutate(self, passage: Passage) -> Resource | None:
        """See keep.gating.Gate."""
        book = self._book(passage)
        if exempt(passage) or not book.rules(_target(passage), "mutate"):
            return None
        subject = self._subject(passage)
        after, outcomes = self._judging(lambda around: mutate(subject, book, around), (subject, []), passage)
        verdict = Verdict(after, outcomes)
        self._conclude(verdict, passage)
        return after.object if after.object is not subject.object else None

    def validate(self, passage: Passage) -> None:
        """See keep.gating.Gate."""
        if exempt(passage):
            return
        labels = ((passage.obj or {}).get("metadata") or {}).get("labels")
        if passage.kind.storage == _NAMESPACES and _secured(labels):
            self._library.wake("podsecurity")
        book = self._book(passage)
        target = _target(passage)
        if book.rules(target, "validate"):
            subject = self._subject(passage)
            outcomes = self._judging(lambda around: judge(subject, book, around), [], passage)
            self._conclude(Verdict(subject, outcomes), passage)
        if not self._copy and not passage.request.dry_run and book.rules(target, "generate"):
            self.later.append(self._subject(passage))
            if self.stir is not None:
                self.stir()

    def fork(self) -> PolicyGate:
        """Return the gate of a copy of the world: the same policies, but nobody to ask for what they need from outside.

        Rules that would have to ask are passed over there: the write to the world itself asks them.
        """
        other = PolicyGate()
        other._copy = True
        other._library = self._library.copy()
        other._known = dict(self._known)
        return other

    # What the keeper and the loops ask

    @property
    def loaded(self) -> Loaded:
        """The policies of this moment."""
        if self._ticks.dirty:
            self._load()
        return self._library.loaded()

    @property
    def library(self) -> Library:
        """The documents of this moment."""
        if self._ticks.dirty:
            self._load()
        return self._library

    @contextlib.contextmanager
    def given(self, answers: Mapping[Need, Any]) -> Iterator[None]:
        """Judge with these answers while the context is open."""
        before, self._answers = self._answers, answers
        try:
            yield
        finally:
            self._answers = before

    async def fetch(self, needs: Sequence[Need]) -> Mapping[Need, Any]:
        """Return an answer for each Need, or an Exception that says why there is none."""
        if self._answering is None:
            return {
                need: Unanswered(f"there is nobody here to ask for the {need.what} of {need.about}")
                for need in needs
            }
        return await self._answering(needs)

    def around(self, passage_now: Any, seed: int = 0) -> Surroundings:
        """Return what is around a request at a moment."""
        wanted = self.loaded.wanted
        stamp = self._view.stamp(wanted)
        if stamp != self._memo_stamp:
            self._memo, self._memo_stamp = {}, stamp
        return Surroundings(
            view=self._view,
            now=passage_now,
            kinds=self._kinds,
            answers=self._answers,
            allowed=self.allowed,
            merge=self._applier.merge,
            atomics=self._applier.atomics,
            seed=seed,
            memo=self._memo,
        )

    # Parts

    def _book(self, passage: Passage) -> Book:
        """Return the policies that a request may concern: in the system's namespaces only Kubernetes' own."""
        loaded = self.loaded
        if not only_own(passage.namespace):
            return loaded.book
        if self._own is None or self._own[0] is not loaded:
            own = Book(policy for policy in loaded.book.policies if policy.dialect in OWN_DIALECTS)
            self._own = (loaded, own)
        return self._own[1]

    def _load(self) -> None:
        """Take in what has changed among the policy documents."""
        dirty, self._ticks.dirty = self._ticks.dirty, set()
        head = self._store.head
        for storage in dirty:
            if storage == _NAMESPACES:
                if any(_secured(stored.labels) for stored in head.items(storage)):
                    self._library.wake("podsecurity")
                continue
            gone = {key for key in self._known if key[0] == storage}
            for stored in head.items(storage):
                key = (storage, stored.namespace, stored.name)
                gone.discard(key)
                known = self._known.get(key)
                if known is None or known[0] != stored.rv:
                    content = stored.object
                    self._known[key] = (stored.rv, Ref.of(content))
                    self._take(content)
            for key in gone:
                self._library.drop(self._known.pop(key)[1])

    def _take(self, content: Resource) -> None:
        try:
            self._library.put(Source(content))
        except Exception:
            log.exception("%s cannot be read as a policy", Ref.of(content))

    def _judging(self, step: Callable[[Surroundings], Any], nothing: Any, passage: Passage) -> Any:
        around = self.around(passage.request.now, passage.rng.getrandbits(32))
        try:
            return step(around)
        except Lacking:
            if self._copy:
                return nothing
            raise

    def _subject(self, passage: Passage) -> Subject:
        kind = passage.kind
        itself = kind.storage == _NAMESPACES
        roles: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
        if any(policy.dialect in _MATCHES_ROLES for policy in self.loaded.book.policies):
            roles = self._policies().bound(passage.request.user)
        space = None
        if passage.namespace and not itself:
            space = self._view.get("", "Namespace", "", passage.namespace)
        return Subject(
            target=_target(passage),
            name=passage.name,
            namespace=passage.name if itself else passage.namespace,
            object=passage.obj,
            old=passage.old,
            space=space,
            user=passage.request.user,
            roles=roles[0],
            cluster_roles=roles[1],
            dry_run=passage.request.dry_run,
            options=passage.options,
            uid=uid(passage.rng),
        )

    def _policies(self) -> Policies:
        """Return who may do what, as it is in the head."""
        stamp = tuple(self._ticks.counts.get(storage, 0) for storage in _RBAC)
        if self._rights is None or stamp != self._rights_stamp:
            roles, cluster_roles, bindings, cluster_bindings = (
                [stored.object for stored in self._store.head.items(storage)] for storage in _RBAC
            )
            self._rights = Policies(
                roles=roles,
                cluster_roles=cluster_roles,
                role_bindings=bindings,
                cluster_role_bindings=cluster_bindings,
            )
            self._rights_stamp = stamp
        return self._rights

    def allowed(self, question: Question) -> tuple[bool, str]:
        """Return whether somebody may do something, by the cluster's roles, and why."""
        if authorizing.MASTERS in question.user.groups:
            return True, ""
        decision = self._policies().decide(
            authorizing.Question(
                user=question.user,
                verb=question.verb,
                group=question.group,
                resource=question.resource,
                subresource=question.subresource,
                namespace=question.namespace,
                name=question.name,
                path=question.path,
            )
        )
        return decision.allowed, decision.reason

    def _conclude(self, verdict: Verdict, passage: Passage) -> None:
        passage.warnings += verdict.warnings
        if not self._copy and not passage.request.dry_run:
            self._keep(verdict)
        conclude(verdict)
        tell(verdict)
        if not verdict.allowed:
            raise refusal(verdict, passage)

    def _keep(self, verdict: Verdict) -> None:
        """Keep the violations that their format lists on an object of its own."""
        listed = [
            (verdict.subject, one)
            for one in verdict.outcomes
            if one.outcome.result == "fail" and one.policy.dialect in _LISTS_VIOLATIONS
        ]
        self.violations += listed
        if listed and self.stir is not None:
            self.stir()


class Unanswered(Exception):
    """Why there is no answer to a Need."""


def _is_policy(storage: Storage) -> bool:
    return storage[0] in GROUPS or storage == _NAMESPACES


def _secured(labels: Mapping[str, str] | None) -> bool:
    return labels is not None and any(label.startswith(POD_SECURITY) for label in labels)


def _target(passage: Passage) -> Target:
    kind, spoken = passage.kind, passage.spoken or passage.kind
    return Target(kind.group, kind.version, spoken.kind, kind.plural, passage.subresource, passage.operation)


def tell(verdict: Verdict) -> None:
    """Write the audit annotations of a verdict into the log: there is no other audit log."""
    if verdict.audit:
        told = " ".join(f"{key}={text!r}" for key, text in sorted(verdict.audit.items()))
        log.info(
            "%s %s by %s: %s",
            verdict.subject.target.operation,
            verdict.subject.ref,
            verdict.subject.user.name,
            told,
        )


def refusal(verdict: Verdict, passage: Passage) -> Refusal:
    """Return the refusal of a request in the form that Kubernetes gives it.

    What its own plug-ins deny names the object and is Forbidden, or, for a ValidatingAdmissionPolicy, has the policy's reason and the
    message once more as its cause (which is what kubectl prints). What webhooks deny is told as they told it.
    Source: k8s.io/apiserver pkg/admission/errors.go, plugin/policy/validating/plugin.go, plugin/webhook/errors.
    """
    kind = passage.kind
    name = passage.name or ((passage.obj or {}).get("metadata") or {}).get("generateName") or "Unknown"
    details: dict[str, Any] = {"name": name, "group": kind.group, "kind": kind.plural}
    code, reason = verdict.code, verdict.reason
    if not reason and code == 403:
        reason = "Forbidden"
    head = f'{qualified(kind.group, kind.plural)} "{name}" is forbidden: '
    if not verdict.message.startswith(head):
        return Refusal(code, reason, verdict.message, None)
    details = {key: value for key, value in details.items() if value}
    said = verdict.message.removeprefix(head)
    if said.startswith(_DENIED):
        details["causes"] = [{"message": said}]
    return Refusal(code, reason, verdict.message, details)


__all__ = ["Answering", "PolicyGate", "Unanswered", "refusal", "tell"]
