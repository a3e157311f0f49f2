"""Gathering from an API that is answered here: one LIST for each kind, paged; what is not served, not allowed or too much; files laid over it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from fairlead.dialects.manifests import Document
from fairlead.drivers.cluster import Access, AsyncCluster
from fairlead.keep.errors import Refusal
from fairlead.reactor import gathering
from fairlead.reactor.examine import KINDS, OPTIONAL, examine_cluster, gather
from fairlead.reactor.laying import overlay
from fairlead.words import Ref, Resource, Snapshot

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
DEFINITION: Resource = {
    "metadata": {"name": "widgets.example.com"},
    "spec": {"group": "example.com", "scope": "Namespaced", "names": {"kind": "Widget", "plural": "widgets"},
             "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}]},
}  # fmt: skip


class Api:
    """An API that serves these lists, page by page, and counts what it is asked."""

    def __init__(self, lists: Mapping[str, Sequence[Any] | int], groups: Sequence[str] = ()) -> None:
        self.lists, self.groups, self.asked = lists, groups, Counter[str]()

    def answer(self, request: httpx.Request) -> httpx.Response:
        path, params = request.url.path, request.url.params
        self.asked[path] += 1
        if path == "/apis":
            versions = [{"groupVersion": one} for one in self.groups]
            return httpx.Response(200, json={"groups": [{"versions": versions}]})
        items = self.lists.get(path, ())
        if isinstance(items, int):
            return httpx.Response(items, json={"kind": "Status", "code": items, "message": "no"})
        start, size = int(params.get("continue") or 0), int(params["limit"])
        more = str(start + size) if start + size < len(items) else ""
        meta = {"resourceVersion": "7", "continue": more}
        return httpx.Response(200, json={"metadata": meta, "items": items[start : start + size]})

    def run(self, work: Callable[[AsyncCluster], Any]) -> Any:
        async def go() -> Any:
            cluster = AsyncCluster(Access(server="http://here"))
            await cluster.close()
            cluster._http = httpx.AsyncClient(
                base_url="http://here", transport=httpx.MockTransport(self.answer)
            )
            async with cluster:
                return await work(cluster)

        return asyncio.run(go())


def named(name: str, namespace: str = "", **more: Any) -> Resource:
    return {"metadata": {"name": name, **({"namespace": namespace} if namespace else {})}, **more}


def test_one_list_for_each_kind_and_none_for_what_is_not_served() -> None:
    api = Api({"/api/v1/pods": [named(f"p{number:04}", "shop") for number in range(1200)]})
    view, unseen = api.run(gather)
    assert len(view.list("", "Pod")) == 1200
    assert unseen == frozenset()
    assert api.asked.pop("/api/v1/pods") == 3  # pages
    assert set(api.asked.values()) == {1}
    assert len(api.asked) == len(KINDS)  # the other kinds, and /apis


def test_what_may_not_be_listed_is_unseen_and_what_is_not_served_is_not_there() -> None:
    groups = sorted({version for version, _ in OPTIONAL})
    lists = {
        "/api/v1/secrets": 403,
        "/apis/keda.sh/v1alpha1": 404,
        "/apis/policy/v1/poddisruptionbudgets": 404,
    }
    kinds = [("v1", "Pod"), ("v1", "Secret"), ("policy/v1", "PodDisruptionBudget")]
    optional = [("keda.sh/v1alpha1", "ScaledObject")]
    api = Api(lists, groups)
    _, unseen = api.run(lambda cluster: gathering.gather(cluster, "", kinds, optional))
    assert unseen == {("", "Secret"), ("policy", "PodDisruptionBudget")}


def test_pods_that_may_not_be_listed_end_it() -> None:
    with pytest.raises(Refusal):
        Api({"/api/v1/pods": 403}).run(gather)


def test_custom_resources_are_found_by_their_definitions() -> None:
    api = Api({
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions": [
            DEFINITION,
            named("gone.example.com", spec={"group": "example.com", "names": {"kind": "Gone", "plural": "gone"}, "versions": [{"name": "v1", "served": False}]}),
        ],
        "/apis/example.com/v1/widgets": [named("a", "shop")],
    })  # fmt: skip
    heard: list[tuple[int, int]] = []
    view, unseen = api.run(lambda cluster: gather(cluster, told=lambda *said: heard.append(said)))
    assert [Ref.of(one) for one in view.list("example.com", "Widget")] == [
        Ref("example.com", "Widget", "shop", "a")
    ]
    assert view.list(*gathering.DEFINITION)[1]["spec"]["versions"] == [
        {"name": "v1", "served": True, "storage": True}
    ]
    assert unseen == frozenset()
    assert heard[-1] == (len(KINDS) + 1, len(KINDS) + 1)


def test_a_custom_kind_with_too_many_objects_is_unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "CUSTOM_OBJECTS", 600)
    api = Api({
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions": [DEFINITION],
        "/apis/example.com/v1/widgets": [named(f"w{number:04}", "shop") for number in range(2000)],
    })  # fmt: skip
    view, unseen = api.run(gather)
    assert len(view.list("example.com", "Widget")) == 1000  # whole pages
    assert unseen == {("example.com", "Widget")}


def test_only_the_asked_namespace() -> None:
    api = Api({
        "/api/v1/namespaces/shop/pods": [named("a", "shop")],
        "/api/v1/namespaces": [named("shop"), named("other")],
        "/api/v1/nodes": [named("one")],
    })  # fmt: skip
    view, _ = api.run(lambda cluster: gather(cluster, "shop"))
    assert sorted(str(Ref.of(one)) for one in view) == ["Namespace shop", "Node one", "Pod shop/a"]


# Files over a cluster


def written(kind: str, name: str, version: str = "v1", **more: Any) -> Document:
    meta = {"name": name, **more.pop("metadata", {})}
    return Document({"apiVersion": version, "kind": kind, "metadata": meta, **more}, "a.yaml", 3)


def test_what_is_there_keeps_its_status_and_what_the_server_knows() -> None:
    live: Resource = {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": 1}, "status": {"readyReplicas": 1},
                      "metadata": {"name": "web", "namespace": "shop", "uid": "u", "labels": {"a": "1", "b": "1"}}}  # fmt: skip
    view = Snapshot([live])
    document = written("Deployment", "web", "apps/v1", metadata={"labels": {"b": "2"}}, spec={"replicas": 2})
    places = overlay(view, [document], "shop")
    laid = view.get("apps", "Deployment", "shop", "web")
    assert laid is not None
    assert laid["metadata"] == {
        "name": "web",
        "namespace": "shop",
        "uid": "u",
        "labels": {"a": "1", "b": "2"},
    }
    assert (laid["spec"], laid["status"]) == ({"replicas": 2}, {"readyReplicas": 1})
    assert places == {Ref("apps", "Deployment", "shop", "web"): document}
    assert live["spec"] == {"replicas": 1}  # nothing was changed in place


def test_what_stands_outside_namespaces_gets_none() -> None:
    view = Snapshot()
    overlay(
        view,
        [
            written("Node", "one"),
            written("ConfigMap", "a"),
            written("ConfigMap", "b", metadata={"namespace": "x"}),
        ],
        "shop",
    )
    assert sorted(str(Ref.of(one)) for one in view) == ["ConfigMap shop/a", "ConfigMap x/b", "Node one"]


def test_a_cluster_with_files_laid_over_it_is_examined_as_if_they_were_applied() -> None:
    template = {"metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "main", "image": "a:1", "envFrom": [{"configMapRef": {"name": "settings"}}]}]}}  # fmt: skip
    spec = {"replicas": 3, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    over = [written("Deployment", "web", "apps/v1", spec=spec)]
    api = Api({"/api/v1/namespaces": [named("default")], "/api/v1/configmaps": [named("setting", "default")]})
    found = api.run(lambda cluster: examine_cluster(cluster, lambda: NOW, over=over))
    (one,) = found.findings  # the missing ConfigMap; that nothing runs yet is no fault
    assert (one.rule, one.where.file, one.where.line) == ("config.missing", "a.yaml", 3)
    over += [written("ConfigMap", "settings", data={})]
    assert api.run(lambda cluster: examine_cluster(cluster, lambda: NOW, over=over)).findings == []
