"""The grounds that a cluster gives: its policies, and in memory only the kinds that they look up, kept current by watches.

Which kinds those are is known when the policies are; new policies count from the moment at which what they look up is there.
ValidatingAdmissionPolicies and pod security labels are left to the API server, which judges by them itself. Writes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from random import getrandbits
from typing import Any

from fairlead.drivers.cluster import AsyncCluster, Seen, Unreachable
from fairlead.faces.admission.grounds import Roles, tell
from fairlead.faces.admission.ruling import Answers
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
from fairlead.reactor.policies import GROUPS, NOTHING, Library, Loaded, dialect_of
from fairlead.words import Need, Ref, Resource, Snapshot, User

log = logging.getLogger("fairlead.admission")

ACCESS = "access"
"""The sort of Need that an access question is: a SubjectAccessReview answers it."""
SETTLE = 0.1
"""Seconds that changes may come together before the policies are joined anew."""
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


class ClusterGrounds:
    """See the module. One event loop; `run` keeps it current, and closing the cluster is the caller's."""

    def __init__(
        self, cluster: AsyncCluster, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self.loaded: Loaded = NOTHING
        self.view = Snapshot()
        self.kinds = KindNames(Catalogue(()))
        self._cluster, self._clock = cluster, clock
        self._library = Library()
        self._catalogue: Catalogue | None = None
        self._applier = Applier(Catalogue(()))
        self._following: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._synced: set[tuple[str, str]] = set()
        self._denied: dict[tuple[str, str], str] = {}
        self._stir = asyncio.Event()
        self._stale = True
        self._ready = False
        self._memo: dict[Any, Any] = {}
        self._rights: Policies | None = None

    # What the server asks

    def missing(self) -> str:
        """See Grounds."""
        if self._ready:
            return ""
        if self._catalogue is None:
            return "what kinds the cluster serves"
        late = sorted(f"{kind}.{group}".strip(".") for group, kind in self._late(self._library.loaded()))
        return ", ".join(late) or "the policies"

    def around(self, answers: Answers) -> Surroundings:
        """See Grounds."""

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
        """See Grounds."""
        if not self._matches_roles(self.loaded):
            return (), ()
        if self._rights is None:
            local, everywhere = (self.view.list(*one) for one in _BINDINGS)
            self._rights = Policies(role_bindings=local, cluster_role_bindings=everywhere)
        return self._rights.bound(user)

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

    async def run(self) -> None:
        """See Grounds."""
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
            self._catalogue = catalogue
            self.kinds, self._applier, self._memo = KindNames(catalogue), Applier(catalogue), {}
            return

    def _follow_what_is_wanted(self) -> None:
        """Start and end watches, and let the new policies count once everything that they look up is here."""
        loaded = self._library.loaded()
        wanted = dict(self._wanted(loaded)) | dict(self._wanted(self.loaded))
        for key in [key for key in self._following if key not in wanted or self._following[key].done()]:
            self._following.pop(key).cancel()
            self._forget(key, set())
            self._synced.discard(key)
            self._denied.pop(key, None)
        for key, kind in wanted.items():
            if key not in self._following:
                self._following[key] = asyncio.create_task(self._follow(kind), name=f"follow {kind.plural}")
        if self._late(loaded) or (loaded is self.loaded and self._ready):
            return
        before, self.loaded, self._ready = self.loaded, loaded, True
        self._memo = {}
        log.info("%d policies hold (there were %d)", len(loaded.book.policies), len(before.book.policies))
        tell(one for one in loaded.findings if one not in before.findings)
        self._stir.set()

    def _late(self, loaded: Loaded) -> list[tuple[str, str]]:
        """Return the kinds that are not here yet."""
        return [key for key, _ in self._wanted(loaded) if key not in self._synced and key not in self._denied]

    def _wanted(self, loaded: Loaded) -> Iterator[tuple[tuple[str, str], Kind]]:
        """Yield each kind that is to be followed: policies, and what these look up."""
        if self._catalogue is None:
            return
        looked_up = loaded.wanted | {_NAMESPACES, _DEFINITIONS}
        if self._matches_roles(loaded):
            looked_up |= set(_BINDINGS)
        everything = _EVERYTHING in looked_up
        for kind in self._catalogue.all():
            key = (kind.group, kind.kind)
            if not {"list", "watch"} <= kind.verbs or self._catalogue.kind(*key) is not kind:
                continue
            if key in looked_up or _is_policy(key) or (everything and key not in _NEVER_KEPT):
                yield key, kind

    @staticmethod
    def _matches_roles(loaded: Loaded) -> bool:
        return any(policy.dialect == _MATCHES_ROLES for policy in loaded.book.policies)

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
                        elif fresh is not None:
                            self._forget(key, fresh)
                            fresh = None
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
                if key not in self._synced and not _is_policy(key):
                    self._denied[key] = refusal.message
                    self._stir.set()
            except Exception:
                log.exception("%s cannot be followed", kind.plural)
            await asyncio.sleep(RETRY)

    def _see(self, key: tuple[str, str], seen: Seen) -> Ref:
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
        if self._looks_up(key):
            self._memo = {}
        if _is_policy(key):
            changed = self._library.drop(ref) if seen.type == "DELETED" else self._put(content)
            if changed:
                self._stir.set()
        return ref

    def _looks_up(self, key: tuple[str, str]) -> bool:
        wanted = self.loaded.wanted
        return key in wanted or _EVERYTHING in wanted

    def _put(self, content: Resource) -> bool:
        try:
            return self._library.put(Source(content))
        except Exception:
            log.exception("%s cannot be read as a policy", Ref.of(content))
            return False

    def _forget(self, key: tuple[str, str], but: set[Ref]) -> None:
        """Forget the objects of a kind, but for some."""
        gone = [ref for ref in map(Ref.of, self.view.list(*key)) if ref not in but]
        for ref in gone:
            self.view.drop(ref)
            if _is_policy(key):
                self._library.drop(ref)
        if gone:
            self._memo, self._rights = {}, None
            self._stir.set()


def _is_policy(key: tuple[str, str]) -> bool:
    """Whether objects of a kind are documents of policies that the API server does not judge by itself."""
    group = key[0]
    return group in GROUPS and GROUPS[group] not in OWN_DIALECTS and bool(dialect_of(*key))


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
