"""Follows a cluster: its policies, and in memory only the kinds that they look up, kept current by watches.

Which kinds those are is known when the policies are; new policies count from the moment at which what they look up is there.
Holds no rules and writes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from random import getrandbits
from typing import Any, TypeAlias

from fairlead.drivers.cluster import AsyncCluster, Seen, Unreachable
from fairlead.judge.expressions_requests import user_info
from fairlead.judge.reading import Source
from fairlead.judge.surroundings import Lacking, Question, Surroundings
from fairlead.keep.authorizing import RBAC_GROUP, Policies
from fairlead.keep.errors import Refusal
from fairlead.keep.kinds import Catalogue, Kind
from fairlead.reactor.applying import Applier
from fairlead.reactor.discovering import discover
from fairlead.reactor.exempting import OWN_DIALECTS
from fairlead.reactor.kindnames import KindNames
from fairlead.reactor.policies import GROUPS, NOTHING, POD_SECURITY, Library, Loaded, dialect_of
from fairlead.words import Finding, Need, Ref, Resource, Snapshot, User

log = logging.getLogger("fairlead.following")

ACCESS = "access"
"""The sort of Need that an access question is: a SubjectAccessReview answers it."""
SETTLE = 0.1
"""Seconds that changes may come together before the policies are joined anew."""
SPACE_SECONDS = 2.0
"""How long a Namespace that is not known yet may take to be looked up."""
RETRY = 5.0
"""Seconds before what was refused is asked for again."""
REDISCOVER = 300.0
"""Seconds after which the cluster is asked for its kinds again, though nothing says that they have changed."""

_NAMESPACES = ("", "Namespace")
_DEFINITIONS = ("apiextensions.k8s.io", "CustomResourceDefinition")
_BINDINGS = ((RBAC_GROUP, "RoleBinding"), (RBAC_GROUP, "ClusterRoleBinding"))
_MATCHES_ROLES = "kyverno"
_EVERYTHING = ("*", "*")
_NEVER_KEPT = frozenset(
    {("", "Event"), ("events.k8s.io", "Event"), ("coordination.k8s.io", "Lease"), ("", "ComponentStatus")}
)
"""What a policy that looks up everything does not get: it changes all the time and says nothing."""


Key: TypeAlias = tuple[str, str]
"""The group of a kind, and the kind."""
Roles: TypeAlias = tuple[tuple[str, ...], tuple[str, ...]]


class Follower:
    """See the module. One event loop; `run` keeps it current, and closing the cluster is the caller's.

    `own` says that the policies which an API server judges by itself (ValidatingAdmissionPolicies, pod security labels) are wanted too,
    `users` that it is to be known who is bound to which role. `heard` is told every change of a kind that is followed, and None when
    some may have been missed; `settled`, that what is followed is as it should be.
    """

    def __init__(
        self,
        cluster: AsyncCluster,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        *,
        own: bool = False,
        users: bool = False,
        heard: Callable[[Key, Seen | None], None] = lambda _key, _seen: None,
        settled: Callable[[], None] = lambda: None,
    ) -> None:
        self.loaded: Loaded = NOTHING
        self.view = Snapshot()
        self.kinds = KindNames(Catalogue(()))
        self._cluster, self._clock = cluster, clock
        self._own, self._users, self._heard, self._settled = own, users, heard, settled
        self._library = Library()
        self.catalogue: Catalogue | None = None
        """The kinds that are served, None until that is known."""
        self._applier = Applier(Catalogue(()))
        self._following: dict[Key, asyncio.Task[None]] = {}
        self._synced: set[Key] = set()
        self._denied: dict[Key, str] = {}
        self._stir = asyncio.Event()
        self._stale = True
        self._ready = False
        self._memo: dict[Any, Any] = {}
        self._rights: Policies | None = None

    # What others ask

    def missing(self) -> str:
        """Return what is still to come before anything can be judged, "" for nothing."""
        if self._ready:
            return ""
        if self.catalogue is None:
            return "what kinds the cluster serves"
        late = sorted(f"{kind}.{group}".strip(".") for group, kind in self._late(self._library.loaded()))
        return ", ".join(late) or "the policies"

    def around(self, answers: Mapping[Need, Any]) -> Surroundings:
        """Return what is around one request or resource."""

        def allowed(question: Question) -> tuple[bool, str]:
            need = _access_need(question)
            if need not in answers:
                raise Lacking(need)
            answer = answers[need]
            if isinstance(answer, Exception):
                raise answer
            return bool(answer[0]), str(answer[1])

        return Surroundings(
            view=self.view,
            now=self._clock(),
            kinds=self.kinds,
            answers=answers,
            allowed=allowed,
            merge=self._applier.merge,
            atomics=self._applier.atomics,
            seed=getrandbits(32),
            memo=self._memo,
        )

    def roles(self, user: User) -> Roles:
        """Return the roles and cluster roles that are bound to a user, for the policies that match on them."""
        if not self._matches_roles(self.loaded):
            return (), ()
        if self._rights is None:
            local, everywhere = (self.view.list(*one) for one in _BINDINGS)
            self._rights = Policies(role_bindings=local, cluster_role_bindings=everywhere)
        return self._rights.bound(user)

    async def space(self, name: str) -> Resource | None:
        """Return a Namespace. What no watch has told of yet is asked for: policies must not miss a new Namespace's labels."""
        found = self.view.get("", "Namespace", "", name)
        if found is not None:
            return found
        try:
            async with asyncio.timeout(SPACE_SECONDS):
                return await self._cluster.get("v1", "Namespace", "", name)
        except (Refusal, Unreachable, TimeoutError) as error:
            if not isinstance(error, Refusal) or error.code != 404:
                log.warning("namespace %s cannot be looked up: %s", name, error)
            return None

    async def ask_access(self, need: Need, seconds: float) -> tuple[bool, str]:  # noqa: ARG002  the caller's clock counts
        """Answer an access question: a provider for the Answerer."""
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": json.loads(dict(need.detail)["spec"]),
        }
        answer = await self._cluster.raw(
            "POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", body=body
        )
        status = answer.json().get("status") or {}
        return bool(status.get("allowed")), str(status.get("reason") or "")

    # Following

    def follows(self, key: Key) -> bool:
        """Whether every change of a kind is heard."""
        return key in self._synced

    async def run(self) -> None:
        """Keep everything current until cancelled."""
        try:
            while True:
                if self._stale:
                    await self._discover()
                self._follow_what_is_wanted()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(REDISCOVER):
                        await self._stir.wait()
                self._stale = self._stale or not self._stir.is_set()
                await asyncio.sleep(SETTLE)
                self._stir.clear()
        finally:
            tasks = list(self._following.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _discover(self) -> None:
        """Ask for the kinds, until the cluster answers."""
        delay = 0.2
        while True:
            try:
                self._stale = False
                catalogue = await discover(self._cluster)
            except (Unreachable, Refusal, KeyError, ValueError) as error:
                log.warning("the cluster does not say what kinds it serves: %s", error)
                await asyncio.sleep(delay)
                delay = min(delay * 2, RETRY)
                continue
            self.catalogue = catalogue
            self.kinds.renew(catalogue)
            self._applier, self._memo = Applier(catalogue), {}
            return

    def _follow_what_is_wanted(self) -> None:
        """Start and end watches, and let the new policies count once everything that they look up is here."""
        loaded = self._library.loaded()
        wanted = dict(self._wanted(loaded)) | dict(self._wanted(self.loaded))
        for key in [key for key in self._following if key not in wanted or self._following[key].done()]:
            self._following.pop(key).cancel()
            self._synced.discard(key)
            self._forget(key, set())
            self._denied.pop(key, None)
        for key, kind in wanted.items():
            if key not in self._following:
                self._following[key] = asyncio.create_task(self._follow(kind), name=f"follow {kind.plural}")
        if self._late(loaded):
            return
        if loaded is self.loaded and self._ready:
            self._settled()
            return
        before, self.loaded, self._ready = self.loaded, loaded, True
        self._memo = {}
        log.info("%d policies hold (there were %d)", len(loaded.book.policies), len(before.book.policies))
        tell(one for one in loaded.findings if one not in before.findings)
        self._stir.set()
        self._settled()

    def _late(self, loaded: Loaded) -> list[Key]:
        """Return the kinds that are not here yet."""
        return [key for key, _ in self._wanted(loaded) if key not in self._synced and key not in self._denied]

    def _wanted(self, loaded: Loaded) -> Iterator[tuple[Key, Kind]]:
        """Yield each kind that is to be followed: policies, and what these look up."""
        if self.catalogue is None:
            return
        looked_up = loaded.wanted | {_NAMESPACES, _DEFINITIONS}
        if self._matches_roles(loaded):
            looked_up |= set(_BINDINGS)
        everything = _EVERYTHING in looked_up
        for kind in self.catalogue.all():
            key = (kind.group, kind.kind)
            if not {"list", "watch"} <= kind.verbs or self.catalogue.kind(*key) is not kind:
                continue
            if key in looked_up or self._is_policy(key) or (everything and key not in _NEVER_KEPT):
                yield key, kind

    def _is_policy(self, key: Key) -> bool:
        """Whether objects of a kind are documents of policies that are judged by."""
        group = key[0]
        return group in GROUPS and (self._own or GROUPS[group] not in OWN_DIALECTS) and bool(dialect_of(*key))

    def _matches_roles(self, loaded: Loaded) -> bool:
        return self._users and any(policy.dialect == _MATCHES_ROLES for policy in loaded.book.policies)

    async def _follow(self, kind: Kind) -> None:
        key = (kind.group, kind.kind)
        while True:
            fresh: set[Ref] | None = set()
            try:
                async with contextlib.aclosing(self._cluster.follow(kind.api_version, kind.kind)) as events:
                    async for seen in events:
                        if seen.type != "SYNCED":
                            ref = self._see(key, seen)
                            if fresh is not None:
                                fresh.add(ref)
                            else:
                                self._heard(key, seen)
                        elif fresh is not None:
                            self._forget(key, fresh)
                            fresh = None
                            if key in self._synced:
                                self._heard(key, None)
                            self._synced.add(key)
                            self._denied.pop(key, None)
                            self._stir.set()
            except Refusal as refusal:
                if refusal.code == 404:  # its definition is gone
                    self._stale = True
                    self._stir.set()
                    return
                if key not in self._denied:
                    log.warning("%s cannot be followed: %s", kind.plural, refusal.message)
                if key not in self._synced and not self._is_policy(key):
                    self._denied[key] = refusal.message
                    self._stir.set()
            except Exception:
                log.exception("%s cannot be followed", kind.plural)
            await asyncio.sleep(RETRY)

    def _see(self, key: Key, seen: Seen) -> Ref:
        """Take one change in."""
        content = seen.object
        content.setdefault("kind", key[1])
        ref = Ref.of(content)
        if key == _DEFINITIONS:
            self._stale = True
            self._stir.set()
            if not self._looks_up(key):
                return ref
        if key in _BINDINGS:
            self._rights = None
        if seen.type == "DELETED":
            self.view.drop(ref)
        else:
            content.get("metadata", {}).pop("managedFields", None)
            self.view.put(content)
            if self._own and key == _NAMESPACES and _secured(content):
                self._wake("podsecurity")
        if self._looks_up(key):
            self._memo = {}
        if self._is_policy(key):
            changed = self._library.drop(ref) if seen.type == "DELETED" else self._put(content)
            if changed:
                self._stir.set()
        return ref

    def _wake(self, dialect: str) -> None:
        before = self._library.loaded()
        self._library.wake(dialect)
        if self._library.loaded() is not before:
            self._stir.set()

    def _looks_up(self, key: Key) -> bool:
        wanted = self.loaded.wanted
        return key in wanted or _EVERYTHING in wanted

    def _put(self, content: Resource) -> bool:
        try:
            return self._library.put(Source(content))
        except Exception:
            log.exception("%s cannot be read as a policy", Ref.of(content))
            return False

    def _forget(self, key: Key, but: set[Ref]) -> None:
        """Forget the objects of a kind, but for some."""
        gone = [ref for ref in map(Ref.of, self.view.list(*key)) if ref not in but]
        for ref in gone:
            self.view.drop(ref)
            if self._is_policy(key):
                self._library.drop(ref)
        if gone:
            self._memo, self._rights = {}, None
            self._stir.set()


def _secured(namespace: Resource) -> bool:
    labels = (namespace.get("metadata") or {}).get("labels") or {}
    return any(label.startswith(POD_SECURITY) for label in labels)


def tell(findings: Iterable[Finding]) -> None:
    """Write what is wrong with policies into the log."""
    for one in findings:
        log.warning("%s: %s%s", one.subject, one.message, f" ({one.where})" if one.where.file else "")


def _access_need(question: Question) -> Need:
    """Return an access question as a Need whose detail is the spec of a SubjectAccessReview."""
    user = user_info(question.user)
    spec: dict[str, Any] = {
        "user": user.pop("username", ""),
        **{key: value for key, value in user.items() if value},
    }
    if question.path:
        spec["nonResourceAttributes"] = {"path": question.path, "verb": question.verb}
    else:
        names = ("verb", "group", "resource", "subresource", "namespace", "name")
        parts = {name: getattr(question, name) for name in names}
        spec["resourceAttributes"] = {name: value for name, value in parts.items() if value}
    return Need(
        ACCESS,
        Ref("authorization.k8s.io", "SubjectAccessReview", "", question.resource or question.path),
        (("spec", json.dumps(spec, sort_keys=True)),),
    )
