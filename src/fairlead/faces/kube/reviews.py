"""The kinds that are only ever asked: who am I, whose token is this, may they do that; and tokens for accounts.

Nothing here is stored. A review's own shape is checked by the schemas before it comes here.
Source: k8s.io/kubernetes pkg/registry/{authentication,authorization}, pkg/registry/core/serviceaccount/storage/token.go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from fairlead.faces.kube.accounttokens import AUDIENCES, Claim
from fairlead.faces.kube.site import Site
from fairlead.keep.authorizing import Question
from fairlead.keep.errors import Cause, bad_request, conflict, invalid, not_found
from fairlead.keep.kinds import Kind
from fairlead.words import Resource, User

_AUTHORIZATION = "authorization.k8s.io"
_SHORTEST = 600
_LONGEST = 2**32
_DEFAULT_SECONDS = 3600
_BINDABLE = {"Pod": "pods", "Secret": "secrets", "Node": "nodes"}


def answer(site: Site, kind: Kind, namespace: str, body: Resource, user: User) -> Resource:
    """Return the review with its status filled in."""
    review = _REVIEWS[kind.kind]
    return review(site, namespace, body, user)


def is_review(kind: Kind) -> bool:
    """Whether the kind is one of those that this module answers."""
    return kind.kind in _REVIEWS and kind.group in {"authentication.k8s.io", _AUTHORIZATION}


def _user_info(user: User) -> dict[str, Any]:
    info: dict[str, Any] = {"username": user.name}
    if user.uid:
        info["uid"] = user.uid
    if user.groups:
        info["groups"] = list(user.groups)
    if user.extra:
        info["extra"] = {key: list(values) for key, values in user.extra}
    return info


def _self_subject(_site: Site, _namespace: str, body: Resource, user: User) -> Resource:
    return {**body, "status": {"userInfo": _user_info(user)}}


def _token(site: Site, _namespace: str, body: Resource, _user: User) -> Resource:
    spec = body.get("spec") or {}
    if not spec.get("token"):
        raise bad_request("token is required for TokenReview in authentication")
    asked = tuple(spec.get("audiences") or ())
    found = site.identities.of_token(spec["token"], asked)
    if found is None:
        status: dict[str, Any] = {"user": {}, "error": "invalid bearer token"}
    else:
        status = {"authenticated": True, "user": _user_info(found[0])}
        if found[1]:
            status["audiences"] = list(found[1])
    return {**body, "status": status}


def _subject_access(site: Site, _namespace: str, body: Resource, _user: User) -> Resource:
    spec = body.get("spec") or {}
    causes = _spec_causes(spec)
    if not spec.get("user") and not spec.get("groups"):
        causes.append(
            Cause(
                "FieldValueInvalid",
                'Invalid value: "": at least one of user or group must be specified',
                "spec.user",
            )
        )
    _refuse(causes, "SubjectAccessReview")
    return _decided(site, body, _spec_user(spec))


def _local_subject_access(site: Site, namespace: str, body: Resource, user: User) -> Resource:
    spec = body.get("spec") or {}
    causes = _spec_causes(spec)
    if not spec.get("user") and not spec.get("groups"):
        causes.append(
            Cause(
                "FieldValueInvalid",
                'Invalid value: "": at least one of user or group must be specified',
                "spec.user",
            )
        )
    attributes = spec.get("resourceAttributes") or {}
    if spec.get("nonResourceAttributes"):
        causes.append(
            Cause(
                "FieldValueInvalid",
                "Invalid value: disallowed on this kind of request",
                "spec.nonResourceAttributes",
            )
        )
    elif attributes.get("namespace", "") != namespace:
        shown = attributes.get("namespace", "")
        causes.append(
            Cause(
                "FieldValueInvalid",
                f'Invalid value: "{shown}": must match metadata.namespace',
                "spec.resourceAttributes.namespace",
            )
        )
    _refuse(causes, "LocalSubjectAccessReview")
    del user
    return _decided(site, body, _spec_user(spec))


def _self_subject_access(site: Site, _namespace: str, body: Resource, user: User) -> Resource:
    _refuse(_spec_causes(body.get("spec") or {}), "SelfSubjectAccessReview")
    return _decided(site, body, user)


def _self_subject_rules(site: Site, _namespace: str, body: Resource, user: User) -> Resource:
    namespace = (body.get("spec") or {}).get("namespace")
    if not namespace:
        raise bad_request("no namespace on request")
    rules = site.access.policies.rules(user, namespace)
    status = {
        "resourceRules": [dict(rule) for rule in rules if rule.get("resources")],
        "nonResourceRules": [dict(rule) for rule in rules if rule.get("nonResourceURLs")],
        "incomplete": False,
    }
    return {**body, "status": status}


def _decided(site: Site, body: Resource, user: User) -> Resource:
    spec = body["spec"]
    asked = spec.get("resourceAttributes")
    if asked is not None:
        question = Question(
            user=user,
            verb=asked.get("verb", ""),
            group=asked.get("group", ""),
            version=asked.get("version", ""),
            resource=asked.get("resource", "") or "*",
            subresource=asked.get("subresource", ""),
            namespace=asked.get("namespace", ""),
            name=asked.get("name", ""),
        )
    else:
        other = spec["nonResourceAttributes"]
        question = Question(user=user, verb=other.get("verb", ""), path=other.get("path", ""))
    decision = site.access.decide(question)
    status: dict[str, Any] = {"allowed": decision.allowed}
    if decision.reason:
        status["reason"] = decision.reason
    return {**body, "status": status}


def _spec_user(spec: Mapping[str, Any]) -> User:
    extra = tuple(sorted((key, tuple(values or ())) for key, values in (spec.get("extra") or {}).items()))
    return User(
        name=spec.get("user") or "",
        groups=tuple(spec.get("groups") or ()),
        uid=spec.get("uid") or "",
        extra=extra,
    )


def _spec_causes(spec: Mapping[str, Any]) -> list[Cause]:
    resource, other = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if resource is not None and other is not None:
        return [
            Cause(
                "FieldValueInvalid",
                "Invalid value: cannot be specified in combination with resourceAttributes",
                "spec.nonResourceAttributes",
            )
        ]
    if resource is None and other is None:
        return [
            Cause(
                "FieldValueInvalid",
                'Invalid value: "null": exactly one of nonResourceAttributes or resourceAttributes must be specified',
                "spec.resourceAttributes",
            )
        ]
    return []


def _refuse(causes: list[Cause], kind: str) -> None:
    if causes:
        raise invalid(_AUTHORIZATION, kind, "", causes)


_REVIEWS: Mapping[str, Callable[[Site, str, Resource, User], Resource]] = {
    "SelfSubjectReview": _self_subject,
    "TokenReview": _token,
    "SubjectAccessReview": _subject_access,
    "LocalSubjectAccessReview": _local_subject_access,
    "SelfSubjectAccessReview": _self_subject_access,
    "SelfSubjectRulesReview": _self_subject_rules,
}


def token_request(
    site: Site, namespace: str, name: str, body: Resource, *, dry_run: bool, now: datetime
) -> Resource:
    """Return the TokenRequest with a fresh token for the service account. Refusals: 400, 404, 409, 422."""
    account = site.find("", "serviceaccounts", namespace, name)
    if account is None:
        raise not_found("", "serviceaccounts", name)
    spec = dict(body.get("spec") or {})
    seconds = spec.get("expirationSeconds")
    seconds = _DEFAULT_SECONDS if seconds is None else seconds
    if seconds < _SHORTEST or seconds > _LONGEST:
        what = (
            "may not specify a duration less than 10 minutes"
            if seconds < _SHORTEST
            else "may not specify a duration larger than 2^32 seconds"
        )
        cause = Cause("FieldValueInvalid", f"Invalid value: {seconds}: {what}", "spec.expirationSeconds")
        raise invalid("authentication.k8s.io", "TokenRequest", "", [cause])
    bound, bound_kind, node = _bound(site, namespace, name, spec.get("boundObjectRef") or {})
    claim = Claim(
        account=account,
        audiences=tuple(spec.get("audiences") or AUDIENCES),
        seconds=seconds,
        bound=bound,
        bound_kind=bound_kind,
        node=node,
    )
    token, expires = ("", now) if dry_run else site.issuer.issue(claim, now)
    return {
        "kind": "TokenRequest",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "creationTimestamp": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        },
        "spec": {
            "audiences": list(claim.audiences),
            "expirationSeconds": seconds,
            "boundObjectRef": spec.get("boundObjectRef"),
        },
        "status": {"token": token, "expirationTimestamp": expires.strftime("%Y-%m-%dT%H:%M:%SZ")},
    }


def _bound(
    site: Site, namespace: str, account: str, ref: Mapping[str, Any]
) -> tuple[Resource | None, str, Resource | None]:
    if not ref:
        return None, "", None
    kind, name = ref.get("kind", ""), ref.get("name", "")
    plural = _BINDABLE.get(kind)
    if plural is None or ref.get("apiVersion") not in {None, "", "v1"}:
        raise bad_request(f"cannot bind token to object of type {ref.get('apiVersion', '')}, Kind={kind}")
    found = site.find("", plural, "" if kind == "Node" else namespace, name)
    if found is None:
        raise not_found("", plural, name)
    uid = found["metadata"].get("uid", "")
    if ref.get("uid") and ref["uid"] != uid:
        raise conflict(
            "",
            plural,
            name,
            f"the UID in the bound object reference ({ref['uid']}) does not match the UID in record. "
            "The object might have been deleted and then recreated",
        )
    if kind != "Pod":
        return found, kind, None
    spec = found.get("spec") or {}
    if spec.get("serviceAccountName") != account:
        raise bad_request(
            f'cannot bind token for serviceaccount "{account}" to pod running with different serviceaccount name.'
        )
    node = site.find("", "nodes", "", spec["nodeName"]) if spec.get("nodeName") else None
    return found, kind, node
