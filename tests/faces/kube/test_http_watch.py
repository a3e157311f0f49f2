"""Watches over HTTPS: what is there, what changes, selectors, bookmarks, versions that are gone, clients that are gone."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


# Roles are watched because no controller makes any in a new namespace.
def _roles(namespace: str, name: str = "") -> str:
    return f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/roles" + (f"/{name}" if name else "")


def _make(api: httpx.Client, namespace: str, name: str, **labels: str) -> str:
    answer = api.post(_roles(namespace), json={"metadata": {"name": name, "labels": labels}})
    assert answer.status_code == 201
    return str(answer.json()["metadata"]["resourceVersion"])


def _label(api: httpx.Client, namespace: str, name: str, **labels: str | None) -> str:
    merge = {"content-type": "application/merge-patch+json"}
    answer = api.patch(_roles(namespace, name), json={"metadata": {"labels": labels}}, headers=merge)
    assert answer.status_code == 200
    return str(answer.json()["metadata"]["resourceVersion"])


class Watch:
    """The events of a watch, as they come."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines

    def next(self) -> tuple[str, dict[str, Any]]:
        event = json.loads(next(self._lines))
        assert set(event) == {"type", "object"}
        return event["type"], event["object"]

    def names(self, count: int) -> list[tuple[str, str]]:
        found = [self.next() for _ in range(count)]
        return [(type_, obj["metadata"]["name"]) for type_, obj in found]

    def rest(self) -> list[tuple[str, dict[str, Any]]]:
        return [(event["type"], event["object"]) for event in map(json.loads, self._lines)]


@contextlib.contextmanager
def _watch(api: httpx.Client, path: str, accept: str = "", **params: Any) -> Iterator[Watch]:
    headers = {"accept": accept} if accept else {}
    query = {"watch": "true", **params}
    with api.stream("GET", path, params=query, headers=headers) as answer:
        assert answer.status_code == 200, answer.read()
        yield Watch(answer.iter_lines())


def test_from_nothing_everything_there_comes_first(api: httpx.Client, namespace: str) -> None:
    _make(api, namespace, "a")
    with _watch(api, _roles(namespace)) as watch:
        assert watch.names(1) == [("ADDED", "a")]
        _make(api, namespace, "b")
        _label(api, namespace, "b", x="1")
        api.delete(_roles(namespace, "a"))
        assert watch.names(3) == [("ADDED", "b"), ("MODIFIED", "b"), ("DELETED", "a")]
    with _watch(api, _roles(namespace), resourceVersion="0") as watch:
        assert watch.names(1) == [("ADDED", "b")]


def test_from_a_version_only_what_came_after(api: httpx.Client, namespace: str) -> None:
    version = _make(api, namespace, "a")
    _make(api, namespace, "b")
    with _watch(api, _roles(namespace), resourceVersion=version) as watch:
        assert watch.names(1) == [("ADDED", "b")]
        gone = api.delete(_roles(namespace, "b")).json()
        assert gone["status"] == "Success"
        type_, obj = watch.next()
        assert type_ == "DELETED"
        assert int(obj["metadata"]["resourceVersion"]) > int(version) + 1


def test_objects_enter_and_leave_a_selector(api: httpx.Client, namespace: str) -> None:
    _make(api, namespace, "a", inside="no")
    version = api.get(_roles(namespace)).json()["metadata"]["resourceVersion"]
    with _watch(api, _roles(namespace), resourceVersion=version, labelSelector="color=red") as watch:
        _label(api, namespace, "a", color="red")
        _label(api, namespace, "a", size="1")
        left = _label(api, namespace, "a", color="blue")
        _label(api, namespace, "a", color="green")
        _label(api, namespace, "a", color="red")
        events = [watch.next() for _ in range(4)]
    assert [type_ for type_, _ in events] == ["ADDED", "MODIFIED", "DELETED", "ADDED"]
    last_inside = events[2][1]["metadata"]
    assert last_inside["labels"]["color"] == "red"
    assert last_inside["resourceVersion"] == left


def test_one_name(api: httpx.Client, namespace: str) -> None:
    _make(api, namespace, "a")
    _make(api, namespace, "b")
    with _watch(api, _roles(namespace), fieldSelector="metadata.name=b") as watch:
        assert watch.names(1) == [("ADDED", "b")]
        _label(api, namespace, "a", x="1")
        _label(api, namespace, "b", x="1")
        assert watch.names(1) == [("MODIFIED", "b")]
    with _watch(api, f"/apis/rbac.authorization.k8s.io/v1/watch/namespaces/{namespace}/roles/a") as watch:
        assert watch.names(1) == [("ADDED", "a")]


def test_a_watch_ends_when_its_time_is_up_with_a_bookmark(api: httpx.Client, namespace: str) -> None:
    _make(api, namespace, "a")
    with _watch(api, _roles(namespace), timeoutSeconds=1, allowWatchBookmarks="true") as watch:
        events = watch.rest()
    assert [type_ for type_, _ in events] == ["ADDED", "BOOKMARK"]
    bookmark = events[1][1]
    assert bookmark["kind"] == "Role"
    assert int(bookmark["metadata"]["resourceVersion"]) >= int(events[0][1]["metadata"]["resourceVersion"])
    with _watch(api, _roles(namespace), timeoutSeconds=1) as watch:
        assert len(watch.rest()) == 1


def test_lists_by_watching(api: httpx.Client, namespace: str) -> None:
    _make(api, namespace, "a")
    params = {
        "sendInitialEvents": "true",
        "resourceVersionMatch": "NotOlderThan",
        "allowWatchBookmarks": "true",
    }
    with _watch(api, _roles(namespace), timeoutSeconds=5, **params) as watch:
        assert watch.names(1) == [("ADDED", "a")]
        type_, bookmark = watch.next()
    assert type_ == "BOOKMARK"
    assert bookmark["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    refused = api.get(_roles(namespace), params={"watch": "1", "sendInitialEvents": "true"})
    assert refused.status_code == 422
    assert refused.json()["message"] == (
        'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: '
        "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
    )


def test_tables(api: httpx.Client, namespace: str) -> None:
    _make(api, namespace, "a")
    with _watch(api, _roles(namespace), TABLE) as watch:
        type_, table = watch.next()
        assert (type_, table["kind"]) == ("ADDED", "Table")
        assert table["rows"][0]["cells"][0] == "a"
        _label(api, namespace, "a", x="1")
        assert watch.next()[1]["rows"][0]["object"]["metadata"]["labels"] == {"x": "1"}


@pytest.mark.parametrize("version", ["nonsense", "-1", "1.5"])
def test_versions_that_are_none(api: httpx.Client, namespace: str, version: str) -> None:
    answer = api.get(_roles(namespace), params={"watch": "1", "resourceVersion": version})
    assert answer.status_code == 400
    assert "resourceVersion" in answer.json()["message"]


def test_selectors_that_are_none(api: httpx.Client, namespace: str) -> None:
    for params in ({"labelSelector": "a=b=c"}, {"fieldSelector": "rules=1"}, {"timeoutSeconds": "soon"}):
        assert api.get(_roles(namespace), params={"watch": "1", **params}).status_code == 400


def _open_watches(api: httpx.Client) -> int:
    for line in api.get("/metrics").text.splitlines():
        if line.startswith("apiserver_longrunning_requests{") and 'resource="secrets"' in line:
            return int(line.rsplit(" ", 1)[1])
    return 0


def test_a_client_that_has_gone_is_forgotten(
    api: httpx.Client, namespace: str, eventually: Callable[[Callable[[], Any]], Any]
) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(_watch(api, f"/api/v1/namespaces/{namespace}/secrets"))
        eventually(lambda: _open_watches(api) == 5)
    eventually(lambda: _open_watches(api) == 0)


def test_many_watchers_see_the_same(api: httpx.Client, namespace: str) -> None:
    version = api.get(_roles(namespace)).json()["metadata"]["resourceVersion"]
    seen: list[list[tuple[str, str]]] = []

    def follow() -> None:
        with _watch(api, _roles(namespace), resourceVersion=version) as watch:
            seen.append(watch.names(50))

    threads = [threading.Thread(target=follow) for _ in range(8)]
    for thread in threads:
        thread.start()
    for index in range(25):
        _make(api, namespace, f"m{index}")
        _label(api, namespace, f"m{index}", x="1")
    for thread in threads:
        thread.join(20)
    expected = [(type_, f"m{index}") for index in range(25) for type_ in ("ADDED", "MODIFIED")]
    assert seen == [expected] * 8
