"""The client against a small API: paging, watches that break, that are too old, and what is refused."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from fairlead.drivers.cluster import Access, AsyncCluster, Unreachable, lines
from fairlead.keep.errors import Refusal

RESOURCES = [
    {"name": "pods", "kind": "Pod", "namespaced": True},
    {"name": "pods/log", "kind": "Pod", "namespaced": True},
    {"name": "nodes", "kind": "Node", "namespaced": False},
]


def pod(name: str, version: int, uid: str = "") -> dict[str, Any]:
    meta = {"name": name, "namespace": "shop", "uid": uid or name, "resourceVersion": str(version)}
    return {"metadata": meta}


class Script:
    """An API that answers as a test wrote down: one answer after the other for each kind of question."""

    def __init__(self) -> None:
        self.lists: list[Any] = []
        self.watches: list[Any] = []
        self.asked: list[httpx.Request] = []
        self.discovered = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        if request.url.path == "/api/v1":
            self.discovered += 1
            return httpx.Response(200, json={"resources": RESOURCES})
        answers = self.watches if request.url.params.get("watch") else self.lists
        if not answers:
            raise httpx.ConnectError("all is said")
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, httpx.Response):
            return answer
        if answers is self.watches or isinstance(answer, list):
            return httpx.Response(
                200, content=b"".join(json.dumps(event).encode() + b"\n" for event in answer)
            )
        return httpx.Response(200, json=answer)


def refusal(code: int, reason: str) -> httpx.Response:
    return httpx.Response(
        code, json={"kind": "Status", "code": code, "reason": reason, "message": f"it is {reason}"}
    )


def event(kind: str, item: dict[str, Any]) -> dict[str, Any]:
    return {"type": kind, "object": item}


def listing(version: int, *items: dict[str, Any], token: str = "") -> dict[str, Any]:
    return {"metadata": {"resourceVersion": str(version), "continue": token}, "items": list(items)}


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    found = Script()
    make: Callable[..., httpx.AsyncClient] = httpx.AsyncClient

    def client(**options: Any) -> httpx.AsyncClient:
        return make(transport=httpx.MockTransport(found), **options)

    async def soon(_seconds: float) -> None:
        return

    monkeypatch.setattr("fairlead.drivers.cluster.httpx.AsyncClient", client)
    monkeypatch.setattr("fairlead.drivers.cluster.asyncio.sleep", soon)
    return found


def cluster() -> AsyncCluster:
    return AsyncCluster(Access(server="https://api.example", token="t"))


async def steps(of: AsyncCluster, count: int) -> list[str]:
    """The first steps of following pods, as `ADDED a`."""
    found: list[str] = []
    stream = of.follow("v1", "Pod")
    async for seen in stream:
        name = seen.object.get("metadata", {}).get("name", "")
        found.append(f"{seen.type} {name}".strip())
        if len(found) == count:
            break
    await stream.aclose()
    await of.close()
    return found


def test_lists_come_in_pages_and_items_say_what_they_are(script: Script) -> None:
    script.lists = [listing(7, pod("a", 1), token="more"), listing(7, pod("b", 2))]

    async def play() -> tuple[list[dict[str, Any]], str]:
        async with cluster() as one:
            return await one.list("v1", "Pod", "shop", labels="app=web")

    items, version = asyncio.run(play())
    assert [item["metadata"]["name"] for item in items] == ["a", "b"]
    assert (items[0]["kind"], items[0]["apiVersion"], version) == ("Pod", "v1", "7")
    assert script.asked[1].url.path == "/api/v1/namespaces/shop/pods"
    assert script.asked[1].url.params["labelSelector"] == "app=web"
    assert script.asked[2].url.params["continue"] == "more"
    assert script.asked[1].headers["authorization"] == "Bearer t"
    assert script.discovered == 1


def test_a_watch_that_ends_is_resumed_where_it_was(script: Script) -> None:
    script.lists = [listing(5, pod("a", 1))]
    script.watches = [
        [event("MODIFIED", pod("a", 6)), event("BOOKMARK", {"metadata": {"resourceVersion": "9"}})],
        httpx.ReadError("cut"),
        [event("ADDED", pod("b", 10))],
    ]
    assert asyncio.run(steps(cluster(), 4)) == ["ADDED a", "SYNCED", "MODIFIED a", "ADDED b"]
    asked = [one.url.params["resourceVersion"] for one in script.asked if one.url.params.get("watch")]
    assert asked == ["5", "9", "9"]


@pytest.mark.parametrize("way", ["status", "event"])
def test_what_is_too_old_is_listed_again_and_what_vanished_is_told(script: Script, way: str) -> None:
    gone = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}
    script.lists = [
        listing(5, pod("a", 1), pod("b", 2), pod("c", 3)),
        listing(20, pod("a", 1), pod("b", 15), pod("c", 16, uid="another")),
    ]
    script.watches = [refusal(410, "Expired") if way == "status" else [event("ERROR", gone)], []]
    assert asyncio.run(steps(cluster(), 8)) == [
        "ADDED a",
        "ADDED b",
        "ADDED c",
        "SYNCED",
        "DELETED c",
        "MODIFIED b",
        "ADDED c",
        "SYNCED",
    ]


def test_faults_are_waited_out_and_bars_are_not(script: Script) -> None:
    script.lists = [httpx.ConnectError("down"), refusal(503, "ServiceUnavailable"), listing(1)]
    assert asyncio.run(steps(cluster(), 1)) == ["SYNCED"]
    script.lists = [refusal(403, "Forbidden")]
    with pytest.raises(Refusal) as caught:
        asyncio.run(steps(cluster(), 1))
    assert (caught.value.code, caught.value.message) == (403, "it is Forbidden")


def test_what_the_api_never_said(script: Script) -> None:
    async def get(answer: Any) -> None:
        script.lists = [answer]
        async with cluster() as one:
            await one.get("v1", "Node", "", "one")

    with pytest.raises(Unreachable, match="not JSON"):
        asyncio.run(get(httpx.Response(200, content=b"<html>")))
    with pytest.raises(Refusal) as caught:
        asyncio.run(get(httpx.Response(502, content=b"bad gateway")))
    assert (caught.value.code, caught.value.message) == (502, "bad gateway")
    with pytest.raises(Unreachable, match="cut"):
        asyncio.run(get(httpx.ReadError("cut")))
    assert script.asked[-1].url.path == "/api/v1/nodes/one"


def test_a_kind_that_is_not_served(script: Script) -> None:
    async def play() -> None:
        async with cluster() as one:
            await one.get("v1", "Ghost", "shop", "x")

    with pytest.raises(Refusal, match='no matches for kind "Ghost" in version "v1"'):
        asyncio.run(play())
    assert script.discovered == 1


@pytest.mark.parametrize(
    ("namespace", "name"), [("..", "x"), ("a/b", "x"), ("a", "../../secrets"), ("a", ".")]
)
def test_a_name_leads_nowhere_else(namespace: str, name: str, script: Script) -> None:
    async def play() -> None:
        async with cluster() as one:
            await one.get("v1", "Pod", namespace, name)

    with pytest.raises(Refusal, match="is no name of an object"):
        asyncio.run(play())
    assert not [one for one in script.asked if "pods" in one.url.path]


def test_writes(script: Script) -> None:
    script.lists = [{}, {}, {}, {}]

    async def play() -> None:
        async with cluster() as one:
            await one.create({"apiVersion": "v1", "kind": "Pod", **pod("a", 1)}, manager="me")
            await one.patch("v1", "Pod", "shop", "a", {"x": 1}, how="strategic", subresource="status")
            await one.patch("v1", "Pod", "shop", "a", {"x": 1}, how="apply", manager="me", force=True)
            await one.delete("v1", "Pod", "shop", "a", grace_seconds=0, uid="u1")

    asyncio.run(play())
    made, patched, applied, deleted = script.asked[1:]
    assert (made.method, made.url.path, made.url.params["fieldManager"]) == (
        "POST",
        "/api/v1/namespaces/shop/pods",
        "me",
    )
    assert patched.url.path == "/api/v1/namespaces/shop/pods/a/status"
    assert patched.headers["content-type"] == "application/strategic-merge-patch+json"
    assert (applied.headers["content-type"], applied.url.params["force"]) == (
        "application/apply-patch+yaml",
        "true",
    )
    assert json.loads(deleted.content)["gracePeriodSeconds"] == 0
    assert json.loads(deleted.content)["preconditions"] == {"uid": "u1"}


def test_lines_end_at_newlines_only() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for chunk in ("a\u2028b\n", "c", "d\n\n", "e"):
            yield chunk.encode()

    async def play() -> list[str]:
        return [line.decode() async for line in lines(chunks())]

    assert asyncio.run(play()) == ["a\u2028b", "cd", "e"]


def test_nobody_there() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]

    async def play() -> None:
        async with AsyncCluster(Access(server=f"http://127.0.0.1:{port}")) as one:
            await one.get("v1", "Node", "", "one")

    with pytest.raises(Unreachable, match=str(port)):
        asyncio.run(play())
