"""What the tests of the Gatekeeper dialect ask for: policies from YAML, requests, and what comes of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

import pytest

from fairlead.dialects import gatekeeper, manifests
from fairlead.judge.judging import Verdict, admit, judge
from fairlead.judge.policies import Assembled, Book, Judged
from fairlead.judge.reading import Source
from fairlead.judge.subjects import ANONYMOUS, Operation, Subject, subject_of
from fairlead.judge.surroundings import Surroundings
from fairlead.keep.kinds import Catalogue
from fairlead.reactor.kindnames import KindNames
from fairlead.words import Finding, Resource, Snapshot, User

NOW = datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)
KINDS = KindNames(Catalogue())


class Cluster:
    """Policies, what is there, and requests to it."""

    def __init__(self, text: str, there: Iterable[Resource] = (), answers: Any = None) -> None:
        self.findings: list[Finding] = []
        models: list[Any] = []
        for one in manifests.parse("policies.yaml", text)[0]:
            source = Source(one.content, one.where)
            ref = source.ref
            reads = gatekeeper.READS
            reader = reads.get((ref.group, ref.kind)) or reads[ref.group, "*"]
            made, said = reader(source)
            models += made
            self.findings += said
        self.models = models
        self.assembled: Assembled = gatekeeper.assemble(models)
        self.findings += self.assembled.findings
        self.book = Book(self.assembled.policies)
        self.view = Snapshot(there)
        self.answers = answers or {}

    @property
    def around(self) -> Surroundings:
        return Surroundings(view=self.view, now=NOW, kinds=KINDS, answers=self.answers)

    def subject(
        self,
        thing: Resource,
        operation: Operation = "CREATE",
        old: Resource | None = None,
        user: User = ANONYMOUS,
        *,
        scan: bool = False,
    ) -> Subject:
        ref_kind = (thing["apiVersion"].rpartition("/")[0], thing["kind"])
        made = subject_of(thing, KINDS.plural(*ref_kind), user=user, scan=scan)
        target = made.target._replace(operation=operation)
        return Subject(
            target=target,
            name=made.name,
            namespace=made.namespace,
            object=None if operation == "DELETE" else thing,
            old=thing if operation == "DELETE" else old,
            user=user,
            scan=scan,
        )

    def request(self, thing: Resource, operation: Operation = "CREATE", **more: Any) -> Verdict:
        return admit(self.subject(thing, operation, **more), self.book, self.around)

    def audit(self, thing: Resource) -> list[Judged]:
        return judge(self.subject(thing, scan=True), self.book, self.around)

    def said(self, *rules: str) -> list[str]:
        return [f"{one.where.path}: {one.message}" for one in self.findings if not rules or one.rule in rules]


@pytest.fixture
def cluster() -> Callable[..., Cluster]:
    return Cluster


def make_pod(name: str = "web", namespace: str = "shop", **spec: Any) -> Resource:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"containers": [{"name": "a", "image": "repo/a:1"}], **spec},
    }


@pytest.fixture
def pod() -> Callable[..., Resource]:
    return make_pod


def make_space(name: str = "shop", **labels: str) -> Resource:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


@pytest.fixture
def space() -> Callable[..., Resource]:
    return make_space
