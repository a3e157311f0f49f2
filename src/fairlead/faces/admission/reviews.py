"""AdmissionReview v1 in and out: the body of a webhook's request to a Subject, and a Verdict to the body of the answer.

Knows no policy and no socket. What is not a review becomes a Refusal (400), never another exception.
Source: k8s.io/api/admission/v1, k8s.io/apiserver pkg/admission/plugin/webhook (what it makes of an answer).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import orjson

from fairlead.faces.kube.bodies import from_json
from fairlead.judge.judging import Verdict
from fairlead.judge.subjects import Operation, Subject, Target
from fairlead.keep.errors import Refusal, bad_request
from fairlead.tongues import jsonpatch
from fairlead.words import Resource, User

VERSION = "admission.k8s.io/v1"
KIND = "AdmissionReview"

_PREFIX = re.compile(r'^admission webhook "[^"\n]*" denied the request: ', re.MULTILINE)
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]+")
_KEY = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST_KEY = 63
_LONGEST_WARNING = 2048


@dataclass(frozen=True, slots=True)
class Asked:
    """A review that was read: the request's uid, to be given back, and what is to be judged."""

    uid: str
    subject: Subject


def read(body: bytes) -> Asked:
    """Return the request of a review. Raises Refusal (400)."""
    try:
        document = from_json(body)
    except ValueError as fault:
        raise bad_request(f"the body is not an AdmissionReview: {fault}") from None
    if not isinstance(document, dict):
        raise bad_request("the body is not an AdmissionReview: it is no object")
    said = (document.get("apiVersion"), document.get("kind"))
    if said != (VERSION, KIND):
        shown = " ".join(str(one)[:100] for one in said)
        raise bad_request(f"the body is not an AdmissionReview: {VERSION} {KIND} is wanted, not {shown}")
    request = document.get("request")
    if not isinstance(request, dict):
        raise bad_request("the AdmissionReview has no request")
    return Asked(_text(request, "uid", wanted=True), _subject(request))


def _subject(request: Mapping[str, Any]) -> Subject:
    kind, resource = _mapping(request, "kind"), _mapping(request, "resource")
    operation = _text(request, "operation", wanted=True)
    if operation not in get_args(Operation):
        raise _wrong("operation", f"one of {', '.join(get_args(Operation))}")
    target = Target(
        _text(resource, "group"),
        _text(resource, "version", wanted=True),
        _text(kind, "kind", wanted=True),
        _text(resource, "resource", wanted=True),
        _text(request, "subResource"),
        operation,  # type: ignore[arg-type]  # it was looked up among them
    )
    object_, old = _object(request, "object"), _object(request, "oldObject")
    if operation in {"CREATE", "UPDATE"} and object_ is None:
        raise _wrong("object", f"an object for {operation}")
    return Subject(
        target=target,
        name=_text(request, "name"),
        namespace=_text(request, "namespace"),
        object=object_,
        old=old,
        user=_user(_mapping(request, "userInfo")),
        dry_run=request.get("dryRun") is True,
        options=_mapping(request, "options"),
        uid=_text(request, "uid"),
    )


def _user(info: Mapping[str, Any]) -> User:
    extra = _mapping(info, "extra")
    return User(
        name=_text(info, "username"),
        groups=tuple(_texts(info, "groups")),
        uid=_text(info, "uid"),
        extra=tuple((key, tuple(_texts(extra, key))) for key in sorted(extra)),
    )


def _object(request: Mapping[str, Any], key: str) -> Resource | None:
    found = request.get(key)
    if found is None:
        return None
    fine = isinstance(found, dict) and all(
        isinstance(found.get(name, ""), str) for name in ("apiVersion", "kind")
    )
    meta = found.get("metadata", {}) if fine else None
    if not isinstance(meta, dict):
        raise _wrong(key, "an object with apiVersion, kind and metadata")
    for name in ("name", "generateName", "namespace", "uid"):
        if not isinstance(meta.get(name) or "", str):
            raise _wrong(f"{key}.metadata.{name}", "a text")
    for name in ("labels", "annotations"):
        if not isinstance(meta.get(name) or {}, dict):
            raise _wrong(f"{key}.metadata.{name}", "a map of texts")
    return dict(found)


def _text(mapping: Mapping[str, Any], key: str, *, wanted: bool = False) -> str:
    found = mapping.get(key)
    if found is None:
        found = ""
    if not isinstance(found, str):
        raise _wrong(key, "a text")
    if wanted and not found:
        raise _wrong(key, "a text that is not empty")
    return found


def _texts(mapping: Mapping[str, Any], key: str) -> Sequence[str]:
    found = mapping.get(key)
    if found is None:
        return ()
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise _wrong(key, "a list of texts")
    return found


def _mapping(mapping: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = mapping.get(key)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise _wrong(key, "an object")
    return found


def _wrong(key: str, wanted: str) -> Refusal:
    return bad_request(f"the request of the AdmissionReview is malformed: {key} must be {wanted}")


def allowed(uid: str) -> bytes:
    """Return the answer that lets a request pass, with nothing more to say."""
    return _answer({"uid": uid, "allowed": True})


def answer(asked: Asked, verdict: Verdict, warnings: Sequence[str] = ()) -> bytes:
    """Return the answer that a verdict gives, with the patch that its mutations make.

    The denial is told without the words that the API server puts before a webhook's denial itself.
    """
    response: dict[str, Any] = {"uid": asked.uid, "allowed": verdict.allowed}
    if not verdict.allowed:
        code = verdict.code or 403
        status: dict[str, Any] = {
            "status": "Failure",
            "message": _PREFIX.sub("", verdict.message).strip("\n"),
            "reason": verdict.reason or ("Forbidden" if code == 403 else ""),
            "code": code,
        }
        response["status"] = {key: value for key, value in status.items() if value}
    elif asked.subject.object is not None and verdict.object is not None:
        operations = jsonpatch.diff(asked.subject.object, verdict.object)
        if operations:
            response["patchType"] = "JSONPatch"
            response["patch"] = base64.b64encode(orjson.dumps(operations)).decode()
    told = [_warning(text) for text in dict.fromkeys((*verdict.warnings, *warnings))]
    if told:
        response["warnings"] = told
    if verdict.audit:
        response["auditAnnotations"] = {_key(key): text for key, text in verdict.audit.items()}
    return _answer(response)


def _answer(response: Mapping[str, Any]) -> bytes:
    return orjson.dumps({"apiVersion": VERSION, "kind": KIND, "response": response})


def _warning(text: str) -> str:
    """Return a warning as a header can carry it."""
    return _CONTROLS.sub(" ", text).strip()[:_LONGEST_WARNING]


def _key(key: str) -> str:
    """Return a key that Kubernetes takes: it puts the webhook's name and a slash before it, so that it may have none itself."""
    return _KEY.sub(".", key)[:_LONGEST_KEY].strip("._-") or "policy"


__all__ = ["KIND", "VERSION", "Asked", "allowed", "answer", "read"]
