"""apiCall and GlobalContextEntry: paths of the Kubernetes API answered from the view, everything else asked for as a Need.

A GET of a resource or a list, a POST of an access review: these are answered at once. Services and other paths are raised as
Lacking. Nothing here fetches.
Source: kyverno/kyverno pkg/engine/apicall, pkg/globalcontext.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, unquote

from fairlead.dialects.kyverno.contexts import Context, Load, Unresolved
from fairlead.dialects.kyverno.templates import compile_template
from fairlead.judge.surroundings import Lacking, Question
from fairlead.tongues import jmespath, selectors
from fairlead.tongues.jmespath import BadExpression, Failed, Missing, sprint, to_json
from fairlead.words import Need, Ref, Resource, User

GLOBAL_GROUP, GLOBAL_KIND = "kyverno.io", "GlobalContextEntry"
_REVIEWS = frozenset({"subjectaccessreviews", "selfsubjectaccessreviews", "localsubjectaccessreviews"})


def compile_call(name: str, entry: Mapping[str, Any]) -> Load:
    """Return what loads an apiCall entry: its method, urlPath or service, and data. It raises Unresolved and Lacking."""
    service = entry.get("service")
    of_path = compile_template(entry.get("urlPath") or "")
    method = str(entry.get("method") or "GET")
    data = entry.get("data")
    pairs = [
        (str(pair.get("key")), compile_template(pair.get("value")))
        for pair in (data if isinstance(data, list) else [])
        if isinstance(pair, Mapping)
    ]
    if isinstance(service, Mapping):
        return _service(name, service, method, pairs)

    def load(context: Context) -> Any:
        path = of_path(context)
        if not isinstance(path, str) or not path:
            raise Unresolved(
                f"failed to substitute variables in context entry {name} urlPath: {sprint(path)}"
            )
        body = {key: fill(context) for key, fill in pairs}
        return get(context, path) if method == "GET" else post(context, path, body)

    return load


def _service(
    name: str, service: Mapping[str, Any], method: str, pairs: list[tuple[str, Callable[[Context], Any]]]
) -> Load:
    of_url = compile_template(service.get("url") or "")
    of_headers = compile_template(service.get("headers") or [])
    bundle = str(service.get("caBundle") or "")

    def load(context: Context) -> Any:
        url = sprint(of_url(context))
        body = {key: fill(context) for key, fill in pairs}
        detail = [("method", method), ("data", to_json(body) if body else "")]
        headers = of_headers(context)
        if headers:
            detail.append(("headers", to_json(headers)))
        if bundle:
            detail.append(("caBundle", bundle))
        return answer(context, Need("http", Ref("", "", "", url), tuple(detail)), f"APICall {name}")

    return load


def answer(context: Context, need: Need, whose: str) -> Any:
    """Return the answer to a Need. Raises Lacking where there is none yet, Unresolved where it is an error."""
    try:
        return context.around.ask(need)
    except Lacking:
        raise
    except Exception as error:  # noqa: BLE001  the answer to a Need may be any error
        raise Unresolved(f"failed to fetch data for {whose}: {error}") from None


def get(context: Context, url: str) -> Any:
    """Return what a GET of the path gives: an object or a list of them. Raises Unresolved, Lacking."""
    path, _, query = url.partition("?")
    found = _parse(path)
    if found is None:
        return answer(
            context, Need("kubernetes.get", Ref("", "", "", url)), f"GET resource with raw url\n: {url}"
        )
    group, version, namespace, plural, name, subresource = found
    around = context.around
    kind = around.kinds.kind(group, plural)
    if not kind or subresource:
        return answer(
            context, Need("kubernetes.get", Ref("", "", "", url)), f"GET resource with raw url\n: {url}"
        )
    api_version = f"{group}/{version}" if group else version
    if name:
        where = namespace if around.kinds.namespaced(group, kind) else ""
        one = around.view.get(group, kind, where, name)
        if one is None:
            said = f'{plural}{f".{group}" if group else ""} "{name}" not found'
            raise Unresolved(f"failed to GET resource with raw url\n: {url}: {said}")
        return one
    items = list(around.view.list(group, kind, namespace or None))
    if query:
        items = _selected(items, query, url)
    return {
        "apiVersion": api_version,
        "kind": f"{kind}List",
        "metadata": {"resourceVersion": ""},
        "items": items,
    }


def _parse(path: str) -> tuple[str, str, str, str, str, str] | None:
    """Return group, version, namespace, plural, name and subresource of a resource's path, or None when it is none."""
    steps = [unquote(step) for step in path.split("/") if step]
    if steps[:1] == ["api"] and len(steps) >= 3:
        group, version, rest = "", steps[1], steps[2:]
    elif steps[:1] == ["apis"] and len(steps) >= 4:
        group, version, rest = steps[1], steps[2], steps[3:]
    else:
        return None
    namespace = ""
    if rest[0] == "namespaces" and len(rest) >= 3:
        if rest[2] in {"status", "finalize"} and len(rest) == 3:
            return group, version, "", "namespaces", rest[1], rest[2]
        namespace, rest = rest[1], rest[2:]
    if len(rest) > 3:
        return None
    plural, name, subresource = (*rest, "", "")[:3]
    return group, version, namespace, plural, name, subresource


def _selected(items: list[Resource], query: str, url: str) -> list[Resource]:
    asked = parse_qs(query)
    try:
        for text in asked.get("labelSelector", ()):
            chosen = selectors.parse(text)
            items = [one for one in items if chosen.matches((one.get("metadata") or {}).get("labels") or {})]
        for text in asked.get("fieldSelector", ()):
            for part in text.split(","):
                items = [one for one in items if _field_matches(one, part)]
    except ValueError as error:
        raise Unresolved(f"failed to GET resource with raw url\n: {url}: {error}") from None
    for text in asked.get("limit", ()):
        if text.isdigit() and int(text):
            items = items[: int(text)]
    return items


def _field_matches(resource: Resource, part: str) -> bool:
    for sign, wanted in (("!=", False), ("==", True), ("=", True)):
        field, found, value = part.partition(sign)
        if found:
            here: Any = resource
            for step in field.split("."):
                here = here.get(step) if isinstance(here, dict) else None
            return (sprint("" if here is None else here) == value) is wanted
    raise ValueError(f"invalid selector: '{part}'; can't understand '{part}'")


def post(context: Context, url: str, body: Mapping[str, Any]) -> Any:
    """Return what a POST to the path gives: an access review's answer at once, anything else as asked for."""
    found = _parse(url.partition("?")[0])
    ask = context.around.allowed
    if found is not None and found[0] == "authorization.k8s.io" and found[3] in _REVIEWS and ask is not None:
        spec = body.get("spec")
        spec = spec if isinstance(spec, Mapping) else {}
        allowed, reason = ask(_question(spec, context.subject.user))
        return {**body, "status": {"allowed": allowed, "reason": reason}}
    need = Need("kubernetes.post", Ref("", "", "", url), (("data", to_json(dict(body))),))
    return answer(context, need, f"POST resource with raw url\n: {url}")


def _question(spec: Mapping[str, Any], asker: User) -> Question:
    extra = spec.get("extra") or {}
    user = asker
    if "user" in spec or "groups" in spec:
        user = User(
            name=sprint(spec.get("user") or ""),
            groups=tuple(map(sprint, spec.get("groups") or ())),
            uid=sprint(spec.get("uid") or ""),
            extra=tuple(sorted((key, tuple(map(sprint, values))) for key, values in extra.items())),
        )
    of = {
        key: sprint(value)
        for key, value in (spec.get("resourceAttributes") or {}).items()
        if value is not None
    }
    if not of:
        path = spec.get("nonResourceAttributes") or {}
        return Question(user, sprint(path.get("verb") or ""), path=sprint(path.get("path") or ""))
    return Question(
        user,
        of.get("verb", ""),
        of.get("group", ""),
        of.get("resource", ""),
        of.get("subresource", ""),
        of.get("namespace", ""),
        of.get("name", ""),
    )


def global_entry(context: Context, reference: str) -> Any:
    """Return the data of a GlobalContextEntry, or of one of its projections (`entry.projection`); Missing with a reason."""
    name, _, projection = reference.partition(".")
    found = context.around.view.get(GLOBAL_GROUP, GLOBAL_KIND, "", name)
    if found is None:
        return Missing(name, "entry not found")
    raw = found.get("spec")
    spec: Mapping[str, Any] = raw if isinstance(raw, Mapping) else {}
    data = _global_data(context, name, spec)
    if not projection:
        return data
    for one in spec.get("projections") or ():
        if isinstance(one, Mapping) and one.get("name") == projection:
            try:
                return jmespath.compile(str(one.get("jmesPath") or "")).search(data, context.moment)
            except (BadExpression, Failed) as error:
                return Missing(reference, str(error))
    return Missing(reference, f"projection {projection} not found")


def _global_data(context: Context, name: str, spec: Mapping[str, Any]) -> Any:
    kept = spec.get("kubernetesResource")
    if isinstance(kept, Mapping):
        group, plural = sprint(kept.get("group") or ""), sprint(kept.get("resource") or "")
        kind = context.around.kinds.kind(group, plural)
        return (
            list(context.around.view.list(group, kind, sprint(kept.get("namespace") or "") or None))
            if kind
            else []
        )
    call = spec.get("apiCall")
    if isinstance(call, Mapping):
        return compile_call(name, call)(context)
    return Missing(name, "neither kubernetesResource nor apiCall")
