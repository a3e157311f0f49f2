"""What a URL of the Kubernetes API means: which resource, which object, which verb.

Pure text work. Whether such a resource is served is the catalogue's to say.
Source: k8s.io/apiserver/pkg/endpoints/request, RequestInfoFactory.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote

NAMESPACE_SUBRESOURCES = frozenset({"status", "finalize"})
_VERBS = {
    "GET": "get",
    "HEAD": "get",
    "POST": "create",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
}


@dataclass(frozen=True, slots=True)
class Target:
    """The resource that a path under /api or /apis names.

    `namespace` is None where the path has none. `rest` is what follows a subresource (for proxies).
    """

    group: str
    version: str
    plural: str
    namespace: str | None = None
    name: str = ""
    subresource: str = ""
    rest: str = ""
    watch: bool = False

    def verb(self, method: str) -> str:
        """Return the API verb of an HTTP method on this target; "" for a method that has none."""
        verb = _VERBS.get(method, "")
        if verb == "get" and self.watch:
            return "watch"
        if not self.name:
            return {"get": "list", "delete": "deletecollection"}.get(verb, verb)
        return verb


def split(raw_path: str) -> list[str] | None:
    """Return the segments of a path, each with its percent escapes decoded; None for one that is not UTF-8."""
    try:
        return [unquote(part, errors="strict") for part in raw_path.split("/")[1:]]
    except UnicodeDecodeError:
        return None


def target(segments: list[str]) -> Target | None:
    """Return the resource that the segments name, or None where they name something else."""
    parts = list(segments)
    if parts and not parts[-1]:
        parts.pop()
    if parts[:1] == ["api"] and len(parts) >= 3:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[:1] == ["apis"] and len(parts) >= 4:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    watch = rest[0] == "watch" and len(rest) > 1
    if watch:
        rest = rest[1:]
    if not all(rest[:4]) or rest[0] == "watch":
        return None
    if rest[0] == "namespaces" and len(rest) >= 3 and rest[2] not in NAMESPACE_SUBRESOURCES:
        namespace, plural, more = rest[1], rest[2], rest[3:]
        return Target(group, version, plural, namespace, *_object(more), watch=watch)
    return Target(group, version, rest[0], None, *_object(rest[1:]), watch=watch)


def _object(parts: list[str]) -> tuple[str, str, str]:
    name = parts[0] if parts else ""
    subresource = parts[1] if len(parts) > 1 else ""
    return name, subresource, "/".join(parts[2:])
