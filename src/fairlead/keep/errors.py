"""Refusals in Kubernetes' own words.

Every refusal is a `metav1.Status` with the reason, code, message and details that clients compare as text. This
module only builds them; which refusal is due is decided by whoever raises it.
Source: k8s.io/apimachinery/pkg/api/errors.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Cause:
    """One faulty field: `reason` such as FieldValueRequired, the message for people, and the field's path."""

    reason: str
    message: str
    field: str


class Refusal(Exception):
    """A request that the API refuses, carrying the Status to answer with."""

    def __init__(self, code: int, reason: str, message: str, details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details

    @property
    def status(self) -> dict[str, Any]:
        """The metav1.Status object."""
        status: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
        }
        if not self.reason:
            del status["reason"]
        if self.details:
            status["details"] = self.details
        status["code"] = self.code
        return status


def qualified(group: str, name: str) -> str:
    """Return `deployments.apps`, or `pods` for the core group."""
    return f"{name}.{group}" if group else name


def _details(group: str, kind: str, name: str = "", **more: Any) -> dict[str, Any]:
    details: dict[str, Any] = {"name": name, "group": group, "kind": kind, **more}
    return {key: value for key, value in details.items() if value}


def not_found(group: str, plural: str, name: str) -> Refusal:
    """404 for an object that is not there."""
    return Refusal(
        404, "NotFound", f'{qualified(group, plural)} "{name}" not found', _details(group, plural, name)
    )


def no_such_path() -> Refusal:
    """404 for a path that no resource is served at."""
    return Refusal(404, "NotFound", "the server could not find the requested resource", {})


def already_exists(group: str, plural: str, name: str) -> Refusal:
    """409 for a create whose name is taken."""
    return Refusal(
        409,
        "AlreadyExists",
        f'{qualified(group, plural)} "{name}" already exists',
        _details(group, plural, name),
    )


def name_collision(group: str, plural: str, name: str) -> Refusal:
    """409 for a generateName that found no free name."""
    refusal = already_exists(group, plural, name)
    refusal.message += ", the server was not able to generate a unique name for the object"
    if refusal.details is not None:
        refusal.details["retryAfterSeconds"] = 1
    return refusal


def conflict(group: str, plural: str, name: str, why: str = "") -> Refusal:
    """409 for a stale resourceVersion, a uid that does not match, or another reason given."""
    why = why or (
        "the object has been modified; please apply your changes to the latest version and try again"
    )
    return Refusal(
        409,
        "Conflict",
        f'Operation cannot be fulfilled on {qualified(group, plural)} "{name}": {why}',
        _details(group, plural, name),
    )


def apply_conflict(causes: Sequence[Cause], message: str) -> Refusal:
    """409 for a server-side apply that meets fields of other managers."""
    return Refusal(409, "Conflict", message, {"causes": _causes(causes)})


def invalid(group: str, kind: str, name: str, causes: Sequence[Cause]) -> Refusal:
    """422 with one cause per faulty field; the message lists them as Kubernetes' error aggregate does."""
    texts = list(dict.fromkeys(f"{cause.field}: {cause.message}" for cause in causes))
    text = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    kind_name = f"{kind}.{group}" if group else kind
    return Refusal(
        422,
        "Invalid",
        f'{kind_name} "{name}" is invalid: {text}',
        _details(group, kind, name, causes=_causes(causes)),
    )


def _causes(causes: Iterable[Cause]) -> list[dict[str, str]]:
    return [{"reason": cause.reason, "message": cause.message, "field": cause.field} for cause in causes]


def bad_request(message: str) -> Refusal:
    """400 for a request that cannot be understood."""
    return Refusal(400, "BadRequest", message)


def unauthorized() -> Refusal:
    """401 for a request without valid credentials."""
    return Refusal(401, "Unauthorized", "Unauthorized")


def forbidden(group: str, plural: str, name: str, why: str) -> Refusal:
    """403 with the reason that follows `is forbidden: `."""
    subject = f'{qualified(group, plural)} "{name}"' if name else qualified(group, plural)
    return Refusal(403, "Forbidden", f"{subject} is forbidden: {why}", _details(group, plural, name))


def expired(message: str = "The resourceVersion for the provided list is too old.") -> Refusal:
    """410 for a resourceVersion or a continue token that the window has left behind."""
    return Refusal(410, "Expired", message)


def too_old(asked: int, oldest: int) -> Refusal:
    """410 as a watch is told it."""
    return Refusal(410, "Expired", f"too old resource version: {asked} ({oldest})")


def too_large(limit: int) -> Refusal:
    """413 for a body over the limit, in bytes."""
    return Refusal(413, "RequestEntityTooLarge", f"Request entity too large: limit is {limit}")


def unsupported_media_type(accepted: Sequence[str]) -> Refusal:
    """415 with what would have been accepted."""
    return Refusal(
        415,
        "UnsupportedMediaType",
        f"the body of the request was in an unknown format - accepted media types include: {', '.join(accepted)}",
        {},
    )


def not_acceptable(offered: Sequence[str]) -> Refusal:
    """406 with what could have been sent."""
    return Refusal(
        406,
        "NotAcceptable",
        f"only the following media types are accepted: {', '.join(offered)}",
        {},
    )


def method_not_allowed() -> Refusal:
    """405 for a verb that the resource does not serve."""
    return Refusal(
        405, "MethodNotAllowed", "the server does not allow this method on the requested resource", {}
    )


def unavailable(message: str) -> Refusal:
    """503 for something that is expected back."""
    return Refusal(503, "ServiceUnavailable", message)


def internal(message: str) -> Refusal:
    """500 for a fault of the server itself."""
    return Refusal(
        500, "InternalError", f"Internal error occurred: {message}", {"causes": [{"message": message}]}
    )


def not_supported(what: str) -> Refusal:
    """501 for a part of the API that fairlead does not have yet; `what` names it."""
    return Refusal(501, "NotImplemented", f"{what} is not supported yet")
