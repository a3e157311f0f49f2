"""The ASGI application: /validate and /mutate answer AdmissionReviews, /healthz and /readyz tell how the server is.

Order: is it a review, may it be judged at all, what do the policies say, within the time that the API server waits. Never locks
the control plane out: its own namespaces, this server's own and the platform's own programs pass unjudged. No request may take the
server down; one that nobody expected is refused with a 500, its traceback in the log.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from fairlead.faces.admission import reviews
from fairlead.faces.admission.grounds import Grounds
from fairlead.faces.admission.ruling import Answering, Answers, Ruling, passed_over
from fairlead.faces.kube.calls import Answer, Call, ClientGoneError, Receive, Send
from fairlead.faces.kube.negotiating import JSON, media
from fairlead.judge.judging import Verdict
from fairlead.judge.policies import Phase
from fairlead.judge.subjects import Subject
from fairlead.keep.errors import (
    Refusal,
    bad_request,
    internal,
    method_not_allowed,
    no_such_path,
    unavailable,
    unsupported_media_type,
)
from fairlead.keep.gating import Passage
from fairlead.keep.kinds import Kind
from fairlead.keep.requests import Request
from fairlead.reactor.admit import tell
from fairlead.reactor.exempting import SYSTEM_NAMESPACES, exempt
from fairlead.tongues import durations

log = logging.getLogger("fairlead.admission")

BODY_LIMIT = 8 * 1024 * 1024
"""Bytes of a review: it may hold the object twice, and Kubernetes lets an object have up to 3 MiB."""
SECONDS = 10.0
"""How long the API server waits where it does not say."""
LEAST, MOST = 0.05, 30.0
"""Bounds of what it may say."""
MARGIN = 0.1
"""The part of the time that is left for the way back; at most half a second."""


class App:
    """One webhook server. An instance is an ASGI application. `own_namespace` is the one that it runs in itself, if any."""

    def __init__(self, grounds: Grounds, answering: Answering, own_namespace: str = "") -> None:
        self._grounds = grounds
        self._ruling = Ruling(answering)
        self._own = own_namespace
        self.stopping = False
        """Set when the server is about to end: it is not ready any more."""

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        if scope["type"] != "http":
            return
        call = Call.of(scope, receive)
        try:
            reply = await self._reply(call)
        except ClientGoneError:
            return
        headers = [
            (b"content-type", reply.content_type.encode()),
            (b"content-length", str(len(reply.body)).encode()),
        ]
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if call.method == "HEAD" else reply.body})

    async def _reply(self, call: Call) -> Answer:
        try:
            return await self._serve(call)
        except Refusal as refusal:
            return _refused(refusal)
        except ClientGoneError:
            raise
        except RecursionError:
            return _refused(bad_request("the object is nested too deeply"))
        except Exception as fault:
            log.exception("%s %s failed", call.method, call.path)
            return _refused(internal(f"{type(fault).__name__}: {fault}"))

    async def _serve(self, call: Call) -> Answer:
        if call.path in {"/healthz", "/livez"}:
            return _plain(200, "ok")
        if call.path == "/readyz":
            missing = "the server is stopping" if self.stopping else self._grounds.missing()
            return _plain(503, f"not ready: {missing}") if missing else _plain(200, "ok")
        if call.path not in {"/validate", "/mutate"}:
            raise no_such_path()
        if call.method != "POST":
            raise method_not_allowed()
        if media(call.headers.get("content-type", "")).type != JSON:
            raise unsupported_media_type((JSON,))
        began = time.monotonic()
        seconds = _seconds(call)
        asked = reviews.read(await call.body(BODY_LIMIT))
        if self._passes(asked.subject):
            return Answer(200, reviews.allowed(asked.uid))
        missing = self._grounds.missing()
        if missing:
            raise unavailable(f"the server is not ready: {missing} is still to come")
        verdict = await self._verdict(call.path, asked.subject, seconds - (time.monotonic() - began))
        tell(verdict)
        return Answer(200, reviews.answer(asked, verdict, passed_over(verdict)))

    async def _verdict(self, path: str, subject: Subject, seconds: float) -> Verdict:
        grounds = self._grounds
        book = grounds.loaded.book
        phase: Phase = "mutate" if path == "/mutate" else "validate"
        if not book.rules(subject.target, phase):
            return Verdict(subject)
        subject = await self._at_home(subject)
        around = grounds.around(Answers())
        if phase == "mutate":
            return await self._ruling.mutate(subject, book, around, seconds)
        return await self._ruling.validate(subject, book, around, seconds)

    async def _at_home(self, subject: Subject) -> Subject:
        """Return the subject with what the review does not tell: its Namespace, and what its user is bound to."""
        roles, cluster_roles = self._grounds.roles(subject.user)
        space = None
        if subject.namespace and (subject.target.group, subject.target.plural) != ("", "namespaces"):
            space = await self._grounds.space(subject.namespace)
        return replace(subject, space=space, roles=roles, cluster_roles=cluster_roles)

    def _passes(self, subject: Subject) -> bool:
        """Whether a request passes unjudged, lest the control plane, or this server itself, be locked out."""
        if subject.namespace in SYSTEM_NAMESPACES:
            return True
        if self._own and (
            subject.namespace == self._own or f"system:serviceaccounts:{self._own}" in subject.user.groups
        ):
            return True
        return exempt(_passage(subject, self._grounds))


def _passage(subject: Subject, grounds: Grounds) -> Passage:
    """Return a subject as the exemptions of the embedded control plane see it."""
    target = subject.target
    request = Request(user=subject.user, now=grounds.around(Answers()).now, manager="")
    return Passage(
        operation=target.operation,
        kind=Kind(target.group, target.version, target.kind, target.plural),
        namespace=subject.namespace,
        name=subject.name,
        obj=subject.object,
        old=subject.old,
        request=request,
        rng=_NoChance(),
        subresource=target.subresource,
    )


class _NoChance:
    """Exempting is no matter of chance."""

    def getrandbits(self, k: int, /) -> int:  # noqa: ARG002  see keep.chances.Chance
        """See keep.chances.Chance."""
        return 0


def _seconds(call: Call) -> float:
    """Return how long the request may take: the API server's `?timeout=10s` without what the way back takes."""
    asked = call.get("timeout")
    seconds = SECONDS
    if asked:
        try:
            seconds = durations.parse(asked) / durations.SECOND
        except ValueError:
            raise bad_request(f"timeout={asked[:40]!r} is not a duration such as 10s") from None
    seconds = min(max(seconds, LEAST), MOST)
    return seconds - min(seconds * MARGIN, 0.5)


def _plain(status: int, text: str) -> Answer:
    return Answer(status, text.encode() + b"\n", "text/plain; charset=utf-8")


def _refused(refusal: Refusal) -> Answer:
    return Answer(refusal.code, orjson.dumps(refusal.status) + b"\n")
