"""The ASGI application: from a connection's request to its answer, whoever asks and whatever happens on the way.

Order: who is it, what do they want, may they, does it exist, do it. No request may take the server down: what nobody
expected becomes an InternalError, with its traceback in the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Coroutine, Mapping
from dataclasses import replace
from typing import Any

from fairlead.faces.kube import answers, nodes, streaming
from fairlead.faces.kube.calls import NOBODY, Answer, Call, ClientGoneError, Receive, Reply, Send, Stream
from fairlead.faces.kube.documents import Documents
from fairlead.faces.kube.identities import PUBLIC, impersonated
from fairlead.faces.kube.nodes import Nodes
from fairlead.faces.kube.paths import Target, split, target
from fairlead.faces.kube.resources import Resources
from fairlead.faces.kube.site import Site
from fairlead.keep.authorizing import Question
from fairlead.keep.errors import (
    Refusal,
    bad_request,
    internal,
    method_not_allowed,
    no_such_path,
    not_supported,
)
from fairlead.keep.kinds import Kind

log = logging.getLogger("fairlead.kube")
_STREAMS = {"exec": "exec", "attach": "attach", "portforward": "port-forward"}


_LARGEST_IDLE = 64 * 1024
"""Bytes of a body that means nothing, which are read and forgotten."""


class App:
    """One API server. An instance is an ASGI application for HTTP and WebSockets."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.nodes = Nodes(site.pki)
        self._resources = Resources(site)
        self._documents = Documents(site)

    async def close(self) -> None:
        """End all streams and drop the connections to nodes."""
        self.site.draining.set()
        await self.nodes.close()

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)

    # HTTP

    async def _http(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        call = Call.of(scope, receive)
        auditor = self.site.auditor
        if auditor is not None:
            call.trail = auditor.begin(call, scope)
        try:
            reply = await self._reply(call)
        except ClientGoneError:
            return
        if isinstance(reply, Stream):
            self.site.metrics.count(call.tags, reply.status, None)
            await self._audited(call, reply.status, self._stream(call, reply, send))
            return
        self.site.metrics.count(call.tags, reply.status, time.perf_counter() - started)
        if auditor is not None and call.trail is not None:
            auditor.ended(call.trail, reply.status, reply)
        await _send_answer(call, reply, send)

    async def _audited(self, call: Call, status: int, serving: Coroutine[Any, Any, None]) -> None:
        """Serve what has no end, and note its beginning and its end."""
        auditor, trail = self.site.auditor, call.trail
        if auditor is None or trail is None:
            await serving
            return
        auditor.started(trail, status)
        try:
            await serving
        finally:
            auditor.ended(trail, status)

    async def _reply(self, call: Call) -> Reply:
        try:
            reply = await self._serve(call)
            if not isinstance(reply, Answer):
                return reply
            if call.trail is not None:
                call.trail.answer = reply.body
            return await answers.compressed(call, reply)
        except Refusal as refusal:
            return answers.refused(refusal, call)
        except ClientGoneError:
            raise
        except RecursionError:
            return answers.refused(bad_request("the object is nested too deeply"), call)
        except Exception as fault:
            log.exception("%s %s failed", call.method, call.path)
            return answers.refused(internal(f"{type(fault).__name__}: {fault}"), call)

    async def _serve(self, call: Call) -> Reply:
        if call.method in {"GET", "HEAD"} and call.headers.get("content-length", "0") != "0":
            await call.body(_LARGEST_IDLE)  # left unread it would have the server cut a long answer short
        segments = split(call.path)
        if segments is None:
            raise bad_request("the path is not UTF-8")
        path = "/" + "/".join(segments)
        asked = target(segments)
        self._identify(call, path, asked)
        if asked is None:
            call.tags.update(verb=call.method, resource="")
            self._note_verb(call, None, "")
            self._authorize_path(call, path)
            return self._documents.serve(call, segments)
        verb = asked.verb(call.method)
        if verb in {"get", "list"} and not asked.subresource and call.flag("watch"):
            asked, verb = replace(asked, watch=True), "watch"
        self._note_verb(call, asked, verb)
        kind = self.site.world.catalogue.served(asked.group, asked.version, asked.plural)
        self._authorize(call, asked, verb or call.method.lower())
        call.tags.update(verb=verb.upper() or call.method)
        if kind is None or (asked.subresource and asked.subresource not in kind.subresources):
            raise no_such_path()
        call.tags.update(group=kind.group, resource="/".join(filter(None, (kind.plural, asked.subresource))))
        _check_scope(kind, asked)
        if not verb:
            raise method_not_allowed()
        learnt = self.site.world.schemas.custom(kind)
        if learnt is not None and learnt.warning:
            call.warnings.append(learnt.warning)
        return await self._dispatch(call, asked, kind, verb)

    async def _dispatch(self, call: Call, asked: Target, kind: Kind, verb: str) -> Reply:
        if kind.storage == ("", "pods") and asked.subresource == "log" and verb == "get":
            return await self._log(call, asked)
        if asked.subresource in _STREAMS:
            nodes.pod_of(self.site, asked.namespace or "", asked.name)
            raise _no_stream(call, asked.subresource)
        if asked.subresource == "proxy":
            raise not_supported("proxy")
        return await self._resources.serve(call, asked, kind, verb)

    # Who may

    def _identify(self, call: Call, path: str, asked: Target | None) -> None:
        """Find out who calls, and as whom."""
        trail = call.trail
        if trail is not None:
            trail.target = asked
            self._note_verb(call, asked, asked.verb(call.method) if asked is not None else "")
        call.user = self.site.identities.of(call, path)
        if trail is not None:
            trail.user = call.user
        self._impersonate(call)
        if trail is not None and call.user is not trail.user:
            trail.impersonated = call.user

    def _note_verb(self, call: Call, asked: Target | None, verb: str) -> None:
        """Tell the audit what is asked, as far as it is known by now."""
        auditor, trail = self.site.auditor, call.trail
        if auditor is None or trail is None:
            return
        trail.target, trail.verb = asked, verb
        auditor.identified(trail)
        if call.user is not NOBODY:
            auditor.received(trail)

    def _require(self, call: Call, question: Question) -> None:
        """Raise the 403 Refusal unless the caller may, and note which."""
        if call.trail is None:
            self.site.access.require(question)
            return
        call.trail.decision = "forbid"
        decision = self.site.access.require(question)
        call.trail.decision, call.trail.reason = "allow", decision.reason

    def _impersonate(self, call: Call) -> None:
        asked = impersonated(call)
        if asked is not None:
            user, questions = asked
            for question in questions:
                self.site.access.require(question)
            call.user = user

    def _authorize_path(self, call: Call, path: str) -> None:
        if path in PUBLIC or path.startswith(("/livez/", "/readyz/", "/healthz/")):
            return
        verb = {"GET": "get", "HEAD": "get", "POST": "post", "PUT": "put"}.get(
            call.method, call.method.lower()
        )
        self._require(call, Question(user=call.user, verb=verb, path=path))

    def _authorize(self, call: Call, asked: Target, verb: str) -> None:
        namespace, name = asked.namespace or "", asked.name
        if asked.plural == "namespaces" and not asked.group:
            namespace = name
        if not name and verb in {"list", "watch", "deletecollection"}:
            name = _selected_name(call)
        self._require(
            call,
            Question(
                user=call.user,
                verb=verb,
                group=asked.group,
                version=asked.version,
                resource=asked.plural,
                subresource=asked.subresource,
                namespace=namespace,
                name=name,
            ),
        )

    # Streams

    async def _stream(self, call: Call, reply: Stream, send: Send) -> None:
        await send(
            {
                "type": "http.response.start",
                "status": reply.status,
                "headers": _headers(call, reply.content_type, reply.headers),
            }
        )
        # The server holds the head of an answer back until its first piece, which a quiet watch does not have.
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        gone = asyncio.ensure_future(_disconnected(call.receive))
        pumping = asyncio.ensure_future(_pump(reply, send))
        stopping = asyncio.ensure_future(self.site.draining.wait())
        key = (call.tags.get("group", ""), call.tags.get("resource", ""))
        self.site.metrics.watches[key] += 1
        try:
            await asyncio.wait({gone, pumping, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.site.metrics.watches[key] -= 1
            for task in (gone, pumping, stopping):
                task.cancel()
            results = await asyncio.gather(gone, pumping, stopping, return_exceptions=True)
        if isinstance(results[1], Exception) and not isinstance(results[1], asyncio.CancelledError):
            log.error("%s %s broke off", call.method, call.path, exc_info=results[1])
        if not gone.done() or gone.cancelled():
            with contextlib.suppress(Exception):
                await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _log(self, call: Call, asked: Target) -> Reply:
        pod = nodes.pod_of(self.site, asked.namespace or "", asked.name)
        path = nodes.log_path(call, pod)
        node = nodes.node_of(self.site, pod)
        if node is None:
            return answers.plain("")
        opened = self.nodes.open(node, "GET", path)
        response = await opened.__aenter__()

        async def chunks() -> Any:
            try:
                async for chunk in response.aiter_raw():
                    yield chunk
            finally:
                await opened.__aexit__(None, None, None)

        return Stream(chunks(), "text/plain; charset=utf-8")

    async def _websocket(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        await receive()
        call = Call.of({**scope, "method": "GET"}, receive)
        if self.site.auditor is not None:
            call.trail = self.site.auditor.begin(call, scope)
        protocol = streaming.chosen(scope.get("subprotocols") or ())
        try:
            asked = self._admit_stream(call)
            await self._judge_stream(call, asked)
        except Refusal as refusal:
            await self._refuse_stream(call, refusal, scope, send)
            return
        except Exception as fault:
            log.exception("WebSocket %s failed", call.path)
            await self._refuse_stream(call, internal(f"{type(fault).__name__}: {fault}"), scope, send)
            return
        if not protocol:
            text = f"unable to upgrade: none of the protocols is supported, only {', '.join(streaming.PROTOCOLS)}"
            await self._refuse_stream(call, bad_request(text), scope, send)
            return
        self.site.metrics.count(call.tags, 101, None)
        await self._audited(call, 101, self._connect(call, asked, receive, send, protocol))

    async def _refuse_stream(
        self, call: Call, refusal: Refusal, scope: Mapping[str, Any], send: Send
    ) -> None:
        if self.site.auditor is not None and call.trail is not None:
            self.site.auditor.ended(call.trail, refusal.code, answers.refused(refusal))
        await _refuse_websocket(refusal, scope, send)

    async def _connect(self, call: Call, asked: Target, receive: Receive, send: Send, protocol: str) -> None:
        pod = (asked.namespace or "", asked.name)
        try:
            if asked.subresource == "exec":
                await streaming.serve(self.site, self.nodes, call, pod, receive, send, protocol)
            else:
                status = nodes.failure(not_supported(_STREAMS[asked.subresource]))
                await streaming.refuse(send, status, protocol)
        except Exception:
            log.exception("WebSocket %s broke off", call.path)
            with contextlib.suppress(Exception):
                await send({"type": "websocket.close", "code": 1011})

    def _admit_stream(self, call: Call) -> Target:
        segments = split(call.path)
        if segments is None:
            raise bad_request("the path is not UTF-8")
        asked = target(segments)
        self._identify(call, call.path, asked)
        self._note_verb(call, asked, "get")
        if asked is None or asked.plural != "pods" or asked.group or asked.subresource not in _STREAMS:
            raise not_supported("a WebSocket to anything but a pod's exec")
        self._authorize(call, asked, "get")
        nodes.pod_of(self.site, asked.namespace or "", asked.name)
        call.tags.update(verb="CONNECT", group="", resource=f"pods/{asked.subresource}")
        return asked

    async def _judge_stream(self, call: Call, asked: Target) -> None:
        """Let policies judge a connection, as the CONNECT that it is."""
        kind = self.site.world.catalogue.served("", "v1", "pods")
        assert kind is not None
        request = self.site.request(call, "")
        options = _connect_options(call, asked.subresource)
        namespace, name = asked.namespace or "", asked.name
        await self.site.keeper.write(
            lambda world: world.connect(kind, namespace, name, options, request, asked.subresource)
        )


_CONNECT_OPTIONS = {
    "exec": "PodExecOptions",
    "attach": "PodAttachOptions",
    "portforward": "PodPortForwardOptions",
}


def _connect_options(call: Call, subresource: str) -> dict[str, Any]:
    """Return what a connection asks for, as the object that admission sees."""
    options: dict[str, Any] = {"kind": _CONNECT_OPTIONS[subresource], "apiVersion": "v1"}
    if subresource == "portforward":
        return {**options, "ports": [int(port) for port in call.query.get("ports", ()) if port.isdigit()]}
    for name in ("stdin", "stdout", "stderr", "tty"):
        if call.flag(name):
            options[name] = True
    if call.get("container"):
        options["container"] = call.get("container")
    if subresource == "exec":
        options["command"] = call.query.get("command", [])
    return options


def _check_scope(kind: Kind, asked: Target) -> None:
    """Refuse paths that do not fit the kind's scope: a namespace too many, or one too few for a single object."""
    if not kind.namespaced and asked.namespace is not None:
        raise no_such_path()
    if kind.namespaced and asked.namespace is None and asked.name:
        raise no_such_path()


def _selected_name(call: Call) -> str:
    """Return the name of a list that is narrowed to one object, which counts as the name of the access question."""
    for term in call.get("fieldSelector").split(","):
        field, _, value = term.partition("=")
        if field == "metadata.name" and value:
            return value.removeprefix("=")
    return ""


def _no_stream(call: Call, name: str) -> Refusal:
    if "spdy" in call.headers.get("upgrade", "").lower():
        return not_supported(
            f"{_STREAMS[name]} over SPDY (only WebSockets are); this kind of {_STREAMS[name]}"
        )
    return bad_request("Upgrade request required")


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _pump(reply: Stream, send: Send) -> None:
    try:
        async for chunk in reply.chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
    finally:
        close = getattr(reply.chunks, "aclose", None)
        if close is not None:
            await close()


def _headers(call: Call, content_type: str, more: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    headers = [
        (b"content-type", content_type.encode()),
        (b"cache-control", b"no-cache, private"),
    ]
    headers += [(name.encode(), value.encode("latin-1", "replace")) for name, value in more.items()]
    headers += [(b"warning", _warning(text)) for text in dict.fromkeys(call.warnings)]
    return headers


def _warning(text: str) -> bytes:
    """Return a Warning header's value (RFC 7234), cut where it would be unreasonably long."""
    clean = "".join(char if char.isprintable() else " " for char in text)[:2048]
    escaped = clean.replace("\\", "\\\\").replace('"', '\\"')
    return f'299 - "{escaped}"'.encode()


async def _send_answer(call: Call, answer: Answer, send: Send) -> None:
    headers = _headers(call, answer.content_type, answer.headers)
    if answer.status != 304:
        headers.append((b"content-length", str(len(answer.body)).encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    body = b"" if call.method == "HEAD" else answer.body
    await send({"type": "http.response.body", "body": body})


async def _refuse_websocket(refusal: Refusal, scope: Mapping[str, Any], send: Send) -> None:
    """Answer the handshake with a Status, where the server can; else close it."""
    if "websocket.http.response" in (scope.get("extensions") or {}):
        answer = answers.refused(refusal)
        headers = [(b"content-type", b"application/json")]
        await send({"type": "websocket.http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": answer.body})
        return
    await send({"type": "websocket.close", "code": 1008, "reason": refusal.message[:120]})
