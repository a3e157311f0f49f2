"""What an admission policy's expressions see of a request: object, request, namespaceObject, authorizer and so on.

Reads a Subject and its Surroundings; decides nothing. What is costly is made when it is first used.
Source: k8s.io/api/admission/v1 AdmissionRequest (fields that are empty are absent there, and so here).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from fairlead.judge.subjects import Subject
from fairlead.judge.surroundings import Question, Surroundings
from fairlead.tongues import cel
from fairlead.tongues.cel import kubernetes
from fairlead.words import User

_KEPT = "expressions.surroundings"


def surroundings_of(subject: Subject, around: Surroundings, params: Any = None) -> dict[str, Any]:
    """Return the bindings of Kubernetes' variables for admission policies.

    What policies of one subject share is made once: the last subject's is kept in the moment's memo.
    """
    kept = around.memo.get(_KEPT)
    if kept is None or kept[0] is not subject or kept[1] is not around:
        made = {
            "object": subject.object,
            "oldObject": subject.old,
            "request": cel.Lazy(lambda: request_of(subject)),
            "params": None,
            "namespaceObject": subject.space,
            "authorizer": cel.Lazy(lambda: authorizer_of(subject, around)),
            "authorizer.requestResource": cel.Lazy(lambda: request_resource_of(subject, around)),
        }
        kept = around.memo[_KEPT] = (subject, around, made)
    found: dict[str, Any] = kept[2].copy()
    found["params"] = params
    return found


def request_of(subject: Subject, *, whole: bool = False) -> dict[str, Any]:
    """Return the AdmissionRequest. With `whole` it carries object and oldObject, as webhooks get it."""
    target = subject.target
    kind = {"group": target.group, "version": target.version, "kind": target.kind}
    resource = {"group": target.group, "version": target.version, "resource": target.plural}
    found: dict[str, Any] = {
        "uid": subject.uid,
        "kind": kind,
        "resource": resource,
        "requestKind": kind,
        "requestResource": resource,
        "operation": target.operation,
        "userInfo": user_info(subject.user),
        "dryRun": subject.dry_run,
        "options": dict(subject.options) or None,
    }
    name = request_name(subject)
    if name:
        found["name"] = name
    if subject.namespace:
        found["namespace"] = subject.namespace
    if target.subresource:
        found["subResource"] = found["requestSubResource"] = target.subresource
    if whole:
        found["object"] = subject.object
        found["oldObject"] = subject.old
    return found


def request_name(subject: Subject) -> str:
    """Return the name in the request: "" while the server has yet to make one."""
    meta = subject.present.get("metadata") or {}
    if not meta.get("name") and meta.get("generateName"):
        return ""
    return subject.name


def user_info(user: User) -> dict[str, Any]:
    """Return Kubernetes' UserInfo, without what is empty."""
    found: dict[str, Any] = {}
    if user.name:
        found["username"] = user.name
    if user.uid:
        found["uid"] = user.uid
    if user.groups:
        found["groups"] = list(user.groups)
    if user.extra:
        found["extra"] = {key: list(values) for key, values in user.extra}
    return found


def account(namespace: str, name: str) -> User:
    """Return a service account as a user."""
    return User(
        name=f"system:serviceaccount:{namespace}:{name}",
        groups=("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"),
    )


def authorizer_of(subject: Subject, around: Surroundings) -> Any:
    """Return the value that asks what the request's user may do."""
    allowed = around.allowed
    if allowed is None:
        raise cel.Failed("nothing here answers questions about access")

    def ask(
        verb: str,
        group: str,
        resource: str,
        subresource: str,
        namespace: str,
        name: str,
        path: str,
        labels: str,
        fields: str,
        service_account: tuple[str, str] | None,
    ) -> tuple[bool, str]:
        user = account(*service_account) if service_account else subject.user
        return allowed(
            Question(user, verb, group, resource, subresource, namespace, name, path, labels, fields)
        )

    return kubernetes.Authorizer(ask)


def request_resource_of(subject: Subject, around: Surroundings) -> Any:
    """Return the question about the very resource of the request; a `check(verb)` asks it."""
    target = subject.target
    return _request_resource()(
        {
            "authorizer": authorizer_of(subject, around),
            "group": target.group,
            "plural": target.plural,
            "part": target.subresource,
            "space": subject.namespace,
            "name": request_name(subject),
        }
    )


@lru_cache(maxsize=1)
def _request_resource() -> cel.Program:
    names = ("authorizer", "group", "plural", "part", "space", "name")
    return cel.Environment(variables=names, libraries=kubernetes.LIBRARIES).compile(
        "authorizer.group(group).resource(plural).subresource(part).namespace(space).name(name)"
    )
