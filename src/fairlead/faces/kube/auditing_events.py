"""Audit events (audit.k8s.io/v1 Event): what is noted of a request while it is served, and the object made of it afterwards.

`Trail` is cheap: it holds what is at hand. `event` decodes and copies, and runs where nobody waits for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from fairlead.faces.kube import bodies
from fairlead.faces.kube.auditing_policies import METADATA, NAMES, REQUEST, RESPONSE, Asked, Judged, is_secret
from fairlead.faces.kube.paths import Target
from fairlead.keep.errors import Refusal
from fairlead.words import User

_NOBODY = User(name="")
_LARGEST_OBJECT = 4 << 20
"""Bytes of an answer that is written down; of a larger one the event tells without it."""


@dataclass(slots=True)
class Trail:
    """What is noted of one request. Times are ns since the epoch; `sent` and `answer` are bodies as bytes."""

    id: str
    received: int
    method: str
    uri: str
    path: str
    agent: str
    sources: tuple[str, ...]
    content_type: str
    user: User = _NOBODY
    impersonated: User | None = None
    target: Target | None = None
    verb: str = ""
    decision: str = ""
    reason: str = ""
    sent: bytes = b""
    answer: bytes = b""
    answer_type: str = ""
    status: int = 0
    judged: Judged = field(default_factory=Judged)

    def asked(self) -> Asked:
        """What a policy is asked about it."""
        user = self.impersonated or self.user
        verb = self.verb or self.method.lower()
        found = self.target
        if found is None:
            return Asked(verb=verb, user=user, path=self.path)
        return Asked(
            verb=verb, user=user, path=self.path, group=found.group, resource=found.plural, subresource=found.subresource,
            namespace=found.namespace or "", name=found.name,
        )  # fmt: skip


def moment(ns: int) -> str:
    """Return a time as Kubernetes writes one with microseconds."""
    seconds, rest = divmod(ns, 10**9)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest // 1000:06d}Z"


def event(trail: Trail, stage: str, at: int) -> dict[str, Any]:
    """Return the event of a request's stage, at a time."""
    asked, level = trail.asked(), trail.judged.level
    request = _object(trail.sent, trail.content_type, asked) if trail.sent else None
    made: dict[str, Any] = {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": NAMES[level],
        "auditID": trail.id,
        "stage": stage,
        "requestURI": trail.uri,
        "verb": asked.verb,
        "user": _user(trail.user),
    }
    if trail.impersonated is not None:
        made["impersonatedUser"] = _user(trail.impersonated)
    made["sourceIPs"] = list(trail.sources)
    if trail.agent:
        made["userAgent"] = trail.agent
    if trail.target is not None:
        made["objectRef"] = _reference(trail.target, request)
    if stage != "RequestReceived" and trail.status:
        made["responseStatus"] = _status(trail)
    if level >= REQUEST and request is not None and not is_secret(asked):
        made["requestObject"] = _trimmed(request, trail.judged)
    if level >= RESPONSE and stage == "ResponseComplete" and not is_secret(asked):
        answer = _answer(trail)
        if answer is not None:
            made["responseObject"] = _trimmed(answer, trail.judged)
    made["requestReceivedTimestamp"] = moment(trail.received)
    made["stageTimestamp"] = moment(at)
    if trail.decision and level >= METADATA:
        made["annotations"] = {
            "authorization.k8s.io/decision": trail.decision, "authorization.k8s.io/reason": trail.reason,
        }  # fmt: skip
    return made


def _user(user: User) -> dict[str, Any]:
    made: dict[str, Any] = {"username": user.name} if user.name else {}
    if user.uid:
        made["uid"] = user.uid
    if user.groups:
        made["groups"] = list(user.groups)
    if user.extra:
        made["extra"] = {key: list(values) for key, values in user.extra}
    return made


def _reference(target: Target, request: Any) -> dict[str, str]:
    """What the request is about; what the path does not say, the object that was sent may."""
    made = {
        "resource": target.plural, "namespace": target.namespace or "", "name": target.name, "apiGroup": target.group,
        "apiVersion": target.version, "subresource": target.subresource,
    }  # fmt: skip
    meta = request.get("metadata") if isinstance(request, Mapping) else None
    if isinstance(meta, Mapping) and not target.subresource:
        for key, name in (
            ("name", "name"),
            ("namespace", "namespace"),
            ("uid", "uid"),
            ("resourceVersion", "resourceVersion"),
        ):
            if not made.get(key) and isinstance(meta.get(name), str):
                made[key] = meta[name]
    return {key: value for key, value in made.items() if value}


def _status(trail: Trail) -> dict[str, Any]:
    made: dict[str, Any] = {"metadata": {}}
    if trail.status >= 400:
        answer = _answer(trail)
        if isinstance(answer, Mapping) and answer.get("kind") == "Status":
            made.update(
                {key: answer[key] for key in ("status", "message", "reason", "details") if key in answer}
            )
    made["code"] = trail.status
    return made


def _answer(trail: Trail) -> Any:
    if not trail.answer_type.startswith("application/json") or not 0 < len(trail.answer) <= _LARGEST_OBJECT:
        return None
    try:
        return orjson.loads(trail.answer)
    except orjson.JSONDecodeError:
        return None


def _object(sent: bytes, content_type: str, asked: Asked) -> Any:
    """Return a body as an object, None for one that cannot be read."""
    try:
        if asked.verb == "patch":
            declared = content_type.partition(";")[0].strip()
            return bodies.decode_patch(sent, bodies.PATCH_TYPES.get(declared, "merge"))
        return bodies.decode(sent, content_type, asked.resource)
    except (Refusal, ValueError, RecursionError):
        return None


def _trimmed(found: Any, judged: Judged) -> Any:
    """Leave out managedFields where the policy wants that, of an object and of a list's items."""
    if not judged.omit_managed or not isinstance(found, dict):
        return found
    items = found.get("items")
    for one in (found, *(items if isinstance(items, list) else ())):
        meta = one.get("metadata") if isinstance(one, dict) else None
        if isinstance(meta, dict):
            meta.pop("managedFields", None)
    return found
