"""The node's own server: logs and one-way commands, for the control plane alone.

    GET  /containerLogs/{namespace}/{pod}/{container}?follow=&previous=&tailLines=&sinceSeconds=&sinceTime=&timestamps=&limitBytes=
    POST /exec/{namespace}/{pod}/{container}?command=a&command=b     frames: channel, length (4 bytes), payload
    GET  /healthz

HTTPS with a certificate of the cluster's authority; every caller but /healthz's must show the node's token. Errors are
Status objects. Must never serve anything else of this machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, MutableMapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, unquote

from fairlead.drivers import podlogs
from fairlead.drivers.podlogs import Wanted
from fairlead.keep.errors import Refusal, bad_request, internal, not_found, not_supported, unauthorized
from fairlead.orchestrate.podplans import log_path
from fairlead.orchestrate.runtimes import ContainerSeen, RuntimeFailed
from fairlead.reactor.podwork import PodWork

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

STDOUT, STDERR, STATUS = 1, 2, 3
_FRAME = 32 << 10


class NodeServer:
    """An ASGI application over a node's pods."""

    def __init__(self, works: Mapping[str, PodWork], token: str) -> None:
        self._works = works
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; what is under way for a caller that has gone is given up."""
        if scope["type"] != "http":
            return
        answer = asyncio.ensure_future(self._reply(scope, send))
        gone = asyncio.ensure_future(_gone(receive))
        try:
            await asyncio.wait({answer, gone}, return_when=asyncio.FIRST_COMPLETED)
            if answer.done():
                await answer
        finally:
            for task in (answer, gone):
                task.cancel()
            await asyncio.gather(answer, gone, return_exceptions=True)

    async def _reply(self, scope: Scope, send: Send) -> None:
        try:
            stream, media = await self._answer(scope)
        except Refusal as refusal:
            body = json.dumps(refusal.status).encode()
            await _send(send, refusal.code, "application/json", _once(body))
            return
        await _send(send, 200, media, stream)

    async def _answer(self, scope: Scope) -> tuple[AsyncIterator[bytes], str]:
        parts = [unquote(part) for part in scope["path"].split("/")[1:]]
        if parts == ["healthz"]:
            return _once(b"ok"), "text/plain"
        headers = dict(scope["headers"])
        shown = headers.get(b"authorization", b"").removeprefix(b"Bearer ")
        if not hmac.compare_digest(shown, self._token.encode()):
            raise unauthorized()
        query = parse_qs(scope["query_string"].decode(), keep_blank_values=True)
        match (scope["method"], parts):
            case ("GET", ["containerLogs", namespace, pod, container]):
                return self._logs(self._work(namespace, pod), container, query), "text/plain"
            case ("POST", ["exec", namespace, pod, container]):
                return await self._exec(
                    self._work(namespace, pod), container, query
                ), "application/octet-stream"
        raise not_found("", "paths", scope["path"])

    def _work(self, namespace: str, name: str) -> PodWork:
        """Return the pod's work: the newest one, and one that is only being cleared away last of all."""
        found = None
        for work in self._works.values():
            meta = work.last["metadata"]
            here = (meta["namespace"], meta["name"]) == (namespace, name)
            if here and (found is None or work.pod is not None or found.pod is None):
                found = work
        if found is None:
            raise not_found("", "pods", name)
        return found

    # --- logs

    def _logs(self, work: PodWork, container: str, query: Mapping[str, list[str]]) -> AsyncIterator[bytes]:
        previous = _flag(query, "previous")
        seen = _run_of(work, container, previous=previous)
        if seen is None and previous:
            name = work.last["metadata"]["name"]
            raise bad_request(f'previous terminated container "{container}" in pod "{name}" not found')
        if seen is None:
            name = work.last["metadata"]["name"]
            why = work.memory.waiting.get(container, ("ContainerCreating", ""))[0]
            raise bad_request(
                f'container "{container}" in pod "{name}" is waiting to start: {_told(why, work, container)}'
            )
        log = work.files.logs / log_path(container, seen.attempt)
        wanted = _wanted(query)
        if _flag(query, "follow") and not previous:
            return podlogs.follow(log, wanted, lambda: _runs(work, seen))
        return _in_blocks(podlogs.read(log, wanted))

    # --- exec

    async def _exec(
        self, work: PodWork, container: str, query: Mapping[str, list[str]]
    ) -> AsyncIterator[bytes]:
        command = query.get("command") or []
        if not command:
            raise bad_request("you must specify at least 1 command for the container")
        if _flag(query, "stdin") or _flag(query, "tty"):
            raise not_supported("an interactive command (stdin or tty)")
        seen = _run_of(work, container, previous=False)
        if seen is None or seen.state != "running" or work.runtime is None:
            raise internal(f"container {container} is not running")
        try:
            done = await work.runtime.exec(seen.id, command, None)
        except RuntimeFailed as error:
            raise (
                not_supported(str(error)) if "not supported" in str(error) else internal(str(error))
            ) from error
        frames = [*_frames(STDOUT, done.stdout), *_frames(STDERR, done.stderr)]
        return _each(iter([*frames, _frame(STATUS, json.dumps(_ending(done.exit_code)).encode())]))


def _ending(code: int) -> dict[str, Any]:
    """Return the Status that ends a command's stream. Source: k8s.io/apimachinery's remotecommand."""
    status: dict[str, Any] = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
    if code:
        status |= {
            "status": "Failure",
            "message": f"command terminated with non-zero exit code: exit status {code}",
            "reason": "NonZeroExitCode",
            "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
        }
    return status


def _frame(channel: int, data: bytes) -> bytes:
    return struct.pack(">BI", channel, len(data)) + data


def _frames(channel: int, data: bytes) -> list[bytes]:
    return [_frame(channel, data[at : at + _FRAME]) for at in range(0, len(data), _FRAME)]


def _run_of(work: PodWork, container: str, *, previous: bool) -> ContainerSeen | None:
    """Return the newest run of a container, or the ended one before it."""
    runs = sorted(
        (each for each in work.node.observed(work.uid).containers if each.name == container),
        key=lambda each: each.attempt,
    )
    if not previous:
        return runs[-1] if runs else None
    ended = [each for each in runs if each.state == "exited"]
    return ended[-1] if ended and (len(runs) > 1 or container in work.memory.waiting) else None


def _runs(work: PodWork, seen: ContainerSeen) -> bool:
    return any(
        each.id == seen.id and each.state == "running" for each in work.node.observed(work.uid).containers
    )


def _told(reason: str, work: PodWork, container: str) -> str:
    """Return the end of kubelet's text for a container without a log."""
    if reason in {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"}:
        spec = work.last["spec"]
        containers = [*(spec.get("initContainers") or ()), *spec["containers"]]
        image = next((each.get("image") for each in containers if each["name"] == container), "")
        return {
            "ErrImagePull": "image can't be pulled",
            "ImagePullBackOff": "trying and failing to pull image",
            "InvalidImageName": f'failed to parse image name "{image}"',
            "ErrImageNeverPull": "image is not present with pull policy of Never",
        }[reason]
    return reason


def _flag(query: Mapping[str, list[str]], name: str) -> bool:
    return query.get(name, [""])[-1].lower() in {"true", "1"}


def _wanted(query: Mapping[str, list[str]]) -> Wanted:
    def number(name: str) -> int | None:
        text = query.get(name, [""])[-1]
        if not text:
            return None
        if not text.isdigit():
            raise bad_request(f"{name} must be a number that is not negative: {text}")
        return int(text)

    seconds = number("sinceSeconds")
    since = datetime.now(UTC) - timedelta(seconds=seconds) if seconds is not None else None
    if text := query.get("sinceTime", [""])[-1]:
        try:
            since = datetime.fromisoformat(text)
        except ValueError as error:
            raise bad_request(f"sinceTime is not a time: {text}") from error
    return Wanted(
        tail=number("tailLines"),
        since=since,
        limit=number("limitBytes"),
        timestamps=_flag(query, "timestamps"),
    )


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body


async def _each(pieces: Any) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def _in_blocks(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Yield many small pieces as few large ones, made in a thread: a log may be long."""

    def block() -> bytes:
        found, size = [], 0
        for piece in pieces:
            found.append(piece)
            size += len(piece)
            if size >= _FRAME:
                break
        return b"".join(found)

    while data := await asyncio.to_thread(block):
        yield data


async def _gone(receive: Receive) -> None:
    """Return when the caller has hung up."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send(send: Send, code: int, media: str, stream: AsyncIterator[bytes]) -> None:
    """Send an answer as it comes. A caller that has gone ends the stream."""
    start = {"type": "http.response.start", "status": code, "headers": [(b"content-type", media.encode())]}
    await send(start)
    async with contextlib.aclosing(stream) as pieces:  # type: ignore[type-var]
        async for piece in pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})
