"""Questions to the authorizer: `authorizer.group('apps').resource('deployments').check('create').allowed()`.

Asks nobody: the Authorizer is made with the function that answers.
Source: k8s.io/apiserver/pkg/cel/library/authz.go.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from fairlead.tongues.cel import types as t
from fairlead.tongues.cel.costs import sized
from fairlead.tongues.cel.errors import Failed
from fairlead.tongues.cel.libraries import Library

Ask: TypeAlias = Callable[..., tuple[bool, str]]
"""(verb, group, resource, subresource, namespace, name, path, labels, fields, service_account) -> (allowed, reason), all by name.

`service_account` is (namespace, name), or None for the user of the request. It may raise Failed: an error of the authorizer.
"""

AUTHORIZER = t.opaque("kubernetes.authorization.Authorizer")
PATH_CHECK = t.opaque("kubernetes.authorization.PathCheck")
GROUP_CHECK = t.opaque("kubernetes.authorization.GroupCheck")
RESOURCE_CHECK = t.opaque("kubernetes.authorization.ResourceCheck")
DECISION = t.opaque("kubernetes.authorization.Decision")


class Authorizer:
    """What the variable `authorizer` is. `resource` gives `authorizer.requestResource`."""

    __slots__ = ("account", "ask")
    cel_type = AUTHORIZER

    def __init__(self, ask: Ask, account: tuple[str, str] | None = None) -> None:
        self.ask = ask
        self.account = account

    def resource(
        self, group: str, resource: str, subresource: str = "", namespace: str = "", name: str = ""
    ) -> ResourceCheck:
        """Return a question about a resource that still lacks its verb: what `authorizer.requestResource` is."""
        return ResourceCheck(self, group, resource, subresource, namespace, name)


@dataclass(frozen=True, slots=True)
class PathCheck:
    """A question about a path that is no resource."""

    authorizer: Authorizer
    path: str
    cel_type = PATH_CHECK


@dataclass(frozen=True, slots=True)
class GroupCheck:
    """A question about a group."""

    authorizer: Authorizer
    group: str
    cel_type = GROUP_CHECK


@dataclass(frozen=True, slots=True)
class ResourceCheck:
    """A question about a resource."""

    authorizer: Authorizer
    group: str
    resource: str
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    labels: str = ""
    fields: str = ""
    cel_type = RESOURCE_CHECK


@dataclass(frozen=True, slots=True)
class Decision:
    """An answer."""

    allowed: bool
    reason: str = ""
    error: str = ""
    cel_type = DECISION


def _path(authorizer: Authorizer, path: str) -> PathCheck:
    if not path.strip():
        raise Failed("path must not be empty")
    return PathCheck(authorizer, path)


def _account(authorizer: Authorizer, namespace: str, name: str) -> Authorizer:
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*", name):
        raise Failed("Invalid service account name")
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", namespace):
        raise Failed("Invalid service account namespace")
    return Authorizer(authorizer.ask, (namespace, name))


def _resource(group: GroupCheck, resource: str) -> ResourceCheck:
    if not resource.strip():
        raise Failed("resource must not be empty")
    return ResourceCheck(group.authorizer, group.group, resource)


def _with(name: str) -> Callable[[ResourceCheck, str], ResourceCheck]:
    return lambda check, value: replace(check, **{name: value})  # type: ignore[arg-type]


def _decided(authorizer: Authorizer, **question: Any) -> Decision:
    try:
        allowed, reason = authorizer.ask(**question, service_account=authorizer.account)
    except Failed as error:
        return Decision(allowed=False, error=str(error))
    return Decision(allowed, reason)


def _check_path(check: PathCheck, verb: str) -> Decision:
    return _decided(
        check.authorizer, verb=verb, group="", resource="", subresource="", namespace="", name="",
        path=check.path, labels="", fields="",
    )  # fmt: skip


def _check_resource(check: ResourceCheck, verb: str) -> Decision:
    return _decided(
        check.authorizer, verb=verb, group=check.group, resource=check.resource, subresource=check.subresource,
        namespace=check.namespace, name=check.name, path="", labels=check.labels, fields=check.fields,
    )  # fmt: skip


def _dear(_: Sequence[Any], __: Any) -> int:
    return 350_000


def _selector(args: Sequence[Any], _: Any) -> int:
    size = sized(args[1])
    return 10 + -(-size // 10) + -(-size // 2) * 50


_A, _P, _G, _R, _D = (one.name for one in (AUTHORIZER, PATH_CHECK, GROUP_CHECK, RESOURCE_CHECK, DECISION))

LIBRARY = Library(
    "kubernetes.authz",
    functions={
        f".path({_A}, string) {_P}": _path,
        f".group({_A}, string) {_G}": GroupCheck,
        f".serviceAccount({_A}, string, string) {_A}": _account,
        f".resource({_G}, string) {_R}": _resource,
        f".subresource({_R}, string) {_R}": _with("subresource"),
        f".namespace({_R}, string) {_R}": _with("namespace"),
        f".name({_R}, string) {_R}": _with("name"),
        f".fieldSelector({_R}, string) {_R}": _with("fields"),
        f".labelSelector({_R}, string) {_R}": _with("labels"),
        f".check({_P}, string) {_D}": _check_path,
        f".check({_R}, string) {_D}": _check_resource,
        f".allowed({_D}) bool": lambda one: one.allowed,
        f".reason({_D}) string": lambda one: one.reason,
        f".errored({_D}) bool": lambda one: bool(one.error),
        f".error({_D}) string": lambda one: one.error,
    },
    costs={"check": _dear, "fieldSelector": _selector, "labelSelector": _selector},
)
"""The methods; the variables `authorizer` and `authorizer.requestResource` are declared by whoever binds them."""
