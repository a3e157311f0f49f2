"""A world in memory with the objects that every cluster has, and short ways to write to it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fairlead.drivers import definitions
from fairlead.keep.bootstrapping import bootstrap
from fairlead.keep.entries import Entry, Outcome
from fairlead.keep.kinds import Kind
from fairlead.keep.nodes import Definitions
from fairlead.keep.requests import Request
from fairlead.keep.worlds import World
from fairlead.words import Resource, User

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Cluster:
    """Writes to a world and commits at once; `now` moves on by a second with every write."""

    def __init__(self, found: Definitions) -> None:
        self.world = World(found, random.Random(7))
        self.now = NOW
        self.rest(bootstrap(self.world, NOW))

    def rest(self, outcome: Outcome) -> Outcome:
        """Commit."""
        self.now += timedelta(seconds=1)
        if outcome.entries:
            self.world.commit(outcome.entries[-1].rv)
        return outcome

    def request(self, **more: Any) -> Request:
        """Return an administrator's request."""
        given: dict[str, Any] = {"manager": "test", "field_validation": "Strict", **more}
        return Request(user=User(name="admin"), now=self.now, **given)

    def kind(self, name: str) -> Kind:
        """Return the kind of a plural name such as `pods` or `deployments.apps` or `horizontalpodautoscalers.v1.autoscaling`."""
        plural, _, group = name.partition(".")
        found = [
            kind
            for kind in self.world.catalogue.all()
            if kind.plural == plural and group in {kind.group, f"{kind.version}.{kind.group}"}
        ]
        return found[0]

    def create(self, name: str, body: Resource, namespace: str = "default", **more: Any) -> Resource:
        """Create an object and return it."""
        kind = self.kind(name)
        body = {"apiVersion": kind.api_version, "kind": kind.kind, **body}
        where = namespace if kind.namespaced else ""
        return self.rest(self.world.create(kind, where, body, self.request(**more))).object

    def update(self, name: str, body: Resource, sub: str = "", **more: Any) -> Resource:
        """Replace an object and return the new one."""
        meta = body["metadata"]
        kind = self.kind(name)
        where = meta.get("namespace") or ("default" if kind.namespaced else "")
        return self.rest(self.world.update(kind, where, meta["name"], body, self.request(**more), sub)).object

    def patch(
        self, name: str, which: str, patch: Any, how: Any = "merge", sub: str = "", **more: Any
    ) -> Resource:
        """Patch an object and return the new one."""
        kind = self.kind(name)
        where = "default" if kind.namespaced else ""
        return self.rest(self.world.patch(kind, where, which, patch, how, self.request(**more), sub)).object

    def delete(self, name: str, which: str, options: dict[str, Any] | None = None, **more: Any) -> Resource:
        """Delete an object and return the answer."""
        kind = self.kind(name)
        where = "default" if kind.namespaced else ""
        return self.rest(self.world.delete(kind, where, which, options or {}, self.request(**more))).object

    def get(self, name: str, which: str) -> Resource:
        """Return an object as readers see it."""
        kind = self.kind(name)
        return self.world.get(kind, "default" if kind.namespaced else "", which).object

    def names(self, name: str) -> list[str]:
        """Return the names of all objects of a kind."""
        return [stored.name for stored in self.world.list(self.kind(name), None).items]

    def since(self, name: str, rv: int) -> Sequence[Entry]:
        """Return the writes to a kind."""
        return self.world.since(self.kind(name), None, rv)


@pytest.fixture(scope="session")
def found() -> Definitions:
    """Kubernetes' definitions, read once."""
    return Definitions(definitions.load())


@pytest.fixture
def cluster(found: Definitions) -> Cluster:
    """A fresh cluster."""
    return Cluster(found)


@pytest.fixture
def pod() -> Resource:
    """The smallest pod."""
    return {"metadata": {"name": "web"}, "spec": {"containers": [{"name": "c", "image": "nginx"}]}}
