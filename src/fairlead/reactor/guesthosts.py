"""What guests may ask of their host: Kubernetes lookups, access questions, names and certificates.

Answers from a view that is handed in; carries nothing out. What a script creates, updates or removes is noted as a proposal, and
the script is told what would come of it. Source: docs.kubewarden.io reference "host capabilities", jspolicy.com's functions.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from fairlead.drivers.guests import HostCall, HostError
from fairlead.judge.surroundings import Kinds, Question
from fairlead.reactor.admit import Unanswered
from fairlead.tongues import selectors
from fairlead.words import Ref, Resource, User, View

_MOST_CHANGES = 100


class WasmHost:
    """Kubewarden's host calls. `reads` are the (apiVersion, kind) that the policy lists; None: all.

    `images` answers calls about images: their operation with its version, and what is asked.
    """

    def __init__(
        self,
        view: View,
        kinds: Kinds,
        *,
        reads: frozenset[tuple[str, str]] | None,
        allowed: Callable[[Question], tuple[bool, str]] | None,
        images: Callable[[str, Any], Awaitable[Any]] | None = None,
    ) -> None:
        self._view, self._kinds, self._reads, self._allowed = view, kinds, reads, allowed
        self._images = images

    async def answer(self, call: HostCall) -> bytes:
        """Answer one call. Raises HostError."""
        try:
            asked = json.loads(call.payload or b"null")
        except ValueError as error:
            raise HostError(f"{call.operation}: the payload is no JSON: {error}") from error
        match call.namespace, call.operation.rpartition("/")[2]:
            case "kubernetes", "get_resource":
                return self._json(self._get(asked))
            case "kubernetes", "list_resources_all" | "list_resources_by_namespace":
                return self._json(self._list(asked))
            case "kubernetes", "can_i":
                return self._json(self._can(asked))
            case "net", "dns_lookup_host":
                return self._json({"ips": await _addresses(str(asked))})
            case "crypto", "is_certificate_trusted":
                return self._json(trusted(asked))
            case "oci", _:
                return self._json(await self._image(call.operation, asked))
            case "tracing", _:
                return b""
        raise HostError(f"{call.namespace} {call.operation} is not offered here")

    async def _image(self, operation: str, asked: Any) -> Any:
        if self._images is None:
            raise HostError(f"oci {operation}: images and signatures are not looked up here")
        try:
            return await self._images(operation, asked)
        except Unanswered as error:
            raise HostError(str(error)) from error

    @staticmethod
    def _json(value: Any) -> bytes:
        return json.dumps(value).encode()

    def _listed(self, asked: Any) -> tuple[str, str]:
        """Return the group and kind that are asked for, if the policy may see them."""
        if not isinstance(asked, dict):
            raise HostError("an object is wanted")
        version, kind = str(asked.get("api_version")), str(asked.get("kind"))
        if self._reads is not None and (version, kind) not in self._reads:
            raise HostError(f"{version}/{kind}: the policy does not list it among its contextAwareResources")
        return version.rpartition("/")[0], kind

    def _get(self, asked: Any) -> Resource:
        group, kind = self._listed(asked)
        name, namespace = str(asked.get("name")), str(asked.get("namespace") or "")
        found = self._view.get(group, kind, namespace, name)
        if found is None:
            raise HostError(
                f"Cannot find {asked.get('api_version')}/{kind} named '{name}' inside of namespace '{namespace}'"
            )
        return found

    def _list(self, asked: Any) -> Resource:
        group, kind = self._listed(asked)
        items = selected(
            self._view.list(group, kind, asked.get("namespace") or None), asked.get("label_selector")
        )
        fields = asked.get("field_selector")
        if fields:
            items = [one for one in items if _has_fields(one, fields)]
        return {"apiVersion": asked["api_version"], "kind": f"{kind}List", "metadata": {}, "items": items}

    def _can(self, asked: Any) -> dict[str, Any]:
        review = asked.get("subject_access_review") or {}
        about = review.get("resource_attributes") or {}
        if self._allowed is None:
            raise HostError("can_i: there is nobody here to ask")
        user = User(name=str(review.get("user") or ""), groups=tuple(review.get("groups") or ()))
        names = ("verb", "group", "resource", "subresource", "namespace", "name")
        parts = {key: str(about.get(key) or "") for key in names}
        allowed, reason = self._allowed(Question(user, **parts))
        return {"allowed": allowed, "reason": reason}


def selected(items: Iterable[Resource], selector: Any) -> list[Resource]:
    """Return the objects whose labels a selector's text matches. Raises HostError for a bad selector."""
    if not selector:
        return list(items)
    try:
        expression = selectors.parse(str(selector))
    except ValueError as error:
        raise HostError(str(error)) from error
    return [one for one in items if expression.matches((one.get("metadata") or {}).get("labels") or {})]


def _has_fields(resource: Resource, text: Any) -> bool:
    try:
        wanted = selectors.parse_fields(str(text))
    except ValueError as error:
        raise HostError(str(error)) from error
    for path, sign, value in wanted:
        here: Any = resource
        for step in path.split("."):
            here = here.get(step) if isinstance(here, dict) else None
        if (str("" if here is None else here) == value) is (sign == "!="):
            return False
    return True


async def _addresses(host: str) -> list[str]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None)
    except OSError as error:
        raise HostError(f"{host}: {error.strerror}") from error
    return list(dict.fromkeys(str(one[4][0]) for one in found))


def trusted(asked: Any) -> dict[str, Any]:
    """Return whether each certificate was signed by the next one of the chain, and is valid long enough.

    Without a chain only the time is looked at, as Kubewarden has it.
    """
    try:
        certificate = _certificate(asked["cert"])
        chain = [_certificate(one) for one in asked.get("cert_chain") or ()]
        until = asked.get("not_after")
        if until and certificate.not_valid_after_utc < datetime.fromisoformat(until):
            return {"trusted": False, "reason": "Certificate is not trusted: certificate has expired"}
        for child, parent in zip([certificate, *chain], chain, strict=False):
            child.verify_directly_issued_by(parent)
    except (InvalidSignature, ValueError, TypeError) as error:
        said = str(error) or "the signature is not the issuer's"
        return {"trusted": False, "reason": f"Certificate is not trusted: {said}"}
    except (KeyError, AttributeError) as error:
        raise HostError(f"is_certificate_trusted: {error} is wanted") from error
    return {"trusted": True, "reason": ""}


def _certificate(asked: Any) -> x509.Certificate:
    data = bytes(asked["data"])
    load = x509.load_pem_x509_certificate if asked["encoding"] == "Pem" else x509.load_der_x509_certificate
    return load(data)


class ScriptHost:
    """What jsPolicy's programs may call. `changes` collects what they would create, update and remove."""

    def __init__(self, view: View, kinds: Kinds, *, user: dict[str, Any]) -> None:
        self._view, self._kinds, self._user = view, kinds, user
        self.changes: list[dict[str, Any]] = []

    async def answer(self, call: HostCall) -> bytes:
        """Answer one call; what goes wrong is told to the program, which may catch it."""
        given = json.loads(call.payload or b"[]")
        try:
            value = self._call(call.operation, given)
        except _Thrown as error:
            return json.dumps({"error": {"reason": error.reason, "message": str(error)}}).encode()
        return json.dumps({"value": value}).encode()

    def _call(self, name: str, given: list[Any]) -> Any:
        match name, given:
            case "get", [str(kind), str(version), str(named), *_]:
                space, _, last = named.rpartition("/")
                return self._found(version, kind, space, last)
            case "list", [str(kind), str(version), *options]:
                asked = options[0] if options and isinstance(options[0], dict) else {}
                kind = kind.removesuffix("List") if kind.endswith("List") else kind
                items = self._view.list(version.rpartition("/")[0], kind, asked.get("namespace") or None)
                try:
                    return selected(items, asked.get("labelSelector"))
                except HostError as error:
                    raise _Thrown("ParseLabelSelector", str(error)) from error
            case ("create" | "update" | "remove") as verb, [dict(resource)]:
                return self._change(verb, resource)
            case "btoa", [text]:
                return base64.b64encode(str(text).encode()).decode()
            case "atob", [text]:
                try:
                    return base64.b64decode(str(text)).decode(errors="replace")
                except (binascii.Error, ValueError) as error:
                    raise _Thrown("InvalidCharacterError", str(error)) from error
            case (("fetch" | "read"), _):
                raise _Thrown(
                    "NotSupported", f"{name} is not offered here: policies reach neither network nor files"
                )
        raise _Thrown("WrongArguments", f"{name} was called with arguments that it does not understand")

    def _found(self, version: str, kind: str, namespace: str, name: str) -> Resource | None:
        for one in reversed(self.changes):  # a program sees what it did itself
            resource = one["object"]
            ref = Ref.of(resource)
            if (ref.kind, ref.namespace, ref.name) == (kind, namespace, name) and resource.get(
                "apiVersion"
            ) == version:
                return None if one["verb"] == "remove" else resource
        return self._view.get(version.rpartition("/")[0], kind, namespace, name)

    def _change(self, verb: str, resource: Resource) -> dict[str, Any]:
        if len(self.changes) >= _MOST_CHANGES:
            raise _Thrown("TooManyChanges", f"a policy may change at most {_MOST_CHANGES} objects in one run")
        ref = Ref.of(resource)
        there = self._found(str(resource.get("apiVersion")), ref.kind, ref.namespace, ref.name)
        named = f"{self._kinds.plural(ref.group, ref.kind)} {json.dumps(ref.name)}"
        if verb == "create" and there is not None:
            raise _Thrown("AlreadyExists", f"{named} already exists")
        if verb != "create" and there is None:
            raise _Thrown("NotFound", f"{named} not found")
        self.changes.append({"verb": verb, "object": resource})
        return {"ok": True, "object": resource}


class _Thrown(Exception):
    """What a program hears as an exception."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
